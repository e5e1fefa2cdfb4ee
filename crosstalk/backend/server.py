"""One server process: puts the parts together, listens, says so, and ends when it is told to or its parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import ssl
import sys
import threading

from aiohttp import web

from crosstalk.backend.admin import Admin
from crosstalk.backend.agui import AguiEndpoint
from crosstalk.backend.bodies import answer_in_json
from crosstalk.backend.chat import Chat
from crosstalk.backend.discovery import Discovery
from crosstalk.backend.endpoint import Endpoint
from crosstalk.backend.faults import FaultTable
from crosstalk.backend.gate import Gate
from crosstalk.backend.health import Health
from crosstalk.backend.netra import NetraEndpoint
from crosstalk.backend.objects import Objects
from crosstalk.backend.options import Settings
from crosstalk.backend.per_run import PerRunEndpoint
from crosstalk.backend.rest import Rest
from crosstalk.backend.runs import Pace
from crosstalk.backend.spills import Spills
from crosstalk.backend.tokens import TokenService

BACKLOG = 4096
_PR_SET_PDEATHSIG = 1


class CannotServe(Exception):
    """The text says what cannot be done, and why."""


async def serve(settings: Settings) -> None:
    """Listen until SIGTERM, SIGINT or, where settings say so, the end of standard input. CannotServe where it cannot
    listen or write what it must."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.exit_with_stdin:
        threading.Thread(target=_wait_for_stdin, args=(loop, stop), daemon=True).start()
    context = make_context(settings)
    runner = web.AppRunner(make_app(settings), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host_address, settings.port, backlog=BACKLOG, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise CannotServe(f"cannot listen on {settings.host_address}:{settings.port}: {error}") from error
        # What start-up made lives for ever; collecting it again and again would show as pauses in the streams.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        scheme = "http" if context is None else "https"
        host = f"[{settings.host_address}]" if ":" in settings.host_address else settings.host_address
        print(f"LISTENING {scheme}://{host}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def make_app(settings: Settings) -> web.Application:
    pace = Pace(settings.delays, settings.time_scale, settings.agent_timeout_s)
    chat = Chat(seed=settings.seed, pace=pace, faults=FaultTable(settings.faults, settings.seed))
    tokens = TokenService(settings.secret, settings.environment)
    gate = Gate(tokens, chat.bites_now, wanted=chat.faults_wanted)
    health = Health(settings, chat)
    spills = Spills(chat)
    app = web.Application(middlewares=[spills.into_bodies, answer_in_json, health.hold_back])
    endpoints = _make_endpoints(settings, chat, gate)
    app.add_routes([*health.routes(), *Discovery(settings, gate, chat).routes()])
    app.add_routes(Rest(settings, tokens, gate, chat.store, chat.access, chat.bites_now).routes())
    app.add_routes([*Objects(gate, chat).routes(), *Admin(gate, chat).routes()])
    for endpoint in endpoints:
        app.add_routes(endpoint.routes())

    async def name_revision(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Revision"] = settings.revision

    async def close_sockets(_app: web.Application) -> None:
        chat.drop_runs()
        await asyncio.gather(*(endpoint.close_all() for endpoint in endpoints))

    app.on_response_prepare.append(name_revision)
    app.on_response_prepare.append(spills.into_headers)
    app.on_shutdown.append(close_sockets)
    return app


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """None where the settings say nothing of TLS; CannotServe where the CA's certificate cannot be written."""
    if settings.ca_out is None:
        return None
    from crosstalk.backend.tls import server_context  # takes its time to import, and few ask for it

    try:
        return server_context(settings.ca_out, settings.tls_name)
    except OSError as error:
        raise CannotServe(f"cannot write the CA's certificate to {settings.ca_out}: {error.strerror}") from error


def _make_endpoints(settings: Settings, chat: Chat, gate: Gate) -> tuple[Endpoint, ...]:
    """One for each shape, on the same chat."""
    ping_interval_s, message_bytes_max = settings.ping_interval_s, settings.message_bytes_max
    return (
        NetraEndpoint(
            chat,
            gate,
            receive_timeout_s=settings.receive_timeout_s,
            ping_interval_s=ping_interval_s,
            message_bytes_max=message_bytes_max,
        ),
        AguiEndpoint(chat, gate, ping_interval_s=ping_interval_s, message_bytes_max=message_bytes_max),
        PerRunEndpoint(chat, gate, ping_interval_s=ping_interval_s, message_bytes_max=message_bytes_max),
    )


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
