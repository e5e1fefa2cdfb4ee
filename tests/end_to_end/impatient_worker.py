"""The smoke's users on a worker that waits less for its master than Locust's minute."""

import locust.runners

import crosstalk.roll

locust.runners.MASTER_HEARTBEAT_TIMEOUT = 5
crosstalk.roll.HAND_OVER_S = 3.0

from scenarios.smoke import *  # noqa: E402, F403
