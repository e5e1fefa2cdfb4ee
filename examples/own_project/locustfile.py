from locust import events

import reports
from crosstalk.harness import connect
from users import Colleague  # noqa: F401  who acts

connect(events, at_end=reports.publish)
