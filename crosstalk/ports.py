"""The port on which master and workers meet: with `--processes` a free one, so that two load tests can share a machine.

Nothing is sent here: a port is bound for a moment, to see whether it can be.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

#: below the ports that systems give to outgoing connections, any of which may be taken at any moment
FIRST, COUNT = 15_000, 15_000
EXIT_USAGE = 2
#: options after which Locust starts nothing
_ONLY_SAY = {"-h", "--help", "-V", "--version", "-l", "--list"}


class PortChoice:
    """A listener of `init_command_line_parser`, after all options were added.

    Nobody said a port: `--processes` takes a free one. Somebody did, and it is taken: one line, and exit code 2, before
    any process is forked; workers would otherwise join the load test that has it. Only the first parser counts: Locust
    makes others for its web UI, when the port is its own already.
    """

    def __init__(self) -> None:
        self.is_worker = False  # the command line says so; what a master forks is told later
        self._made = False

    def __call__(self, parser: Any) -> None:
        if self._made or _ONLY_SAY & set(sys.argv[1:]):
            return
        self._made = True
        usual = {name: parser.get_default(name) for name in ("master_bind_port", "master_port")}
        parser.set_defaults(master_bind_port=None, master_port=None)
        said, _ = parser.parse_known_args()
        parser.set_defaults(**usual)
        self.is_worker = bool(said.worker)
        if self.is_worker:
            return
        port = said.master_bind_port
        if said.processes:
            port = port or said.master_port or free_port(said.master_bind_host)
            parser.set_defaults(master_bind_port=port, master_port=port)
        elif said.master:
            port = port or usual["master_bind_port"]
        if port and not _is_free(said.master_bind_host, port):
            print(
                f"crosstalk: port {port} is taken, perhaps by another load test; name a free one with "
                "--master-bind-port, and with --master-port for workers on other hosts",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            raise SystemExit(EXIT_USAGE)


def free_port(host: str = "*") -> int:
    """One that nobody has; processes that ask at the same moment begin to look at different ones.

    :raises OSError: all are taken.
    """
    begin = os.getpid() % COUNT
    for step in range(COUNT):
        port = FIRST + (begin + step) % COUNT
        if _is_free(host, port):
            return port
    raise OSError(f"no free port from {FIRST} to {FIRST + COUNT - 1}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the master does: not kept by what has ended
        try:
            probe.bind(("" if host == "*" else host, port))
        except OSError:
            return False
    return True
