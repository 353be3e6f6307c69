"""Where a candidate is tried: the real legacy, `cutover up`, and one candidate after the other."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from callers import Callers
from calls import SERVICE, Calls
from catalogue import Setup
from cutover import Operator
from flags import Flag, flags
from harness import (
    Arm,
    CutoverUp,
    free_port,
    make_database,
    manifest,
    rule,
    start_broken,
    start_candidate,
    start_legacy,
    wait_until,
)
from harness.manifest import Yaml
from harness.paths import copy_database

MIRROR = {"percent": 100, "noisePercent": 5}
NEVER = 1_000_000_000
"""So many calls no run has: the ramp stays where it is put, and only a guard can move it."""
METHODS = 7
ROUTED_BP = 5_000
VISITED = 2_000
"""Places that were visited before the run."""
WARM_UP = 4_000
"""Calls that the legacy has answered before any candidate comes: it is not young in production
either, and what fills up in it would hide what grows in a candidate."""
PAIRS_S = 5.0
TRACES_S = 8.0
"""A trace is compared when it has been quiet for two seconds."""


@dataclass
class Trial:
    """A candidate under comparison."""

    target: str
    _operator: Operator
    _writes: bool

    def settle(self, mirrored: int, *, traces: bool) -> None:
        """Waits until so many mirrored calls are accounted for, or no longer than they may take."""
        _settle(lambda: self._pairs() >= mirrored, PAIRS_S)
        if traces:
            _settle(lambda: self._traces() >= mirrored, TRACES_S)

    def is_mirrored(self, method: str) -> bool:
        """Whether calls of a method reach both arms."""
        return self._writes or method != "RecordVisit"

    def flags(self) -> list[Flag]:
        """What is said against the candidate now."""
        return flags(self._operator.report())

    def compared(self) -> tuple[int, int]:
        """Pairs of answers and of traces that were compared."""
        methods = self._operator.status().methods
        return (
            sum(method.pairs.compared for method in methods),
            sum(method.traces.compared for method in methods),
        )

    def _pairs(self) -> int:
        return sum(
            method.pairs.compared + sum(method.pairs.not_compared.values())
            for method in self._operator.status().methods
        )

    def _traces(self) -> int:
        return sum(
            method.traces.compared + sum(method.traces.incomplete.values())
            for method in self._operator.status().methods
        )


class Stage:
    """The legacy, which serves all trials, and what each trial is built from."""

    def __init__(self, scratch: Path, logs: Path) -> None:
        """Starts the legacy on a database of its own, in which some places were visited."""
        self._scratch = scratch
        self._logs = logs
        self._port = free_port()
        self._trials = 0
        self.database = copy_database(make_database(scratch), scratch / "hazards.db")
        _visit(self.database)
        self._legacy = start_legacy(self.database, logs=logs, otlp=self._otlp)
        with Callers(self._legacy.address) as callers:
            callers.make(islice(Calls(self.database, seed=0, writes=False), WARM_UP))

    @contextmanager
    def trial(self, hazard: str | None, setup: Setup) -> Iterator[Trial]:
        """Puts a candidate beside the legacy: a broken one, or the real one."""
        self._trials += 1
        scratch = self._scratch / f"trial-{self._trials}"
        scratch.mkdir()
        logs = self._logs / f"{self._trials:02}-{hazard or 'clean'}"
        with (
            self._candidate(hazard, logs) as candidate,
            CutoverUp(
                _manifest(self._legacy, candidate, setup),
                scratch=scratch,
                logs=logs,
                control_port=self._port,
            ) as up,
            up.operator() as operator,
        ):
            if setup is Setup.ROUTED:
                _promote(operator)
            yield Trial(up.address, operator, setup is Setup.WRITES)
        shutil.rmtree(scratch)

    def close(self) -> None:
        """Stops the legacy."""
        self._legacy.stop()

    @property
    def _otlp(self) -> str:
        return f"127.0.0.1:{self._port}"

    def _candidate(self, hazard: str | None, logs: Path) -> Arm:
        if hazard is None:
            return start_candidate(self.database, logs=logs, otlp=self._otlp)
        extra: Sequence[str] = ("--hazard", hazard)
        return start_broken(self.database, logs=logs, otlp=self._otlp, extra=extra)


def _manifest(legacy: Arm, candidate: Arm, setup: Setup) -> Yaml:
    writes = setup is Setup.WRITES
    # Where both arms record visits, what they count differs by itself.
    counted = {"ignore": ["visit_count"]} if writes else {}
    recorded = MIRROR | ({"acceptSideEffects": True} if writes else {})
    return manifest(
        legacy.url,
        candidate.url,
        rules=[
            rule(
                SERVICE,
                "SearchPlaces",
                mirror=MIRROR,
                compare={
                    "ignore": ["search_id"],
                    "tolerance": {"results[].score": {"relative": 1e-9}},
                },
            ),
            rule(
                SERVICE,
                "FindNearest",
                mirror=MIRROR,
                compare={"tolerance": {"results[].distance_m": {"relative": 1e-9}}},
            ),
            rule(SERVICE, "GetPlace", mirror=MIRROR, compare=counted),
            rule(
                SERVICE,
                "RecordVisit",
                mirror=recorded,
                compare={"ignore": ["visit_id", "visit_count"]},
            ),
            # Named one by one, so that each has a ramp before its first call.
            *(
                rule(SERVICE, method, mirror=MIRROR)
                for method in ("ListPlaces", "MeasureRoute", "Suggest")
            ),
        ],
        ramp={
            "scope": "method",
            "interval": "100ms",
            "steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}],
            "gates": {
                "minCalls": NEVER,
                "errorRateMargin": "0.1%",
                "mismatchBelow": "0.1%",
                "confidence": 0.95,
                "latency": {"p99Ratio": 1.0},
                "memory": {"leak": "rollback"},
            },
            "onFailure": "rollback",
        },
    )


def _promote(operator: Operator) -> None:
    wait_until(lambda: len(operator.status().ramps) == METHODS, what="a ramp for each method")
    for ramp in operator.status().ramps:
        operator.promote(scope=ramp.scope, why="the hazard needs calls that the candidate answers")
    weights = {ramp.weight_bp for ramp in operator.status().ramps}
    assert weights == {ROUTED_BP}, f"the weights are {weights} basis points"


def _visit(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO visits (place_id, visitor, recorded_at_ms) "
            "SELECT id, 'somebody', 0 FROM places ORDER BY id % 97, id LIMIT ?",
            (VISITED,),
        )


def _settle(done: Callable[[], bool], seconds: float) -> None:
    """Waits; what is not there in time is missing, and a trial goes on without it."""
    try:
        wait_until(done, timeout=seconds)
    except AssertionError:
        return
