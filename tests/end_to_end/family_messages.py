"""A locustfile for the tests of the family "messages"."""

from locust import events

import reports
from crosstalk.harness import connect
from users.correspondent import Correspondent  # noqa: F401

connect(events, at_end=reports.publish, scenario="family_messages")
