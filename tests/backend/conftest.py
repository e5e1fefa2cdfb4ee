from collections.abc import Iterator

import pytest

from tests.backend.client import Backend, backend


@pytest.fixture(scope="module")
def clean() -> Iterator[Backend]:
    """A backend without faults, quick: a tenth of the usual delays."""
    with backend("--time-scale", "0.1", "--revision", "abc123", "--environment", "test") as process:
        yield process
