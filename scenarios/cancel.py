"""Cancel: some people cancel their runs in mid-stream; does anybody else's run suffer?"""

from locust import events

import reports
from crosstalk.harness import connect
from users.impatient import Impatient  # noqa: F401  a quarter of all users
from users.regular import Regular  # noqa: F401  those who must not notice

connect(events, at_end=reports.publish)
