from locust import events

import reports
from crosstalk.harness import connect
from users.regular import Regular  # noqa: F401  the default cast

connect(events, at_end=reports.publish)
