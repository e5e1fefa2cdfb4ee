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

from crosstalk.backend.acts import Acts, Door
from crosstalk.backend.admin import Admin
from crosstalk.backend.agui import AguiEndpoint
from crosstalk.backend.bodies import answer_in_json
from crosstalk.backend.chat import Chat
from crosstalk.backend.discovery import Discovery
from crosstalk.backend.endpoint import Endpoint
from crosstalk.backend.faults import FaultTable
from crosstalk.backend.feedback import Feedback
from crosstalk.backend.gate import Gate
from crosstalk.backend.health import Health
from crosstalk.backend.insights import Insights
from crosstalk.backend.limits import Keepalive, Limits
from crosstalk.backend.netra import NetraEndpoint
from crosstalk.backend.oauth import OAuth
from crosstalk.backend.objects import Objects
from crosstalk.backend.occasions import Schedule
from crosstalk.backend.options import Settings
from crosstalk.backend.per_run import PerRunEndpoint
from crosstalk.backend.rest import Rest
from crosstalk.backend.runs import Pace
from crosstalk.backend.spills import Spills
from crosstalk.backend.tokens import TokenService

_PR_SET_PDEATHSIG = 1
_SCHEDULE = web.AppKey("schedule", Schedule)
_ACTS = web.AppKey("acts", Acts)


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
    door = Door(settings.host_address, settings.port, context)
    app = make_app(settings, door)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await door.open(runner)
        except OSError as error:
            raise CannotServe(f"cannot listen on {settings.host_address}:{settings.port}: {error}") from error
        # What start-up made lives for ever; collecting it again and again would show as pauses in the streams.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        scheme = "http" if context is None else "https"
        host = f"[{settings.host_address}]" if ":" in settings.host_address else settings.host_address
        print(f"LISTENING {scheme}://{host}:{door.port}", flush=True)
        keeping = asyncio.create_task(app[_SCHEDULE].keep(app[_ACTS].by_name()))
        keeping.add_done_callback(lambda _task: stop.set() if _failed(keeping) else None)
        await stop.wait()
        if _failed(keeping):
            raise CannotServe(f"an occasion could not be acted out: {keeping.exception()}")
        keeping.cancel()
    finally:
        await runner.cleanup()


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def make_app(settings: Settings, door: Door) -> web.Application:
    pace = Pace(settings.delays, settings.time_scale, settings.agent_timeout_s)
    occasions = Schedule(settings.occasions)
    chat = Chat(
        seed=settings.seed, pace=pace, faults=FaultTable(settings.faults, settings.seed), occasions=occasions
    )  # fmt: skip
    tokens = TokenService(settings.secret, settings.environment, life_s=settings.token_life_s)
    gate = Gate(tokens, chat.bites_now, wanted=chat.faults_wanted, closes_at_expiry=settings.closes_at_expiry)
    health = Health(settings, chat)
    spills = Spills(chat)
    app = web.Application(middlewares=[door.answering, spills.into_bodies, answer_in_json, health.hold_back])
    limits = _make_limits(settings, chat)
    feedback = Feedback(gate, limits.rate, chat.bites_now)
    endpoints = _make_endpoints(chat, gate, limits, feedback)
    app.add_routes([*limits.routes(gate), *feedback.routes()])
    app.add_routes([*health.routes(), *Discovery(settings, gate, chat).routes()])
    app.add_routes(Rest(settings, tokens, gate, chat.store, chat.access, chat.bites_now, chat.refreshed).routes())
    app.add_routes(OAuth(tokens, chat.bites_now, time_scale=settings.time_scale).routes())
    app.add_routes([*Objects(gate, chat).routes(), *Admin(gate, chat).routes(), *Insights(gate, chat).routes()])
    app[_SCHEDULE], app[_ACTS] = occasions, Acts(chat, endpoints, door)
    for endpoint in endpoints:
        app.add_routes(endpoint.routes())

    async def name_revision(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Revision"] = health.revision()

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


def _make_limits(settings: Settings, chat: Chat) -> Limits:
    return Limits(
        chat.bites_now,
        wanted=chat.faults_wanted,
        sockets_max=settings.sockets_max,
        message_bytes_max=settings.message_bytes_max,
        keepalive=Keepalive(settings.receive_timeout_s, settings.ping_interval_s),
    )


def _make_endpoints(chat: Chat, gate: Gate, limits: Limits, feedback: Feedback) -> tuple[Endpoint, ...]:
    """One for each shape, on the same chat."""
    return (
        NetraEndpoint(chat, gate, limits=limits, feedback=feedback),
        AguiEndpoint(chat, gate, limits=limits),
        PerRunEndpoint(chat, gate, limits=limits),
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
