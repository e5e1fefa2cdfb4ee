"""The side of a load test that keeps its record: a master, or a local runner that is its own worker.

A load test ends in many ways (run time, a shape's end, Ctrl+C, SIGTERM, the web UI, the target's death); all lead to
`finish`, which may be called twice and works once.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from pathlib import Path
from typing import Any, NoReturn

import gevent
from gevent.event import Event as Flag
from locust.runners import LocalRunner, MasterRunner

from crosstalk.accounts import PREFLIGHT_NUMBER
from crosstalk.afterwards import bad_tokens
from crosstalk.checks.canary import new_load_test
from crosstalk.config import (
    ConfigError,
    Settings,
    canary_secret,
    check_target,
    load_settings,
)
from crosstalk.crew import Crew
from crosstalk.generator import Begin, Generator
from crosstalk.journey import families_played
from crosstalk.load_test import AtEnd, LoadTest, new_folder
from crosstalk.load_watch import LoadWatch
from crosstalk.processes import children_of, end_children, interrupt_main
from crosstalk.ready import revision_told
from crosstalk.target import BackendFailed, ReferenceBackend, check_ready

logger = logging.getLogger("crosstalk")

#: the longest that the end may take: users that stop, deletions, the last batches, reports of a long record
FINISH_S = 600.0
EXIT_USAGE, EXIT_UNKNOWN, EXIT_NOT_READY = 2, 4, 5
#: the target is asked for its revision, and its memory, again this often; oftener with `--memory-trace`
REVISION_EVERY_S = 30


def refuse(text: str) -> NoReturn:
    """A mistake on the command line or in a file: one line, and Locust ends with code 2."""
    print(f"crosstalk: {text}", file=sys.stderr, flush=True)
    end_children(children_of(os.getpid()))
    raise SystemExit(EXIT_USAGE)


class Keeper:
    """Listens to Locust's events and to the messages of workers; begins, watches and finishes load tests."""

    def __init__(self, environment: Any, runner: Any, at_end: AtEnd | None, scenario: str) -> None:
        self.environment = environment
        self.runner = runner
        self.at_end = at_end
        self.scenario = scenario
        self.local = isinstance(runner, LocalRunner)
        self.load_test: LoadTest | None = None
        self.generator: Generator | None = None  # of a local runner
        self.settings: Settings | None = None
        self.verdict: dict[str, Any] | None = None
        self._ticker: Any = None
        crewed = isinstance(runner, MasterRunner)
        self._crew = Crew(runner, self._current, self.on_problem) if crewed else None
        self._load_watch: LoadWatch | None = None
        self._finished = Flag()
        self._finishing = False
        self._abort_code: int | None = None

    # --- Locust's events --------------------------------------------------------------------------------------------

    def listen(self) -> None:
        events = self.environment.events
        interrupt_main()
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self.on_test_stopping)
        events.test_stop.add_listener(lambda **_: self.finish("users were stopped"))
        events.spawning_complete.add_listener(self.on_spawning_complete)
        events.quitting.add_listener(self.on_quitting)
        events.quit.add_listener(self.on_quit)
        events.crosstalk_problem.add_listener(self.on_problem)
        if self._crew is not None:
            self._crew.listen(events)

    def check_settings(self) -> None:
        """Read everything that can be read before the start. A mistake ends Locust with one line and code 2."""
        from crosstalk.checks.limits import LimitsError, parse_limits

        options = self.environment.parsed_options
        try:
            settings = load_settings(options)
            parse_limits(settings.limits_text, source=settings.limits_source)
            canary_secret(settings.results)
            if settings.accounts and (options.num_users or 1) > len(settings.accounts) and options.headless:
                raise ConfigError(
                    f"{options.num_users} users, but only {len(settings.accounts)} accounts in {options.accounts}: "
                    "each user needs one of its own; start fewer users, or add accounts"
                )
            self.environment.host = self.environment.host or settings.target or None
            asked = options.headless and self.environment.shape_class is None  # else nobody has said yet how many
            check_target(settings, self.environment.host or "", (options.num_users or 1) if asked else 0)
        except (ConfigError, LimitsError) as problem:
            refuse(str(problem))
        self.settings = settings
        # a run that hangs must have the time to be told so: cut short, it would only be counted apart
        patience_s = settings.environment.run_timeout_s + 2
        self.environment.stop_timeout = max(self.environment.stop_timeout or 0, patience_s)

    def on_test_start(self, **_: object) -> None:
        if self._finishing:  # the one before may still be writing its reports
            self._finished.wait(FINISH_S)
        self._finished.clear()
        self._finishing, self.verdict, self._abort_code = False, None, None
        try:
            self._begin()
        except (ConfigError, BackendFailed) as problem:
            self._abort(str(problem), getattr(problem, "exit_code", EXIT_USAGE))
        except Exception:
            logger.exception("crosstalk could not begin")
            self._abort("an error in Crosstalk itself; see above", EXIT_UNKNOWN)

    def on_spawning_complete(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.ramp_over()

    def on_test_stopping(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.stopping.set()

    def on_quitting(self, **_: object) -> None:
        """The process is about to end; on Ctrl+C and SIGTERM, users are still there."""
        if self.load_test is not None and not self._finishing:
            self.load_test.ended_by = self.load_test.ended_by or "interrupted"
            # fires test_stop, which finishes; a master tells its workers itself, in `finish`
            self.runner.stop() if self.local else self.runner.stop(send_stop_to_client=False)
        self.finish("interrupted")
        if self._abort_code is not None:
            self.environment.process_exit_code = self._abort_code
        elif self._was_cut_short():
            print("crosstalk: ended before the first user was started: nothing was tested", file=sys.stderr, flush=True)
            self.environment.process_exit_code = EXIT_UNKNOWN
        end_children(children_of(os.getpid()))

    def _was_cut_short(self) -> bool:
        """Locust's run time also passes while the target is started: a load test may be over before there is one."""
        nothing_said = self.verdict is None and self.environment.process_exit_code is None
        return nothing_said and bool(self.environment.parsed_options.headless)

    def on_quit(self, **_: object) -> None:
        """Locust has printed its tables: ours come last, where they are seen."""
        if self.environment.parsed_options.headless and self.verdict is not None and self.verdict.get("closing"):
            print("\n" + self.verdict["closing"], flush=True)

    def on_problem(self, text: str) -> None:
        if self.load_test is not None and text not in self.load_test.problems:
            self.load_test.problems.append(text)
            print(f"crosstalk: {text}", file=sys.stderr, flush=True)

    def _current(self) -> LoadTest | None:
        return None if self._finishing else self.load_test

    # --- begin ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.settings = settings = load_settings(self.environment.parsed_options)
        users = self.runner.target_user_count
        check_target(settings, self.environment.host or settings.target, users)
        if settings.accounts and users > len(settings.accounts):
            raise ConfigError(f"{users} users, but only {len(settings.accounts)} accounts: each needs one of its own")
        if settings.arrivals == "sessions" and not users:
            raise ConfigError("--arrivals sessions: expected a number of users, --users N; a shape does not say it")
        rng = random.Random(random.SystemRandom().getrandbits(64))
        load_test_number = new_load_test(rng)
        folder = new_folder(settings.results, self.scenario, load_test_number)
        reference = None
        host = self.environment.host or settings.target
        if not host:
            log = str(folder / "backend.log")
            reference = ReferenceBackend(
                seed=settings.seed,
                faults=settings.faults,
                occasions=settings.occasions,
                log=log,
                environment=settings.environment.name,
                token_life_s=settings.token_life_s,
            )
        from crosstalk.checks.limits import parse_limits

        limits = parse_limits(settings.limits_text, source=settings.limits_source)
        begin = Begin(
            load_test=load_test_number,
            canary_secret=canary_secret(settings.results),
            target=reference.url if reference else host,
            token_secret=reference.token_secret if reference else "",
            nonce_required=limits.nonce == "every_run",
            seed=settings.seed,
            users=users,
        )
        try:
            self._start_load_test(settings, begin, users, reference, folder)
        except BaseException:
            if reference is not None:
                reference.stop()
            raise

    def _start_load_test(
        self, settings: Settings, begin: Begin, users: int, reference: ReferenceBackend | None, folder: Path
    ) -> None:
        options = self.environment.parsed_options
        load_test = LoadTest(
            settings=settings,
            scenario=self.scenario,
            begin=begin,
            users=users,
            spawn_rate=float(options.spawn_rate or 1),
            run_time_s=float(options.run_time) if options.run_time else None,
            reference=reference,
            folder=folder,
            stop=self._stop_users,
            keep_evidence=self._keep_evidence,
            families=families_played(self.environment.user_classes),
            tags=tuple(sorted(options.tags or ())),
            excluded_tags=tuple(sorted(options.exclude_tags or ())),
        )
        self.load_test = load_test
        generator = Generator(
            settings=settings,
            begin=begin,
            fire_request=self.environment.events.request.fire,
            worker="local" if self.local else "master",
            role="local" if self.local else "master",
            send=lambda _number, body: self._take_own(body),
            ask=self._lease_own,
        )
        self.generator = generator
        load_test.readiness = check_ready(generator, self._preflight_number())
        load_test.saw_revision(load_test.readiness.told)
        for warning in settings.warnings:
            self.on_problem(warning)
        print(
            f"crosstalk: {load_test.folder}  seed {settings.seed}  target {begin.target.partition('?')[0]}", flush=True
        )
        if not load_test.readiness.ready:
            load_test.ended_by = "target not ready"
            self._abort(load_test.readiness.reason, EXIT_NOT_READY)
            return
        print(f"crosstalk: {load_test.plan()}", flush=True)
        processes = 1 if self.local else max(1, len(self.runner.clients.all))
        self._load_watch = LoadWatch(
            settings, begin.target, processes=processes, say=lambda line: print(f"crosstalk: {line}", flush=True)
        )
        self._load_watch.before(users, load_test.run_s)
        load_test.arm()
        if reference is not None:
            reference.watch(self._on_target_death)
        if self.local:
            self.environment.crosstalk = generator
        elif self._crew is not None:
            self._crew.begin(load_test)
        self._ticker = gevent.spawn(self._tick)

    def _preflight_number(self) -> int:
        """The account of the checks before and after: one that no user has, or the first of an accounts file."""
        assert self.settings is not None
        return 0 if self.settings.accounts else PREFLIGHT_NUMBER

    def _abort(self, text: str, exit_code: int) -> None:
        """This load test cannot begin: say so, and never let its users start."""
        print(f"crosstalk: {text}", file=sys.stderr, flush=True)
        self._abort_code = exit_code
        if self.environment.parsed_options.headless:
            gevent.spawn(self.runner.quit)
            gevent.sleep(3600)  # this greenlet would start the users next; quitting kills it
        else:
            gevent.spawn(self.runner.stop)

    def _on_target_death(self, text: str) -> None:
        self.on_problem(text)
        if self.load_test is not None:
            self.load_test.target_ended = True
            self.load_test.end("the target ended")

    def _lease_own(self, wanted: int) -> None:
        assert self.load_test is not None and self.generator is not None
        self.generator.purse.put(*self.load_test.leases.lease(wanted))

    def _take_own(self, body: bytes) -> None:
        if self.load_test is not None and self.generator is not None:
            self.generator.outbox.acknowledge(self.load_test.take_batch(body))

    def _keep_evidence(self, run_id: str) -> None:
        if self.local and self.generator is not None:
            gevent.spawn(self.generator.keep, run_id)
        elif self._crew is not None:
            self._crew.send("crosstalk_keep", {"run": run_id})

    # --- while it runs ----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """The progress line, and reasons to end early."""
        interactive = sys.stdout.isatty()
        wanted_s = self.settings.memory_trace_s if self.settings is not None else 0.0
        every_s = max(1, min(int(wanted_s or REVISION_EVERY_S), REVISION_EVERY_S))
        seconds = 0
        while True:
            gevent.sleep(1.0)
            seconds += 1
            load_test = self.load_test
            if load_test is None or self._finishing:
                return
            load_test.look()
            if self._crew is not None:
                self._crew.look(load_test)
            if self._load_watch is not None:
                self._load_watch.look(load_test.elapsed_s, load_test.collector.rows["events"])
            self._pass_on_ids(load_test)
            self._hold_ceiling(load_test)
            if seconds % every_s == 0:  # a greenlet of its own: the target may take its time
                gevent.spawn(self._look_at_revision, load_test)
            if interactive:
                print(f"\r\x1b[2K{load_test.progress(self.runner.user_count)}", end="", flush=True)
            elif seconds == 3 or seconds % 10 == 0:
                print(load_test.progress(self.runner.user_count), flush=True)

    def _look_at_revision(self, load_test: LoadTest) -> None:
        if self.generator is not None and not load_test.target_ended:
            load_test.saw_revision(revision_told(self.generator))

    def _pass_on_ids(self, load_test: LoadTest) -> None:
        """What the server told to one worker's users, the others must know to see it go astray."""
        collector = load_test.collector
        told, collector.told = collector.told, []
        if told and self._crew is not None and len(load_test.workers) > 1:
            self._crew.send("crosstalk_ids", {"ids": told})

    def _hold_ceiling(self, load_test: LoadTest) -> None:
        """A shape or the web UI may ask for more users than were asked for at the start."""
        highest = load_test.settings.environment.max_users
        if highest and max(self.runner.user_count, self.runner.target_user_count) > highest:
            load_test.end(f"more than {highest} users, which is max_users of the environment")

    def _stop_users(self, reason: str) -> None:
        """End the load test from within: not in the caller's greenlet, which may be the one that must be stopped."""
        print(f"\ncrosstalk: stopping: {reason}", flush=True)
        gevent.spawn(self.runner.quit if self.environment.parsed_options.headless else self.runner.stop)

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self, reason: str) -> None:
        """Everything there is to the record, then the verdict. Idempotent: later callers wait for the first."""
        load_test = self.load_test
        if load_test is None:
            return
        if self._finishing:
            self._finished.wait(FINISH_S)
            return
        self._finishing = True
        try:
            load_test.ended_by = load_test.ended_by or self._why(reason)
            if self._ticker is not None:
                self._ticker.kill()
            if self._crew is not None:
                self._crew.finish(load_test, self.environment.stop_timeout)
            if self.generator is not None:
                if load_test.readiness.ready and not load_test.target_ended:
                    self._look_at_revision(load_test)
                    self._show_bad_tokens(load_test, self.generator)
                load_test.workers[self.generator.worker] = {**self.generator.finish(), "pid": os.getpid()}
            if load_test.reference is not None:
                load_test.reference.stop()
            load_test.close()
            self.environment.process_exit_code = self._publish(load_test)
            load_test.prune()
        except Exception:
            logger.exception("crosstalk could not finish")
            self.environment.process_exit_code = EXIT_UNKNOWN
        finally:
            self.load_test, self.generator = None, None
            self.environment.crosstalk = None
            self._finished.set()

    def _show_bad_tokens(self, load_test: LoadTest, generator: Generator) -> None:
        """The last check; if it fails itself, that is on record, and nothing else is lost by it."""
        try:
            load_test.bad_tokens = bad_tokens(generator, self._preflight_number()).told()
        except Exception as error:
            logger.exception("the check of bad tokens failed")
            load_test.problems.append(f"the check of bad tokens failed: {type(error).__name__}: {error}")

    def _why(self, reason: str) -> str:
        load_test = self.load_test
        assert load_test is not None
        if load_test.run_time_s is None:
            return reason
        # headless, nothing else stops users without saying so; in the web UI, somebody may press stop
        over = self.environment.parsed_options.headless or load_test.elapsed_s >= load_test.run_time_s - 1
        return "run time" if over else reason

    def _publish(self, load_test: LoadTest) -> int:
        """Reports and verdict; the exit code."""
        try:
            self.verdict = self.at_end(load_test.folder) if self.at_end is not None else load_test.judge()
        except Exception as error:  # the verdict does not hang on its pages
            print(f"crosstalk: no reports: {error}", file=sys.stderr, flush=True)
            self.verdict = load_test.judge()
        if not self.environment.parsed_options.headless and self.verdict.get("closing"):
            print("\n" + self.verdict["closing"], flush=True)  # the web UI stays: this is the end of this load test
        return int(self.verdict["exit_code"])
