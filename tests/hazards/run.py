"""Broken candidates, one hazard each, and clean ones: `make hazards`.

Every hazard has to be caught and named rightly within the calls, and no clean run may raise
anything. Prints the table of calls to detection and writes `docs/hazards.md`. The exit code is 1 if
a hazard was missed or a clean run flagged; a hazard that is missed stays in the table as missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
# The harness and the makers of calls are the tests' own, and tables the benchmark's.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "corpus"), str(ROOT / "bench")]

import page  # noqa: E402
from catalogue import HAZARDS, Hazard  # noqa: E402
from harness import stop_all  # noqa: E402
from stage import Stage  # noqa: E402
from trying import Outcome, try_clean, try_hazard  # noqa: E402

PAGE = ROOT / "docs" / "hazards.md"
LOGS = ROOT / "tests" / ".artifacts" / "hazards"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints, writes; gives the exit code."""
    options = _options(arguments)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {line}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, _interrupt)
    shutil.rmtree(LOGS, ignore_errors=True)
    hazards: list[Outcome] = []
    clean: list[Outcome] = []
    with ExitStack() as stack:
        stack.callback(stop_all)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hazards-")))
        say("starting the legacy")
        stage = Stage(scratch, LOGS)
        for hazard in options.hazard:
            outcome = try_hazard(stage, hazard, calls=options.calls, say=say)
            hazards.append(outcome)
            say(f"{hazard.name}: {_told(outcome)}")
        for number in range(options.clean_runs):
            outcome = try_clean(stage, number, calls=options.calls, say=say)
            clean.append(outcome)
            say(f"{outcome.name}: {'; '.join(outcome.others) or 'nothing raised'}")
        stage.close()
    if options.output == "json":
        results = {"hazards": hazards, "clean": clean}
        print(json.dumps({k: [asdict(o) for o in v] for k, v in results.items()}, indent=2))
    else:
        print(page.text(hazards, clean))
    if len(hazards) == len(HAZARDS):
        # A part of the table is no table.
        PAGE.write_text(page.markdown(hazards, clean, options.calls), "utf-8")
    return 0 if page.as_expected(hazards, clean) else 1


def _told(outcome: Outcome) -> str:
    if outcome.named:
        return f"caught after {outcome.calls:,} calls: {outcome.named}"
    if outcome.trouble:
        return f"FAILED: {outcome.trouble}"
    others = "; ".join(outcome.others)
    return f"MISSED in {outcome.calls:,} calls" + (f", yet there is {others}" if others else "")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = {hazard.name: hazard for hazard in HAZARDS}

    def hazard(name: str) -> Hazard:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return known[name]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--hazard", type=hazard, nargs="*", metavar="NAME", help="only these; default all"
    )
    parser.add_argument("--calls", type=int, default=20_000, help="of a run; default 20,000")
    parser.add_argument("--clean-runs", type=int, default=10, help="default 10")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    if options.hazard is None:
        options.hazard = list(HAZARDS)
    return options


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
