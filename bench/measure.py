"""Both arms under the same calls: what `bench/arms.py` and the demonstration measure.

Rounds are interleaved (legacy, candidate, legacy, …), so that what else the machine does meanwhile
meets both, and each figure is the median of its rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import Arm, Load, run_load

MIX = "search=40,get=25,nearest=20,suggest=5,list=5,route=5"
"""Shares of methods; a write is left out, since both arms share one database."""
EQUAL_SHARE = 0.75
"""Equal load is this share of what the legacy can do at most.

The ratios of latency depend on it: the legacy's calls queue as it nears its limit, while the
candidate's median is little more than the way there and back. At 0.55 the p50 was 0.12 of the
legacy's, at 0.75 it was 0.07.
"""
SATURATION_CALLERS = 32
CONNECTIONS = 8
QUANTILES = ("p50", "p90", "p99")

Say = Callable[[str], None]


@dataclass
class Rounds:
    """The rounds of one arm under one kind of load."""

    pid: int
    loads: list[Load] = field(default_factory=list)

    def median(self, figure: Callable[[Load], float]) -> float:
        """The median over rounds."""
        return statistics.median(figure(load) for load in self.loads)

    @property
    def throughput(self) -> float:
        """Calls a second."""
        return self.median(lambda load: load.throughput)

    @property
    def cpu_us_per_call(self) -> float:
        """CPU of the server, its children included, µs."""
        return self.median(lambda load: load.process(self.pid)["cpu_us_per_call"])

    @property
    def rss_bytes(self) -> float:
        """Resident memory at its largest, bytes."""
        return self.median(lambda load: load.process(self.pid)["peak_rss_bytes"])

    @property
    def failed(self) -> int:
        """Calls that did not end with OK, of all rounds."""
        return sum(
            sum(count for status, count in load.by_status.items() if status != "OK")
            + int(load.figures["unfinished"])
            + int(load.figures["not_started"])
            for load in self.loads
        )

    def latency_us(self, quantile: str) -> float:
        """Latency, µs, counted from when each call was to start."""
        return self.median(lambda load: load.latency_us(quantile))

    def method_us(self, quantile: str) -> dict[str, float]:
        """Latency of each method, µs."""
        methods = self.loads[0].figures["by_method"]
        return {
            path.rpartition("/")[2]: self.median(
                lambda load, path=path: float(load.figures["by_method"][path][quantile])
            )
            for path in methods
        }


@dataclass(frozen=True)
class Side:
    """One arm's figures."""

    saturation: Rounds
    equal: Rounds


@dataclass(frozen=True)
class Comparison:
    """Both arms, and the load at which they were equal."""

    legacy: Side
    candidate: Side
    equal_rate: float

    def ratios(self) -> Iterator[Ratio]:
        """The figures side by side."""
        old, new = self.legacy, self.candidate
        pairs: list[tuple[str, str, float, float]] = [
            ("throughput at saturation", "/s", old.saturation.throughput, new.saturation.throughput)
        ]
        for name, one, other in (
            ("saturation", old.saturation, new.saturation),
            ("equal load", old.equal, new.equal),
        ):
            cpu = (f"CPU per call at {name}", "µs", one.cpu_us_per_call, other.cpu_us_per_call)
            memory = (f"memory at {name}", "MiB", one.rss_bytes / 2**20, other.rss_bytes / 2**20)
            pairs += [cpu, memory]
        for quantile in QUANTILES:
            name = f"latency {quantile} at equal load"
            times = (old.equal.latency_us(quantile), new.equal.latency_us(quantile))
            pairs.append((name, "ms", times[0] / 1e3, times[1] / 1e3))
        yield from (Ratio(*pair) for pair in pairs)


@dataclass(frozen=True)
class Ratio:
    """One figure of both arms."""

    name: str
    unit: str
    legacy: float
    candidate: float

    @property
    def of_legacy(self) -> float:
        """The candidate's as a share of the legacy's."""
        return self.candidate / self.legacy if self.legacy else float("nan")


def compare_arms(
    legacy: Arm,
    candidate: Arm,
    database: Path,
    *,
    rounds: int,
    seconds: float,
    say: Say,
    mix: str = MIX,
) -> Comparison:
    """Measures both arms at saturation, then at equal load.

    Args:
        legacy: The Python arm.
        candidate: The Rust arm.
        database: What calls are made from.
        rounds: Of each kind, for each arm.
        seconds: Measured in each round, after a quarter of that to warm up.
        say: Is told of each round.
        mix: Shares of methods.
    """
    arms = (("legacy", legacy), ("candidate", candidate))
    common = {"database": database, "warmup": seconds / 4, "duration": seconds, "mix": mix}
    saturation = {name: Rounds(arm.pid) for name, arm in arms}
    for seed in range(1, rounds + 1):
        for name, arm in arms:
            load = run_load(
                arm.url,
                **common,
                mode="closed",
                concurrency=SATURATION_CALLERS,
                connections=CONNECTIONS,
                seed=seed,
                pid=arm.pid,
            )
            saturation[name].loads.append(load)
            say(f"saturation {seed}/{rounds}: {name} answers {load.throughput:,.0f} calls/s")
    rate = saturation["legacy"].throughput * EQUAL_SHARE
    equal = {name: Rounds(arm.pid) for name, arm in arms}
    for seed in range(1, rounds + 1):
        for name, arm in arms:
            load = run_load(
                arm.url,
                **common,
                mode="open",
                rate=rate,
                connections=CONNECTIONS,
                seed=seed,
                pid=arm.pid,
            )
            equal[name].loads.append(load)
            times = " / ".join(f"{load.latency_us(q) / 1e3:.2f}" for q in QUANTILES)
            say(f"equal load {seed}/{rounds}: {name} at {rate:,.0f}/s, p50/p90/p99 {times} ms")
    sides = {name: Side(saturation[name], equal[name]) for name, _ in arms}
    return Comparison(sides["legacy"], sides["candidate"], rate)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
