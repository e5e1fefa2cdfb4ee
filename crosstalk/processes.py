"""Processes end together: forked workers with their master, and nobody because of a stray signal."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import gevent
import psutil

_PR_SET_PDEATHSIG = 1


def die_with_parent(*, gently: bool = False) -> bool:
    """In a forked worker: end when its parent does, however that ends. Returns whether Locust forked this process.

    A parent check backs the kernel's signal up: the parent may have died between fork and here.

    :param gently: by SIGTERM, so that what there is can be handed over: the parent is not the master.
    """
    parent = os.getppid()
    try:
        forked = bool(psutil.Process(parent).cmdline() == psutil.Process().cmdline())
    except psutil.Error:
        forked = False
    if forked:
        number = signal.SIGTERM if gently else signal.SIGKILL
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
        gevent.spawn(_watch_parent, parent, number)
    return forked


def _watch_parent(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        gevent.sleep(1.0)
    os.kill(os.getpid(), number)


def ignore_interrupt() -> None:
    """Ctrl+C reaches the whole process group; a forked worker leaves it to its master."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt_main() -> None:
    """Let SIGINT reach the main greenlet only, and a second one not spoil the report of the first.

    By default it is raised in whichever greenlet happens to run: a user's, or the receiver's.
    """
    main = gevent.get_hub().parent
    pressed = 0

    def interrupt() -> None:
        main.throw(KeyboardInterrupt())

    def on_interrupt() -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 2:
            text = "already stopping, the report follows; once more abandons it"
            print(f"\ncrosstalk: {text}", file=sys.stderr, flush=True)
            return
        if pressed == 1:
            print("\ncrosstalk: stopping; open runs are given the time to end", file=sys.stderr, flush=True)
        gevent.get_hub().loop.run_callback(interrupt)

    gevent.signal_handler(signal.SIGINT, on_interrupt)


def children_of(pid: int) -> list[psutil.Process]:
    """Forked workers of this process: its children with its own command line."""
    try:
        me = psutil.Process(pid)
        return [child for child in me.children() if child.cmdline() == me.cmdline()]
    except psutil.Error:
        return []


def end_children(children: list[psutil.Process], *, patience_s: float = 5.0) -> None:
    """Wait for forked workers to end by themselves, then end them. They are left for Locust to reap."""
    deadline = patience_s
    while deadline > 0 and any(_alive(child) for child in children):
        gevent.sleep(0.05)
        deadline -= 0.05
    for child in children:
        if _alive(child):
            child.kill()


def is_running(pid: int) -> bool:
    try:
        return _alive(psutil.Process(pid))
    except psutil.Error:
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
