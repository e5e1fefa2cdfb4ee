"""Drives stories: each start is a process of its own that runs the very script that will be handed out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reports.reproduce_script import Way, script, write
from reports.reproduce_shrink import Count, Rule, counted, leaks_enough
from reports.reproduce_story import Story

LEAKED, CLEAN, NOT_THERE = 3, 0, 5
#: beyond the time that a start may take by itself: to connect, and to end
GRACE_S = 40.0


class NotThere(Exception):
    """The target is not there, or lets nobody in; the text says why."""


@dataclass(frozen=True, slots=True)
class Driver:
    """:param secrets: variables for the script, with what it signs tokens with; they go to no file.
    :param folder: where the scripts of candidates may stand.
    :param may_go_on: False once the time is over.
    """

    way: Way
    secrets: Mapping[str, str]
    folder: Path
    say: Callable[[str], None]
    may_go_on: Callable[[], bool]

    def count(self, story: Story, starts: int) -> Count:
        """:raises NotThere: :raises NotReproducible:"""
        count = counted(self._starter(story), starts, self.may_go_on)
        self.say(f"  {story.size}: {count}")
        return count

    def judge(self, story: Story, rule: Rule) -> bool:
        """Whether it leaks enough, in as few starts as are needed; said in one line.

        :raises NotThere: :raises NotReproducible:
        """
        enough, count = leaks_enough(self._starter(story), rule)
        self.say(f"  {story.size}: {count}{'' if enough else ', not enough'}")
        return enough

    def _starter(self, story: Story) -> Callable[[], bool]:
        path = self.folder / "candidate.py"
        write(str(path), script(story, self.way, title="A story that is being tried."))
        limit_s = story.rounds * (story.listen_ms / 1000 + 1) + GRACE_S
        return lambda: started(path, self.way.host, self.secrets, limit_s) == LEAKED


def started(path: Path, host: str, secrets: Mapping[str, str], limit_s: float) -> int:
    """One start of a script: its exit code.

    :raises NotThere: it says so, or ended in another way than it may.
    """
    try:
        # -P: nothing beside the script is imported by mistake
        done = subprocess.run(
            [sys.executable, "-P", str(path), "--host", host],
            env={**os.environ, **secrets},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotThere(f"a start took longer than {limit_s:.0f} s") from None
    said = (done.stdout.strip() or done.stderr.strip() or "nothing was said").splitlines()
    if done.returncode == NOT_THERE:
        raise NotThere(said[-1])
    if done.returncode not in (LEAKED, CLEAN):
        raise NotThere(f"the script ended with {done.returncode}: {(done.stderr.strip().splitlines() or said)[-1]}")
    return done.returncode
