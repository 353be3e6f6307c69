"""Both arms side by side in one run, then the proxy: `make bench`.

Never a test that passes or fails: it prints figures beside the targets. Both arms serve the same
database and get the same calls; the load shares the machine with them, so the figures are those of
a small machine and the ratios are what to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The harness that starts processes is the tests' own; it is no package to install.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import proxy  # noqa: E402
from harness import make_database, start_candidate, start_legacy  # noqa: E402
from measure import Comparison, Ratio, compare_arms, number, table  # noqa: E402

LATENCY_TARGET = 0.1


@dataclass(frozen=True)
class Target:
    """What a figure should be: the candidate's as a share of the legacy's."""

    words: str
    least: float = 0.0
    most: float = float("inf")

    def word(self, share: float) -> str:
        """Whether it is."""
        return "met" if self.least <= share <= self.most else "missed"


TARGETS = {
    "throughput at saturation": Target("at least 5×", least=5.0),
    "CPU per call at saturation": Target("at most 1/10", most=0.1),
    "CPU per call at equal load": Target("at most 1/10", most=0.1),
    "memory at saturation": Target("at most 30 %", most=0.3),
    "memory at equal load": Target("at most 30 %", most=0.3),
    "latency p50 at equal load": Target("at most 1/10", most=LATENCY_TARGET),
    "latency p90 at equal load": Target("at most 1/10", most=LATENCY_TARGET),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="of each kind; default 3")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round; default 6")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--skip-proxy", action="store_true", help="measure the arms alone")
    options = parser.parse_args(arguments)
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutover-bench-")))
        say("starting both arms on the same database")
        database = make_database(scratch)
        legacy = stack.enter_context(start_legacy(database, logs=scratch))
        candidate = stack.enter_context(start_candidate(database, logs=scratch))
        compared = compare_arms(
            legacy,
            candidate,
            database,
            rounds=options.rounds,
            seconds=options.seconds,
            say=say,
        )
        legacy.stop()
        candidate.stop()
        proxied = None
        if not options.skip_proxy:
            proxied = proxy.measure(
                database, scratch, rounds=options.rounds, seconds=options.seconds / 2, say=say
            )
    if options.output == "json":
        print(json.dumps(_figures(compared, proxied), indent=2))
    else:
        _print(compared, proxied)
    return 0


def _rows(compared: Comparison) -> list[tuple[Ratio, str, str]]:
    rows = []
    for ratio in compared.ratios():
        target = TARGETS.get(ratio.name)
        words = (target.words, target.word(ratio.of_legacy)) if target else ("", "")
        rows.append((ratio, *words))
    return rows


def _print(compared: Comparison, proxied: list[proxy.Shape] | None) -> None:
    cells = [["", "legacy", "candidate", "unit", "candidate/legacy", "target", ""]]
    for ratio, target, word in _rows(compared):
        figures = (number(ratio.legacy), number(ratio.candidate))
        cells.append([ratio.name, *figures, ratio.unit, f"{ratio.of_legacy:.3g}×", target, word])
    cores = os.cpu_count()
    print(f"\nBoth arms, {cores} cores shared with the load, medians; ", end="")
    print(f"equal load is {compared.equal_rate:,.0f} calls/s\n")
    print(table(cells))
    for name, side in (("legacy", compared.legacy), ("candidate", compared.candidate)):
        if failed := side.saturation.failed + side.equal.failed:
            print(f"{name}: {failed} calls failed")
    methods = [["latency at equal load, ms", "legacy p50", "p90", "candidate p50", "p90"]]
    quantiles = [
        side.equal.method_us(quantile)
        for side in (compared.legacy, compared.candidate)
        for quantile in ("p50", "p90")
    ]
    for method in quantiles[0]:
        methods.append([method, *(f"{seen[method] / 1e3:.2f}" for seen in quantiles)])
    print()
    print(table(methods))
    if proxied:
        print("\nThe proxy, weight 50, mirror off, between two Rust arms (GetPlace)\n")
        print(table(proxy.rows(proxied)))


def _figures(compared: Comparison, proxied: list[proxy.Shape] | None) -> dict[str, object]:
    return {
        "equal_rate_per_second": compared.equal_rate,
        "arms": [
            {**asdict(ratio), "candidate_of_legacy": ratio.of_legacy, "target": target, "is": word}
            for ratio, target, word in _rows(compared)
        ],
        "failed": {
            "legacy": compared.legacy.saturation.failed + compared.legacy.equal.failed,
            "candidate": compared.candidate.saturation.failed + compared.candidate.equal.failed,
        },
        "proxy": [shape.figures() for shape in proxied or []],
    }


if __name__ == "__main__":
    sys.exit(main())
