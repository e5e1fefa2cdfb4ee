"""Isolation: fifty people press on every place where one's data could reach another. Does any of it?"""

from locust import events

import reports
from crosstalk.harness import connect
from users.archivist import Archivist  # noqa: F401  compares its listings with what it said
from users.forgetful import Forgetful  # noqa: F401  cut off in mid-stream, beside a stranger
from users.impatient import Impatient  # noqa: F401  cancels in mid-stream
from users.intruder import Intruder  # noqa: F401  reaches for what a victim of its own has
from users.lapsing import Lapsing  # noqa: F401  its token expires in mid-run
from users.mimic import Mimic  # noqa: F401  says what all say, at one instant, under the same ids
from users.provoker import Provoker  # noqa: F401  makes every mistake that is answered with an error
from users.regular import Regular  # noqa: F401  those who must not notice
from users.sluggish import Sluggish  # noqa: F401  reads slowly
from users.twin import Twin  # noqa: F401  one person on two devices

connect(events, at_end=reports.publish)
