"""Suites: the platform's checks and suites as one load test, printed by their names; docs/suites.md explains each."""

from functools import partial

from locust import events

import reports
from crosstalk.harness import connect
from users.conductor import Conductor  # noqa: F401
from users.connector import Connector  # noqa: F401
from users.correspondent import Correspondent  # noqa: F401
from users.dispatcher import Dispatcher  # noqa: F401
from users.listener import Listener  # noqa: F401
from users.newcomer import Newcomer  # noqa: F401
from users.pusher import Pusher  # noqa: F401
from users.reader import Reader  # noqa: F401
from users.regular import Regular  # noqa: F401
from users.signer import Signer  # noqa: F401
from users.traveller import Traveller  # noqa: F401

connect(events, at_end=partial(reports.publish, suites=True))
