"""`connect(events)`: the one place where the parts meet Locust.

Roles: a *worker* generates load (worker.py); a *master* keeps the record (keeper.py); a *local* runner is both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from locust.event import EventHook
from locust.runners import WorkerRunner

from crosstalk.config import ConfigError
from crosstalk.keeper import Keeper, refuse
from crosstalk.load_test import AtEnd
from crosstalk.options import add_options
from crosstalk.ports import PortChoice
from crosstalk.selection import leave_out
from crosstalk.vitals import raise_file_limit
from crosstalk.wire.redact import redact
from crosstalk.worker import Worker


def connect(events: Any, *, at_end: AtEnd | None = None, scenario: str | None = None) -> None:
    """Join Crosstalk to Locust's events; a locustfile calls it once.

    :param at_end: makes the reports of a finished record and returns the verdict (`reports.publish`).
    :param scenario: the scenario's name in records; by default, the locustfile's.
    """
    events.init_command_line_parser.add_listener(add_options)
    choice = PortChoice()
    events.init_command_line_parser.add_listener(choice)
    events.init.add_listener(lambda environment, runner, **_: _init(environment, runner, at_end, scenario, choice))


def _select(environment: Any) -> None:
    """Leave users out of whom `--tags` and `--exclude-tags` leave no task; a mistake ends Locust with code 2."""
    options = environment.parsed_options
    try:
        leave_out(environment.user_classes, options.tags, options.exclude_tags)
    except ConfigError as problem:
        refuse(str(problem))


def _init(environment: Any, runner: Any, at_end: AtEnd | None, scenario: str | None, choice: PortChoice) -> None:
    # listeners are registered here and not at import: those run after Locust's own, too late to finish in
    raise_file_limit()
    _select(environment)
    environment.events.crosstalk_problem = EventHook()
    environment.events.user_error.add_listener(
        lambda exception, **_: environment.events.crosstalk_problem.fire(
            text=redact(f"a user crashed: {type(exception).__name__}: {exception}")
        )
    )
    if isinstance(runner, WorkerRunner):
        Worker(environment, runner, own_terminal=choice.is_worker).listen()
        return
    name = scenario or Path(environment.parsed_options.locustfile.split(",")[0]).stem
    keeper = Keeper(environment, runner, at_end, name)
    keeper.check_settings()
    keeper.listen()
