"""Each fault of access, as the one who reaches sees it; an account without the fault is refused the same."""

import re
from collections.abc import Iterator

import pytest

from crosstalk.backend.catalogue import BY_NAME
from crosstalk.backend.catalogue_access import ACCESS
from tests.backend.client import Backend, backend
from tests.backend.reaching import AGUI, NETRA, PER_RUN, victim_in

NAMES = tuple(NETRA)
SHAPED = {"netra": NETRA, "agui": AGUI, "per_run": PER_RUN}
CASES = [
    pytest.param(shape, name, number, id=f"{shape}-{name}-{number}")
    for shape, table in SHAPED.items()
    for name, tries in table.items()
    for number in range(len(tries))
]
#: without a fault
HONEST = 900


def stranger(number: int) -> str:
    return f"out{number:05}"


@pytest.fixture(scope="module")
def faulty() -> Iterator[Backend]:
    """Every fault of access, each at an account of its own."""
    faults = [part for number, name in enumerate(NAMES) for part in ("--fault", f"{name}:1:{number}")]
    with backend("--time-scale", "0.05", "--environment", "test", *faults) as process:
        yield process


def bites(process: Backend, name: str) -> set[str]:
    return set(re.findall(rf"fault {name} bites user (\S+),", process.log.read_text()))


@pytest.mark.parametrize(("shape", "name", "number"), CASES)
def test_it_shows_to_its_account_and_to_no_other(faulty, shape, name, number):
    attempt = SHAPED[shape][name][number]
    with victim_in(faulty, shape, "vic00950") as victim:
        assert not attempt(faulty, stranger(HONEST), victim)
    with victim_in(faulty, shape, "vic00951") as victim:
        assert attempt(faulty, stranger(NAMES.index(name)), victim)
    assert bites(faulty, name) == {stranger(NAMES.index(name))}


def test_every_fault_of_access_is_tried_in_every_shape_that_has_it():
    elsewhere = {"demo_user", "hashed_ids", "permissive_breaker", "header_ignored", "subprotocol_ignored"}
    assert {fault.name for fault in ACCESS} == set(NETRA) | elsewhere
    # identity, listings in detail, and what HTTP answers is the same code for all shapes
    shared = {name for name in NETRA if name.startswith("accept")}
    shared |= {"refresh_gives_other_user", "leak_history_query", "listing_incomplete", "admin_open", "debug_open"}
    shared |= {"header_leak", "http_error_body_leak"}
    for shape in ("agui", "per_run"):
        applies = {name for name in NETRA if BY_NAME[name].applies(shape)}
        assert applies - shared == set(SHAPED[shape]), shape


def test_what_bites_only_after_a_cancel_waits_for_one():
    fault = ("--fault", "idor_read_thread:1:after_cancel")
    with backend("--time-scale", "0.05", *fault) as process, victim_in(process, "netra", "vic00950") as victim:
        (attempt,) = NETRA["idor_read_thread"]
        assert not attempt(process, stranger(1), victim)
        assert victim.client
        run = victim.client.start("long answer")
        victim.client.send("stop_agent", payload={"run_id": run})
        victim.client.read_to_end()
        assert attempt(process, stranger(1), victim)
        assert not attempt(process, stranger(1), victim)  # once for each cancel
