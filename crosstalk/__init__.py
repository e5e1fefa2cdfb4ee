"""Crosstalk: load and isolation tests for agent-chat backends. See README.md for the map of files."""

__version__ = "0.1.0"
