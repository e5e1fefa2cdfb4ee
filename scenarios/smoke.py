"""Smoke: do twenty people at once get their own answers, whole, in order and in time? Some of them are new here."""

from locust import events

import reports
from crosstalk.harness import connect
from users.dispatcher import Dispatcher  # noqa: F401  four: discovery, agents started and stopped, status, memory
from users.newcomer import Newcomer  # noqa: F401  four: sign-in by OAuth, first thread, first answer, history
from users.regular import Regular  # noqa: F401  twelve, who chat

connect(events, at_end=reports.publish)
