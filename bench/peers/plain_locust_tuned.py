"""The plain user after a look at a profile: websocket-client checks UTF-8 byte by byte, unless told not to."""

from __future__ import annotations

from bench.peers import plain_locust


class TunedUser(plain_locust.PlainUser):
    skip_utf8_validation = True
