"""The smoke's users on a worker that says it is of another version."""

import crosstalk

crosstalk.__version__ = "0.0.9"

from scenarios.smoke import *  # noqa: E402, F403
