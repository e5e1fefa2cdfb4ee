"""Soak: people who stay for hours, with tokens that expire again and again. Does anything grow, or get lost?"""

from locust import events

import reports
from crosstalk.harness import connect
from users.resident import Resident  # noqa: F401  stays, and renews its token

connect(events, at_end=reports.publish)
