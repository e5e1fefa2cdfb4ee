"""Table and picture of the scale bench."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Sequence

import psutil
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.scale_figures import Figures
from crosstalk.vitals import processor
from reports.drawing import BLUE, GREEN, GRID, INK, MUTED, ORANGE, VERMILLION

HEAD = """# How many users one machine carries

One load test a line, the reference backend on the same machine, everything on: accounts and tokens, all checks, the
record, the reports. Users take their turns by a schedule (`--arrivals constant`); the default cast and prompts. The
window begins when all users are there and ends when they are told to stop. CPU: 100 % is one processor. Memory per user
is what the generating processes grew by, over the users: until all were there, and until the end of the window, the
record's rows of all events included where one process is everything.

Measured on {machine}.

"""
COLUMNS = (
    "users", "processes", "window, s", "ready", "ramp, s", "events/s", "asked for", "runs ok", "not ok", "cut",
    "lag p50, ms", "lag p99, ms", "hub lag max, ms", "µs/event", "CPU ours", "CPU backend",
    "KiB/user, all there", "KiB/user, end",
    "backend KiB/user", "unaccounted", "false violations", "end, s", "record, MiB", "reports, MiB",
)  # fmt: skip


def machine() -> str:
    """What it was measured on, and how busy that was before."""
    memory_gib = psutil.virtual_memory().total / 2**30
    busy = f", load average before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} × {processor() or platform.machine()}, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}{busy}"
    )


def as_markdown(done: Sequence[Figures], where: str) -> str:
    rule = "|" + "---:|" * len(COLUMNS)
    lines = ["| " + " | ".join(COLUMNS) + " |", rule, *("| " + " | ".join(_cells(one)) + " |" for one in done)]
    text = HEAD.format(machine=where) + "\n".join(lines) + "\n"
    if scaling := _scaling(done):
        text += "\n## CPU of the generating processes by their number, the backend's apart\n\n" + scaling
    for one in done:
        if not one.whole:
            said = "; ".join(one.problems) or "see the columns"
            text += f"\n{one.users:,} users, {_processes(one)}: not whole: {said}.\n"
            text += "".join(f"\n- `{accusation}`\n" for accusation in one.accusations)
    return text


def _cells(one: Figures) -> list[str]:
    ours = sum(share for role, share in one.cpu_percent.items() if role != "backend")
    return [
        f"{one.users:,}", _processes(one), f"{one.seconds:.0f}", f"{one.connected:,}", f"{one.ramp_s:.0f}",
        f"{one.events_per_s:,.0f}", f"{one.events_wanted_per_s:,.0f}", f"{one.runs_ok:,}", str(one.runs_other),
        str(one.runs_cut), _number(one.lag_p50_ms, 2), _number(one.lag_p99_ms, 1), f"{one.hub_lag_max_ms:.0f}",
        _number(one.cpu_us_per_event, 0), f"{ours:.0f} %", f"{one.cpu_percent.get('backend', 0):.0f} %",
        _number(one.kib_per_user_there, 0), _number(one.kib_per_user, 0),
        _number(one.backend_kib_per_user, 0), str(one.unaccounted),
        str(one.false_violations), f"{one.end_s:.0f}", f"{one.record_mib:.1f}", f"{one.rss_mib['reports']:.0f}",
    ]  # fmt: skip


def _scaling(done: Sequence[Figures]) -> str:
    """For numbers of users that were measured with one worker and with more: what an event costs then."""
    lines = []
    for alone in (one for one in done if one.workers == 1 and one.worker_us_per_event):
        for more in done:
            if more.users == alone.users and more.workers > 1 and more.worker_us_per_event:
                assert alone.worker_us_per_event
                share = alone.worker_us_per_event / more.worker_us_per_event
                lines.append(
                    f"- {alone.users:,} users: {alone.worker_us_per_event:.0f} µs of the workers' CPU an event with "
                    f"one worker, {more.worker_us_per_event:.0f} µs with {more.workers}: "
                    f"with a processor each they would carry {share * more.workers:.2f} times the events of one\n"
                )
    return "".join(lines)


def _processes(one: Figures) -> str:
    return f"1 + {one.workers}" if one.workers else "1"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def picture(done: Sequence[Figures], where: str) -> bytes:
    """PNG: memory, CPU, and lag, by number of users; of the form with the fewest processes."""
    form = min(one.workers for one in done)
    shown = sorted((one for one in done if one.workers == form), key=lambda one: one.users)
    users = [one.users for one in shown]
    figure = Figure(figsize=(10.5, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    memory, cpu, lag = figure.subplots(1, 3)
    role = "worker" if form else "generator"
    memory.plot(users, [one.rss_mib.get(role, 0) for one in shown], "o-", color=BLUE, label="harness")
    memory.plot(users, [one.rss_mib.get("backend", 0) for one in shown], "s--", color=MUTED, label="backend")
    memory.set_ylabel("MiB")
    ours = [sum(share for name, share in one.cpu_percent.items() if name != "backend") for one in shown]
    cpu.plot(users, ours, "o-", color=BLUE, label="harness")
    cpu.plot(users, [one.cpu_percent.get("backend", 0) for one in shown], "s--", color=MUTED, label="backend")
    cpu.set_ylabel("% of one processor")
    lag.plot(users, [one.lag_p99_ms or 0 for one in shown], "o-", color=VERMILLION, label="p99")
    lag.plot(users, [one.lag_p50_ms or 0 for one in shown], "o-", color=ORANGE, label="p50")
    lag.set_ylabel("receive lag, ms")
    lag.set_yscale("symlog", linthresh=0.1)
    for axes, title in ((memory, "memory"), (cpu, "CPU"), (lag, "receive lag")):
        axes.set_title(title, color=INK, loc="left", fontsize=10)
        axes.set_xlabel("users")
        axes.set_ylim(bottom=0)
        axes.grid(color=GRID)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    lost: int | str = sum(one.unaccounted or 0 for one in shown)
    lost = "an unknown number" if any(one.unaccounted is None for one in shown) else lost
    events = sum(one.events_per_s * one.seconds for one in shown)
    figure.suptitle(f"{events:,.0f} events, {lost} unaccounted", color=GREEN if not lost else VERMILLION, fontsize=10)
    figure.supxlabel(where, color=MUTED, fontsize=7)
    into = io.BytesIO()
    figure.savefig(into, format="png", metadata={"Software": None})
    return into.getvalue()
