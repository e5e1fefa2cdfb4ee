"""What holds for all tests."""

import pytest

#: modules whose load tests many of their tests share: kept on one worker, so that they run once
SHARED = ("test_faults", "test_docs_commands", "test_preflight")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Load tests wait most of the time, so tests run side by side, each where there is room."""
    for item in items:
        module = item.module.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
        if module in SHARED and ("end_to_end" in item.path.parts or module == "test_docs_commands"):
            item.add_marker(pytest.mark.xdist_group(module))
        elif "backend" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(f"backend {module}"))
