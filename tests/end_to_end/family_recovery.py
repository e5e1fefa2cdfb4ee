"""A locustfile for the tests of the family "recovery", without an occasion of its own."""

from locust import events

import reports
from crosstalk.harness import connect
from users.traveller import Traveller  # noqa: F401

connect(events, at_end=reports.publish, scenario="family_recovery")
