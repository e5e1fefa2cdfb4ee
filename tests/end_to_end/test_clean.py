"""The clean backend: no alarm, a verdict that a pipeline can act on, and nothing left behind."""

import threading
from pathlib import Path

import pytest
from tests.backend.client import Backend  # noqa: F401
from tests.end_to_end.locust_process import Ended, run
