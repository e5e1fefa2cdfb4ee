"""Smoke: do twenty people at once get their own answers, whole, in order and in time?"""

from locust import events

import reports
from crosstalk.harness import connect
from users.regular import Regular  # noqa: F401  the cast of this scenario

connect(events, at_end=reports.publish)
