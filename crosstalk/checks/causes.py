"""Where it broke: failures grouped by stage and signature, each with what the record shows, likely causes, and what to
look at next.

In the way of the data: the columns of a finished record in, a list of groups out, the most frequent first. Every failed
run, connection and step of a journey is in exactly one group. A cause is never proved by a record: each says how sure
it is. `always` follows from what was seen, `likely` is what is most often behind this picture, `possible` is worth a
look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosstalk.checks.causes_broken import Broken, broken
from crosstalk.checks.causes_group import AT_ONCE_NS, SURE, Cause, Group, Whole, whole_of
from crosstalk.checks.causes_known import KNOWN
from crosstalk.checks.causes_rules import STAGES
from crosstalk.checks.columns import Columns
from crosstalk.checks.words import counted, listed, number

#: groups that a verdict holds, and causes that a group names
GROUPS_MAX = 50
CAUSES_MAX = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """A group. `count` runs, connections or steps (`of` says which) are in it; `share` of all of these that there were,
    None where there were none. `runs` counts those that failed with it, also where it is a group of connections."""

    stage: str
    signature: str
    of: str
    count: int
    share: float | None
    first_ns: int
    last_ns: int
    users: int
    connections: int
    runs: int
    example_run: str  # "" where no run was under way
    example_connection: str
    example_trace_id: str
    example_user: str
    example_from_ns: int
    example_until_ns: int
    shown: tuple[str, ...]  # what the record shows beyond the signature
    causes: tuple[Cause, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `verdict.json`."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("shown", "causes")}
        causes = [{name: getattr(c, name) for name in ("name", "sure", "likely", "look_at")} for c in self.causes]
        return {**plain, "shown": list(self.shown), "causes": causes}


def where_it_broke(run: Mapping[str, Any], tables: Mapping[str, Columns]) -> list[Failure]:
    """Groups of failures, the most frequent first; among equals, the earlier stage.

    :param run: what `run.json` holds. :param tables: `runs`, `connections`, `violations`, `steps`.
    """
    whole = whole_of(run, tables)
    groups: dict[tuple[str, str, str], list[Broken]] = {}
    for one in broken(tables, timeout_ns=int(whole.agent_timeout_s * 1e9)):
        groups.setdefault((one.of, one.stage, one.signature), []).append(one)
    made = [Group(*key, tuple(members)) for key, members in groups.items()]
    found = [_failure(group, whole, made) for group in made]
    return sorted(found, key=lambda one: (-one.count, STAGES.index(one.stage), one.signature, one.of))


def causes_of(group: Group, whole: Whole) -> tuple[Cause, ...]:
    """What may be behind a group, the surest first."""
    fitting = [cause for cause in KNOWN if cause.when(group, whole)]
    return tuple(sorted(fitting, key=lambda cause: SURE.index(cause.sure))[:CAUSES_MAX])


def _failure(group: Group, whole: Whole, groups: Sequence[Group]) -> Failure:
    members = sorted(group.members, key=lambda one: (one.from_ns, one.account, one.connection))
    example = next((one for one in members if one.runs or one.run_beside), members[0])
    return Failure(
        stage=group.stage,
        signature=group.signature,
        of=group.of,
        count=group.count,
        share=whole.share(group),
        first_ns=members[0].from_ns,
        last_ns=members[-1].from_ns,
        users=len(group.users),
        connections=len({one.connection for one in members if one.connection}),
        runs=len({(one.account, name) for one in members for name in one.runs}),
        example_run=example.runs[0] if example.runs else example.run_beside,
        example_connection=example.connection,
        example_trace_id=example.trace_id,
        example_user=example.account,
        example_from_ns=example.from_ns,
        example_until_ns=max(example.until_ns, example.from_ns),
        shown=(*_shown(group, whole), *_same_users(group, groups)),
        causes=causes_of(group, whole),
    )


def _shown(group: Group, whole: Whole) -> list[str]:
    """What the record shows of a group beyond its signature, in words."""
    lines = [*_who(group, whole), *_when(group, whole)]
    said = sorted({one.said for one in group.members if one.said and one.said not in group.signature})
    if said:
        lines.append(f"the peer said: {listed([f'“{text}”' for text in said])}")
    if group.identities and "identity" in group.signature:
        lines.append(f"the peer named {listed(sorted(group.identities))}")
    kinds = Counter(str(row["event_kind"]) for row in group.violations if row["event_kind"])
    if kinds:
        lines.append("seen in " + ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common(5)))
    others = [f"{name} in {n:,}" for name, n in group.names.most_common() if not _is_named(name, group.signature)]
    if others:
        lines.append(f"the same runs also show {listed(others)}")
    if whole.slope is not None and whole.slope >= 1.5:
        lines.append(f"good runs took {number(whole.slope)} times as long in the last third as in the first")
    return lines


def _who(group: Group, whole: Whole) -> list[str]:
    users = counted(len(group.users), "users")
    if group.stage in STAGES[: STAGES.index("send")]:
        return [f"{users} of {len(whole.accounts):,}"] if len(whole.accounts) > 1 else []
    if whole.never_ok(group):
        others = sum(good for user, good in whole.runs_ok.items() if user not in group.users)
        elsewhere = f"; {counted(others, 'runs')} of others ended well" if others else "; nor did any other run"
        return [f"no run of {'this user' if len(group.users) == 1 else f'these {users}'} ended well{elsewhere}"]
    good = counted(whole.good_runs(group), "runs")
    return [f"{users} of {len(whole.accounts):,}, who also had {good} that ended well"]


def _when(group: Group, whole: Whole) -> list[str]:
    lines = []
    if group.users_at_once >= 3 and group.signature.startswith(("close", "agent error")):
        lines.append(f"{group.users_at_once} users at once, within {AT_ONCE_NS / 1e9:g} s")
    if group.alike_silence() and group.count > 1:
        low, high = group.silences_s[0], group.silences_s[-1]
        span = f"{low:.1f} s" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} s"
        against = f"; the agent timeout is {whole.agent_timeout_s:g} s" if whole.agent_timeout_s else ""
        lines.append(f"each ended {span} after our last frame{against}")
    return lines


def _same_users(group: Group, groups: Sequence[Group]) -> list[str]:
    """Groups of the very same users are often one mistake seen twice."""
    same = [f"“{one.signature}”" for one in groups if one is not group and one.users == group.users]
    return [f"the very same users as {listed(same)}"] if same and len(group.users) > 1 else []


def _is_named(name: str, signature: str) -> bool:
    return name in signature or name.replace("_", " ") in signature or name in ("no_end", "silent")
