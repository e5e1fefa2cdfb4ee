"""The smoke's users on a worker that begins to listen long after it was told what to do."""

import gevent
from locust import events

events.init.add_listener(lambda **_: gevent.sleep(4))  # bounded: what comes meanwhile is read by nobody of ours

from scenarios.smoke import *  # noqa: E402, F403
