"""Real leaks of real libraries: their runner's judgement, what stands around their servers, and the leaks (long)."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from examples.incidents import delay, front
from examples.incidents.__main__ import INCIDENTS
from examples.incidents.outcomes import Outcome, Row, read, table
from examples.incidents.stand import StandFailed, listening, program
from examples.incidents.venvs import HERE, ROOT
from tests.end_to_end.locust_process import environment

LEAK = Outcome(3, (2,), 0.5, 700)
PASSED = Outcome(0, opportunities=4_000)
FAILED = Outcome(1)
NOT_JUDGED = Outcome(4)


# --- the judgement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixed", "outcomes", "right"),
    [
        (False, [LEAK], True),
        (False, [LEAK] * 9 + [PASSED], True),
        (False, [LEAK] * 8 + [PASSED] * 2, False),
        (False, [FAILED], False),
        (False, [NOT_JUDGED], False),
        (False, [Outcome(3)], False),  # said, but without a channel that shows it
        (False, [], False),
        (True, [PASSED] * 10, True),
        (True, [PASSED] * 9 + [LEAK], False),
        (True, [FAILED], False),
        (True, [NOT_JUDGED], False),  # nothing was found because nothing was looked at
        (True, [], False),
    ],
)
def test_a_release_is_as_it_should_be(fixed: bool, outcomes: list[Outcome], right: bool) -> None:
    assert Row("one", "lib 1.0", fixed, tuple(outcomes)).as_it_should_be is right


def test_an_outcome_is_read_from_its_verdict(tmp_path: Path) -> None:
    first = {"confirmed": True, "surfaced_ns": 5_750_000_000}
    rows = [{"confirmed": True, "surfaced_ns": 9_000_000_000}, first, {"confirmed": False, "surfaced_ns": 1}]
    channels = [
        {"channel": 2, "violations": 2, "opportunities": 700, "required": True},
        {"channel": 3, "violations": 0, "opportunities": 900, "required": False},
    ]
    isolation = {"violations": rows, "channels": channels}
    verdict = {"isolation": isolation, "load_test": {"started_ns": 5_000_000_000}}
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    assert read(tmp_path, 3) == Outcome(3, (2,), 0.75, 700)
    assert read(tmp_path / "nothing", 5) == Outcome(5)


def test_the_table_says_what_is_wrong() -> None:
    good = Row("one", "lib 1.0", False, (LEAK, Outcome(3, (1, 2), 1.5), PASSED))
    bad = Row("one", "lib 1.1", True, (PASSED, NOT_JUDGED))
    lines = table([good, bad]).splitlines()[2:]
    assert lines == [
        "| one | lib 1.0 | 3 | 2 | 4,700 | 1, 2 | 1.0 s (0.5 to 1.5) | NO (exit codes 0, 3) |",
        "| one | lib 1.1, fixed | 2 | 0 | 4,000 | – | – | NO (exit codes 0, 4) |",
    ]


# --- the incidents themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.folder)
def test_releases_differ_in_one_line_alone_and_the_server_does_not_know_them(incident) -> None:  # type: ignore[no-untyped-def]
    pins = {release: incident.requirements(release).read_text().splitlines() for release in incident.releases}
    assert incident.releases[0] == "vulnerable" and incident.releases[-1] == "fixed"
    assert len({pin[0] for pin in pins.values()}) == len(pins) and len({tuple(pin[1:]) for pin in pins.values()}) == 1
    assert len({pin[0].partition("==")[0] for pin in pins.values()}) == 1
    assert all(re.match(r"[\w-]+==\d[\w.]*(;|$)", line) for pin in pins.values() for line in pin)
    server = (HERE / incident.folder / "server.py").read_text()
    assert len(server.splitlines()) <= 150
    assert not re.search(r"version|vulnerable|==\d", server.partition('"""')[2].partition('"""')[2])
    readme = (HERE / incident.folder / "README.md").read_text()
    assert all(incident.pin(release) in readme for release in incident.releases) and "https://" in readme


# --- what stands around the servers ---------------------------------------------------------------------------------


def test_the_delay_proxy_passes_everything_on_in_order_and_late() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def talk() -> tuple[bytes, float, bytes]:
        target = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = await delay.listen("127.0.0.1", target.sockets[0].getsockname()[1], 0.03)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.sockets[0].getsockname()[1])
        begun_s = time.monotonic()
        writer.writelines([b"one ", b"two ", b"x" * 200_000])
        heard = await reader.readexactly(200_008)
        took_s = time.monotonic() - begun_s
        writer.write_eof()
        rest = await reader.read()
        writer.close()
        proxy.close()
        target.close()
        return heard, took_s, rest

    heard, took_s, rest = asyncio.run(asyncio.wait_for(talk(), 20))
    assert heard == b"one two " + b"x" * 200_000 and rest == b""
    assert took_s >= 0.06


def test_the_reverse_proxy_shares_its_connections_among_its_clients() -> None:
    peers, seen = [], []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        seen.append((request.method, request.path_qs, request.headers["Authorization"], await request.text()))
        return web.Response(status=201, text="made", headers={"X-Of": request.headers["Authorization"]})

    async def talk() -> list[tuple[int, str, str]]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy = await front.listen(f"http://127.0.0.1:{runner.addresses[0][1]}")
        url, heard = f"http://127.0.0.1:{proxy.addresses[0][1]}/runs?of=mine", []
        for name in ("anna", "bert"):
            async with (
                aiohttp.ClientSession() as client,
                client.post(url, data=f"I am {name}", headers={"Authorization": name}) as said,
            ):
                heard.append((said.status, await said.text(), said.headers["X-Of"]))
        await proxy.cleanup()
        await runner.cleanup()
        return heard

    assert asyncio.run(asyncio.wait_for(talk(), 20)) == [(201, "made", "anna"), (201, "made", "bert")]
    assert seen == [("POST", "/runs?of=mine", name, f"I am {name}") for name in ("anna", "bert")]
    assert len(set(peers)) == 1


def test_a_program_runs_until_the_block_is_left(tmp_path: Path) -> None:
    script = (
        "import os, threading; print('hello'); print('LISTENING', os.getpid(), flush=True); threading.Event().wait()"
    )
    with program([sys.executable, "-c", script], tmp_path / "log", env=environment(), address_in=listening) as address:
        assert psutil.pid_exists(int(address))
    assert not psutil.pid_exists(int(address))
    assert "hello" in (tmp_path / "log").read_text()


def test_a_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no port is free')"]
    with (
        pytest.raises(StandFailed, match="no port is free"),
        program(command, tmp_path / "log", env=environment(), address_in=listening),
    ):
        pass


# --- the leaks ------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_leak_is_found_where_it_is_and_not_where_it_is_mended() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.incidents"], cwd=ROOT, env=environment(), capture_output=True, text=True,
        timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"(?m)^\| .* \| yes \|$", done.stdout)) == sum(len(one.releases) for one in INCIDENTS) == 7
