"""The process: how it starts, what it refuses, how it ends."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

import crosstalk.backend
from crosstalk.backend.catalogue import NAMES
from tests.backend.client import ROOT, backend, command, environment


def ended(*arguments, **changes):
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=20,
        cwd=ROOT,
        env=environment(**changes),
        check=False,
    )


def test_it_lists_its_faults():
    result = ended("--list-faults", JWT_SECRET_KEY=None)
    assert result.returncode == 0
    assert tuple(line.split()[0] for line in result.stdout.splitlines()) == NAMES


@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        (["--port", "0"], {"JWT_SECRET_KEY": None}, "JWT_SECRET_KEY"),
        (["--port", "0"], {"JWT_SECRET_KEY": "short"}, "at least 32 bytes"),
        (["--fault", "leak_contend"], {}, "did you mean leak_content?"),
        (["--fault", "leak_content:2"], {}, "rate '2'"),
        (["--delay", "tool=slow"], {}, "lognormal:MEDIAN,SIGMA"),
        (["--port", "70000"], {}, "not a port"),
        (["--time-scale", "nan"], {}, "not a finite number"),
        (["--nonsense"], {}, "--nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, changes, said):
    result = ended(*arguments, **changes)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_a_taken_port_is_said():
    with backend() as process:
        result = ended("--port", process.url.rsplit(":", 1)[1])
    assert result.returncode == 1
    assert "cannot listen" in result.stderr


def test_it_ends_when_standard_input_closes():
    with backend() as process, process.user("k3f00017") as client:
        client.start("long answer")
        process.process.stdin.close()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.read()
        assert closed.value.rcvd.code == 1001
        assert process.process.wait(timeout=5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_sockets_close_with_1001(number):
    with backend() as process, process.user("k3f00017") as one, process.user("k3f00018") as two:
        process.process.send_signal(number)
        for client in (one, two):
            with pytest.raises(ConnectionClosed) as closed:
                client.read()
            assert closed.value.rcvd.code == 1001
        assert process.process.wait(timeout=5) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a dead parent on Linux only")
def test_it_ends_with_its_parent_even_where_standard_input_stays_open():
    starter = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    parent = subprocess.Popen(
        [sys.executable, "-c", starter, *command("--port", "0", "--exit-with-stdin")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    with parent.stdin, parent.stdout:
        assert parent.stdout.readline().startswith("LISTENING")
        parent.kill()
        # The end of its output is the end of the backend: nobody else holds the other side.
        assert parent.stdout.read() == ""
        parent.wait(timeout=5)


def test_without_the_option_a_closed_standard_input_is_nothing():
    process = subprocess.Popen(
        command("--port", "0"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    try:
        assert process.stdout.readline().startswith("LISTENING")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.terminate()
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_it_imports_nothing_else_of_the_project():
    for path in Path(crosstalk.backend.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith("crosstalk") or name.startswith("crosstalk.backend"), path
