"""Recovery: the target restarts, says goodbye, has a part away. Is everybody back, with everything that was theirs?"""

from locust import events

import reports
from crosstalk.harness import connect
from users.traveller import Traveller  # noqa: F401  the cast of this scenario

connect(events, at_end=reports.publish)
