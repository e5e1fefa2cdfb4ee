"""One server process: puts the parts together, listens, says so, and ends when it is told to or its parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import threading

from aiohttp import web

from crosstalk.backend.chat import Chat
from crosstalk.backend.faults import FaultTable
from crosstalk.backend.options import Settings
from crosstalk.backend.rest import Rest, answer_in_json
from crosstalk.backend.runs import Pace
from crosstalk.backend.sockets import PATHS, SocketEndpoint
from crosstalk.backend.tokens import TokenService

BACKLOG = 4096
_PR_SET_PDEATHSIG = 1


async def serve(settings: Settings) -> None:
    """Listen until SIGTERM, SIGINT or, where settings say so, the end of standard input. OSError where it cannot."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.exit_with_stdin:
        threading.Thread(target=_wait_for_stdin, args=(loop, stop), daemon=True).start()
    runner = web.AppRunner(make_app(settings), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host_address, settings.port, backlog=BACKLOG)
        await site.start()
        # What start-up made lives for ever; collecting it again and again would show as pauses in the streams.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        print(f"LISTENING http://{settings.host_address}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def make_app(settings: Settings) -> web.Application:
    pace = Pace(settings.delays, settings.time_scale, settings.agent_timeout_s)
    chat = Chat(seed=settings.seed, pace=pace, faults=FaultTable(settings.faults, settings.seed))
    tokens = TokenService(settings.secret, settings.environment)
    endpoint = SocketEndpoint(
        chat,
        tokens,
        receive_timeout_s=settings.receive_timeout_s,
        ping_interval_s=settings.ping_interval_s,
        message_bytes_max=settings.message_bytes_max,
    )
    app = web.Application(middlewares=[answer_in_json])
    app.add_routes(Rest(settings, tokens, chat.store).routes())
    app.add_routes([web.get(path, endpoint.serve) for path in PATHS])

    async def name_revision(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Revision"] = settings.revision

    async def close_sockets(_app: web.Application) -> None:
        chat.drop_runs()
        await endpoint.close_all()

    app.on_response_prepare.append(name_revision)
    app.on_shutdown.append(close_sockets)
    return app


def raise_descriptor_limit() -> None:
    """The soft limit of open files becomes the hard one: each socket is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS names an infinite hard limit that it does not grant.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_with_parent() -> None:
    """On Linux the kernel sends SIGTERM when the parent dies, however it dies. Elsewhere standard input must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Runs in a thread: not every kind of standard input can be watched by an event loop."""
    with contextlib.suppress(OSError):  # closed from the start
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop.set)
