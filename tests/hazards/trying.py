"""One run: calls in growing batches, until the comparison has named the hazard or they are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from callers import Callers
from calls import Calls
from catalogue import Hazard, Setup
from cutover import CutoverError
from flags import Flag
from stage import Stage, Trial

FIRST_BATCH = 100
GROWTH = 1.4
"""After each batch the report is read, so detections are told to within this factor."""
SEED = 20
MAX_TOLD = 4

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What became of a run."""

    name: str
    expected: str = ""
    limit: str = ""
    """Why it can be missed, where that is known."""
    calls: int = 0
    """Made in all; for a hazard that was named: until it was."""
    seconds: float = 0.0
    named: str = ""
    """By which right name it was called, or empty."""
    others: list[str] = field(default_factory=list)
    """What else was said against the candidate."""
    pairs: int = 0
    """Pairs of answers compared."""
    traces: int = 0
    """Pairs of traces compared."""
    by_status: dict[str, int] = field(default_factory=dict)
    """What callers saw."""
    trouble: str = ""
    """Why the run could not be finished, or empty."""

    @property
    def caught(self) -> bool:
        """Whether anything was said against the candidate."""
        return bool(self.named or self.others)


def try_hazard(stage: Stage, hazard: Hazard, *, calls: int, say: Say) -> Outcome:
    """Runs one broken candidate until it is named, or for so many calls."""
    outcome = Outcome(hazard.name, hazard.words, hazard.limit)

    def is_named(flags: list[Flag]) -> bool:
        right = [flag for flag in flags if any(name.fits(flag) for name in hazard.expected)]
        outcome.named = str(right[0]) if right else ""
        outcome.others = [str(flag) for flag in flags if flag not in right][:MAX_TOLD]
        return bool(right)

    traces = any(name.subject == "operation" for name in hazard.expected)
    with _in_trouble(outcome), stage.trial(hazard.name, hazard.setup) as trial:
        _run(stage, trial, hazard.setup, outcome, calls, traces, SEED, is_named, say)
    return outcome


def try_clean(stage: Stage, number: int, *, calls: int, say: Say) -> Outcome:
    """Runs the real candidate for so many calls; every setup gets its turn, every run a seed."""
    setup = list(Setup)[number % len(Setup)]
    outcome = Outcome(f"clean {number + 1} ({setup.value})")

    def is_flagged(flags: list[Flag]) -> bool:
        outcome.others = [str(flag) for flag in flags]
        return bool(flags)

    with _in_trouble(outcome), stage.trial(None, setup) as trial:
        seed = SEED + 1 + number
        _run(stage, trial, setup, outcome, calls, False, seed, is_flagged, say)
    return outcome


@contextmanager
def _in_trouble(outcome: Outcome) -> Iterator[None]:
    """One run that can't be finished does not end the others."""
    try:
        yield
    except (AssertionError, CutoverError) as error:
        outcome.trouble = str(error).splitlines()[0]


def _run(
    stage: Stage,
    trial: Trial,
    setup: Setup,
    outcome: Outcome,
    calls: int,
    traces: bool,
    seed: int,
    is_over: Callable[[list[Flag]], bool],
    say: Say,
) -> None:
    made = Calls(stage.database, seed=seed, writes=setup is Setup.WRITES)
    source = iter(made)
    mirrored = 0
    size = float(FIRST_BATCH)
    began = time.monotonic()
    with Callers(trial.target) as callers:
        while outcome.calls < calls:
            batch = list(islice(source, min(int(size), calls - outcome.calls)))
            callers.make(batch)
            outcome.calls += len(batch)
            mirrored += sum(trial.is_mirrored(call.method) for call in batch)
            # Traces take seconds to come to rest; those of the last batch are waited for always.
            trial.settle(mirrored, traces=traces or outcome.calls == calls)
            over = is_over(trial.flags())
            outcome.by_status = dict(callers.by_status)
            outcome.seconds = time.monotonic() - began
            outcome.pairs, outcome.traces = trial.compared()
            if over:
                return
            say(
                f"{outcome.name}: {outcome.calls:,} of {calls:,} calls, "
                f"{outcome.pairs:,} pairs and {outcome.traces:,} traces compared"
            )
            size *= GROWTH
