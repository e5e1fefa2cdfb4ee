"""The smoke with people who chat and nobody else: what tests of the harness, and of single faults, start from."""

from locust import events

import reports
from crosstalk.harness import connect
from users.regular import Regular  # noqa: F401

connect(events, at_end=reports.publish)
