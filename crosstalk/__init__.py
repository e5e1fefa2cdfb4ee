"""Crosstalk: load and isolation tests for agent-chat backends. See README.md for the map of files."""

from crosstalk.compiled import install as _install

__version__ = "0.1.0"

_install()
