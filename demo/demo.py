"""The main job, end to end: `make demo`, or `make demo CANDIDATE=broken`.

Starts the Python legacy, the Rust candidate and `cutover up`, sends callers through the proxy, and
lets the ramp carry the weight from 0 to 100 on evidence. Then it measures both arms side by side
and prints the migration report. With `--candidate broken` a build with porting bugs takes the
candidate's place at weight 10, and the ramp has to roll back. The exit code is 0 if that is what
happened, 1 if not. Ctrl-C at any moment ends every process.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import yaml

ROOT = Path(__file__).resolve().parents[1]
# The harness that starts processes is the tests' own, and what measures is the benchmark's.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from cutover.v1 import operator_pb2 as pb  # noqa: E402
from harness import (  # noqa: E402
    Arm,
    CutoverUp,
    Process,
    free_port,
    make_database,
    run_cutover,
    start_broken,
    start_candidate,
    start_legacy,
    stop_all,
)
from harness.manifest import Yaml, replace  # noqa: E402
from harness.paths import copy_database  # noqa: E402
from measure import compare_arms  # noqa: E402
from story import Story, migration_table  # noqa: E402

CALLER_PROCESSES = 2
CALLS_PER_SECOND = 240
"""All callers together: about a third of what the legacy can do, since each call reaches both."""
RAMP_S = 100.0
"""The ramp is at its end by then, or something is wrong."""
ROLLBACK_S = 30.0
DEPLOY_AT_BP = 1_000
GRACE = ("--shutdown-grace", "2")
WATCH_S = 6.0
ROUNDS = 3
ROUND_S = 4.0
INTERRUPTED = 130
_interrupts: list[int] = []
"""The signals that asked for an end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demonstration; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--candidate", choices=("good", "broken"), default="good")
    options = parser.parse_args(arguments)
    story = Story()
    # Both by name: a shell that starts this in the background has SIGINT ignored, and Python then
    # leaves it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            stack.callback(_stop_everything)
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutover-demo-")))
            run = _broken if options.candidate == "broken" else _good
            return run(story, scratch)
    except (KeyboardInterrupt, Exception):
        # An interrupt can come out as another error: of a process that had just begun, say.
        if not _interrupts:
            raise
        story.say("interrupted: every process is stopped")
        return INTERRUPTED


def _good(story: Story, scratch: Path) -> int:
    with _migration(story, scratch) as migration:
        arrived = story.follow(migration.up, migration.callers, until=_healthy, seconds=RAMP_S)
        if arrived:
            story.say("the ramp is at its end: the candidate answers every call, and stays watched")
            story.follow(migration.up, migration.callers, until=_never, seconds=WATCH_S)
        else:
            story.say("the ramp did not arrive at 100 %: see the verdict above")
        status = migration.up.operator().status()
        story.say("the callers stop; both arms are measured side by side, without the proxy")
        migration.stop_callers()
        errors = migration.errors()
        # Now: an arm that has stopped says nothing of its CPU and memory any more.
        report = _report(migration.up)
        migration.legacy.stop()
        migration.candidate.stop()
        with (
            start_legacy(migration.database, logs=scratch / "measured") as legacy,
            start_candidate(migration.database, logs=scratch / "measured") as candidate,
        ):
            compared = compare_arms(
                legacy,
                candidate,
                migration.database,
                rounds=ROUNDS,
                seconds=ROUND_S,
                say=story.say,
            )
        story.title("Migration report")
        print(migration_table(compared))
        print(report, flush=True)
        story.callers(errors)
        differed = sum(method.pairs.mismatched for method in status.methods)
        as_expected = arrived and not errors and differed == 0
        story.verdict(
            as_expected,
            "the weight went from 0 to 100 on evidence, no caller saw an error, nothing differed",
        )
        return 0 if as_expected else 1


def _broken(story: Story, scratch: Path) -> int:
    with _migration(story, scratch) as migration:
        up, callers = migration.up, migration.callers
        at_ten = story.follow(up, callers, until=_weight(DEPLOY_AT_BP), seconds=RAMP_S)
        story.say("a deploy: a build with porting bugs takes the candidate's place")
        broken = migration.start_broken()
        migration.deploy(broken)
        deployed = time.monotonic()
        story.say(f"the manifest names the broken build, {broken.url}, from now on")
        rolled_back = story.follow(up, callers, until=_rolled_back, seconds=ROLLBACK_S)
        seconds = time.monotonic() - deployed
        if rolled_back:
            story.say(f"rolled back to weight 0, {seconds:.1f} s after the deploy")
        # The shadow is still asked, so that the report has more to show.
        story.follow(up, callers, until=_never, seconds=WATCH_S)
        migration.stop_callers()
        story.title("Report")
        print(_report(up), flush=True)
        story.callers(migration.errors())
        found = up.operator().report().findings
        fields = sorted({finding.path for finding in found if finding.subject == "field"})
        operations = sorted({finding.path for finding in found if finding.subject == "operation"})
        print(f"\nWrong fields:     {', '.join(fields) or 'none found'}")
        print(f"Wrong operations: {', '.join(operations) or 'none found'}")
        as_expected = at_ten and rolled_back and bool(fields) and bool(operations)
        story.verdict(
            as_expected,
            "the broken build was rolled back to weight 0, its wrong fields and operations named",
        )
        return 0 if as_expected else 1


class Migration:
    """Everything that runs while the weight moves."""

    def __init__(self, story: Story, scratch: Path) -> None:
        """Starts it all; what was started is stopped by the harness, whatever happens here."""
        self._scratch = scratch
        self._otlp_port = free_port()
        story.title("A migration: the gazetteer moves from Python to Rust")
        self.database = copy_database(make_database(scratch), scratch / "demo.db")
        story.say("34,006 cities are in the database that both arms share")
        otlp = f"127.0.0.1:{self._otlp_port}"
        self._otlp = otlp
        self.legacy = start_legacy(self.database, logs=scratch, otlp=otlp, extra=GRACE)
        story.say(f"legacy (Python) listens on {self.legacy.address}")
        self.candidate = start_candidate(self.database, logs=scratch, otlp=otlp, extra=GRACE)
        story.say(f"candidate (Rust) listens on {self.candidate.address}")
        self._content: Yaml = yaml.safe_load((ROOT / "demo/cutover.yaml").read_text("utf-8"))
        self._content["spec"]["legacy"] = {"url": self.legacy.url}
        self._content["spec"]["candidate"] = {"url": self.candidate.url}
        self.up = CutoverUp(
            self._content, scratch=scratch, logs=scratch, control_port=self._otlp_port
        )
        story.say(f"cutover up: the proxy listens on {self.up.address}")
        story.say(f"DASHBOARD: {self.up.dashboard}")
        self.callers = [self._start_callers(index) for index in range(CALLER_PROCESSES)]
        story.say(f"{CALLER_PROCESSES} processes of callers: all seven methods, 3,000 users")

    def start_broken(self) -> Arm:
        """Starts a build with porting bugs beside the candidate."""
        logs = self._scratch / "broken"
        return start_broken(self.database, logs=logs, otlp=self._otlp, extra=GRACE)

    def deploy(self, candidate: Arm) -> None:
        """Lets the manifest name another candidate; the old one ends the calls that it has."""
        self._content["spec"]["candidate"] = {"url": candidate.url}
        replace(self.up.manifest, self._content)

    def stop_callers(self) -> None:
        """Lets each caller end its call, and stops."""
        for process in self.callers:
            process.signal(signal.SIGTERM)
        for process in self.callers:
            process.stop()

    def errors(self) -> dict[str, int]:
        """Errors that callers saw and that no arm was asked for."""
        return {
            what: count
            for what, count in Story.counts(self.callers).items()
            if what not in ("calls", "expected errors")
        }

    def _start_callers(self, index: int) -> Process:
        command = [
            *(sys.executable, ROOT / "demo" / "callers.py", "--target", self.up.address),
            *("--database", self.database, "--seed", str(index + 1)),
            *("--rate", str(CALLS_PER_SECOND / CALLER_PROCESSES)),
        ]
        return Process(f"callers-{index}", command, logs=self._scratch)


@contextmanager
def _migration(story: Story, scratch: Path) -> Iterator[Migration]:
    migration = Migration(story, scratch)
    try:
        yield migration
    finally:
        story.say("stopping every process")
        _stop_everything()


def _report(up: CutoverUp) -> str:
    return "\n" + run_cutover("report", "--operator", up.operator_address).stdout


def _healthy(status: pb.Status) -> bool:
    return bool(status.ramps) and all(ramp.phase == pb.PHASE_HEALTHY for ramp in status.ramps)


def _rolled_back(status: pb.Status) -> bool:
    return any(ramp.phase == pb.PHASE_DEGRADED for ramp in status.ramps)


def _never(_: pb.Status) -> bool:
    return False


def _weight(basis_points: int) -> Callable[[pb.Status], bool]:
    return lambda status: any(ramp.weight_bp >= basis_points for ramp in status.ramps)


def _stop_everything() -> None:
    # A second Ctrl-C must not leave a process behind.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop_all()
    finally:
        with contextlib.suppress(ValueError, TypeError):
            signal.signal(signal.SIGINT, before)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _interrupts.append(number)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
