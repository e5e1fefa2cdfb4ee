"""``python -m crosstalk.backend``: read the command line, serve until told to stop. Only LISTENING goes to stdout."""

from __future__ import annotations

import logging
import sys
import time

import uvloop

from crosstalk.backend.options import read_settings
from crosstalk.backend.server import CannotServe, end_with_parent, raise_descriptor_limit, serve

_log = logging.getLogger("crosstalk.backend")


def main() -> int:
    settings = read_settings(sys.argv[1:])
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    logging.Formatter.converter = time.gmtime  # instants of the log can be laid beside those of a record
    # It warns about subprotocols it does not know, and those may hold tokens.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    if settings.exit_with_stdin:
        end_with_parent()
    raise_descriptor_limit()
    if settings.receive_timeout_s <= settings.agent_timeout_s:
        _log.warning("the receive timeout is not above the agent timeout: a slow run looks like a dead socket")
    _log.info("seed %d, faults: %s", settings.seed, ", ".join(map(str, settings.faults)) or "none")
    try:
        uvloop.run(serve(settings))
    except CannotServe as error:
        print(f"crosstalk.backend: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
