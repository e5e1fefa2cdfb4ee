"""The compiled receive path: used where it was made of these very sources, and right by the same tests as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from crosstalk import compiled
from crosstalk.compiled import IN_C, MANIFEST, MODULES, ROOT, Finder, finder, hashes
from crosstalk.tools.compile import CannotCompile, build

SOURCE = "crosstalk/one.py"
#: tests of what is compiled; those that plant mistakes of ours by exchanging a method are left to the sources
ON_COMPILED = (
    "tests/wire/test_rfc6455.py",
    "tests/wire/test_netra.py",
    "tests/checks/test_run.py",
    "tests/checks/test_canary.py",
    "tests/checks/test_isolation.py",
    "tests/checks/test_deep.py",
    "tests/checks/test_quick.py",
    "tests/checks/test_pieces.py",
    "tests/record/test_batch.py",
    "tests/record/test_event_log.py",
    "tests/test_connection.py",
    "tests/test_stamps.py",
    "tests/test_session.py",
    "tests/test_notes.py",
    "tests/test_live_run.py",
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A root with one source, and a folder that says it was compiled of it."""
    (tmp_path / "crosstalk").mkdir()
    (tmp_path / SOURCE).write_text("number = 1\n")
    folder = tmp_path / "made"
    folder.mkdir()
    file = f"crosstalk.one{EXTENSION_SUFFIXES[0]}"
    (folder / file).write_bytes(b"\x7fELF")
    manifest = {"sources": hashes(["crosstalk.one"], root=tmp_path), "files": {"crosstalk.one": file}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_what_was_made_of_these_sources_is_found(made):
    found = finder(made, root=made.parent)
    assert found is not None
    spec = found.find_spec("crosstalk.one", None)
    assert spec is not None and spec.origin == str(made / f"crosstalk.one{EXTENSION_SUFFIXES[0]}")
    assert found.find_spec("crosstalk.other", None) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: (made.parent / SOURCE).write_text("number = 2\n"),
        lambda made: (made.parent / SOURCE).unlink(),
        lambda made: next(made.glob("*one*")).unlink(),
        lambda made: (made / MANIFEST).unlink(),
        lambda made: (made / MANIFEST).write_text("{"),
        lambda made: (made / MANIFEST).write_text("[]"),
        lambda made: (made / MANIFEST).write_text('{"sources": {}}'),
    ],
    ids=["edited", "no source", "no file", "no manifest", "half a manifest", "a list", "without files"],
)
def test_anything_else_runs_as_it_is_written(made, spoil):
    spoil(made)
    assert finder(made, root=made.parent) is None


def test_whoever_asks_for_the_sources_gets_them(monkeypatch):
    monkeypatch.setenv(compiled.PURE, "1")
    monkeypatch.setattr(compiled, "finder", lambda: Finder({}))
    before = list(sys.meta_path)
    assert compiled.install() is False
    assert sys.meta_path == before


def test_what_is_to_be_compiled_is_there():
    assert hashes().keys() == {*MODULES, *IN_C}


def test_without_a_compiler_it_is_said_that_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CannotCompile, match="no C compiler"):
        build(tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_tests_hold_for_what_is_compiled():
    if finder() is None:
        build()
    environment = {**os.environ, compiled.PURE: ""}
    said = "import crosstalk.connection as c, crosstalk.compiled as k; print(k.in_use(), c.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("compiled ") and str(compiled.FOLDER) in done.stdout, done.stdout + done.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ON_COMPILED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
