"""What the tests of a module share is made once, also when they run side by side."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import scope

SHARING = """
import os
import pytest

@pytest.fixture(scope="module")
def dear():
    with open("made", "a") as made:
        made.write(os.environ["PYTEST_XDIST_WORKER"] + " ")

@pytest.mark.parametrize("number", range(12))
def test_it(dear, number):
    pass
"""
ALONE = """
import pytest

@pytest.mark.parametrize("number", range(12))
def test_it(number):
    pass
"""


def test_a_shared_fixture_is_made_once_by_two_processes(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "tests")
    (tmp_path / "tests/test_sharing.py").write_text(SHARING)
    (tmp_path / "tests/test_alone.py").write_text(ALONE)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "24 passed" in done.stdout, done.stdout + done.stderr
    assert len((tmp_path / "made").read_text().split()) == 1
    ran = [line.split() for line in done.stdout.splitlines() if line.startswith("[gw")]
    assert len({words[0] for words in ran if "test_sharing" in words[-1]}) == 1


def test_modules_that_share_a_backend_or_a_load_test_stay_whole_and_others_do_not() -> None:
    assert scope("tests/end_to_end/test_faults.py::test_a[b::c]") == "tests/end_to_end/test_faults.py"
    assert scope("tests/backend/test_delays.py::test_a") == "tests/backend/test_delays.py"
    assert scope("tests/end_to_end/test_endings.py::test_a[b]") == "tests/end_to_end/test_endings.py::test_a[b]"
