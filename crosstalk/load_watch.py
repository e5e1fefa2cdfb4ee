"""How near a load test comes to what its machine was calibrated to: said beforehand, and once more when it is so."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from crosstalk import __version__
from crosstalk.calibration import Expected, calibration_file, read_calibration, this_machine
from crosstalk.config import Settings

#: over so long is counted what comes; batches of rows come twice a second
WINDOW_S = 5.0


class LoadWatch:
    """Of one load test.

    :param processes: that generate load.
    :param say: prints a line.
    """

    def __init__(self, settings: Settings, target: str, *, processes: int, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        url = settings.environment.places.socket_url or target
        self._expected = Expected(
            read_calibration(calibration_file(), this_machine(__version__)),
            processes,
            urlsplit(url).scheme in ("https", "wss"),
        )
        self._since: tuple[float, int] | None = None
        self._said = False

    def before(self, users: int, run_s: float) -> None:
        """Before the first user.

        :param run_s: about what a turn takes, where users do not have a schedule.
        """
        seconds_per_turn = self._settings.turn_interval_s or run_s + self._settings.think_time_s
        if line := self._expected.beforehand(users=users, seconds_per_turn=seconds_per_turn):
            self._say(line)
            self._said = line.startswith("WARNING")

    def look(self, elapsed_s: float, events: int) -> None:
        """While it runs: so many events have come by now. Warns once, unless it has warned before."""
        if self._since is None:
            self._since = elapsed_s, events
        began_s, before = self._since
        if self._said or elapsed_s - began_s < WINDOW_S:
            return
        self._since = elapsed_s, events
        if line := self._expected.meanwhile((events - before) / (elapsed_s - began_s)):
            self._say(line)
            self._said = True
