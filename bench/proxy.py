"""What the proxy costs: the same calls with and without it, weight 50, mirror off.

Both arms are the Rust one, so that the arms' own speed hides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness import Process, binary, manifest, rule, run_load, start_candidate
from harness.manifest import write
from measure import QUANTILES, Rounds, Say, number

SHAPES: dict[str, dict[str, object]] = {
    "single 1×1": {"mode": "closed", "concurrency": 1, "connections": 1},
    "busy 8×10": {"mode": "closed", "concurrency": 80, "connections": 8},
    "paced 1,000/s": {"mode": "open", "rate": 1000, "connections": 8},
}
"""Connections and callers on them, as in a table of peers."""


@dataclass(frozen=True)
class Shape:
    """One kind of load, with and without the proxy."""

    name: str
    direct: Rounds
    proxied: Rounds

    def added_us(self, quantile: str) -> float:
        """Latency that the proxy adds, µs."""
        return self.proxied.latency_us(quantile) - self.direct.latency_us(quantile)

    def figures(self) -> dict[str, object]:
        """For JSON."""
        return {
            "shape": self.name,
            "cpu_us_per_call": self.proxied.cpu_us_per_call,
            "memory_bytes": self.proxied.rss_bytes,
            "calls_per_second": self.proxied.throughput,
            "direct_calls_per_second": self.direct.throughput,
            "added_us": {quantile: self.added_us(quantile) for quantile in QUANTILES},
            "failed": self.proxied.failed,
        }


def measure(database: Path, scratch: Path, *, rounds: int, seconds: float, say: Say) -> list[Shape]:
    """Measures every shape, direct and through the proxy in turn."""
    with ExitStack() as stack:
        arms = [
            stack.enter_context(start_candidate(database, logs=scratch / f"arm-{index}"))
            for index in range(2)
        ]
        content = manifest(arms[0].url, arms[1].url, rules=[rule(weight=50)])
        command = [
            *(binary("cutover"), "proxy"),
            *("--bootstrap", write(scratch / "proxy.yaml", content)),
        ]
        process = stack.enter_context(Process("proxy", command, logs=scratch))
        url = "http://" + process.wait_for_line(r"^proxy listening on (\S+)$")[1]
        shapes = []
        for name, shape in SHAPES.items():
            made = Shape(name, Rounds(arms[0].pid), Rounds(process.pid))
            for seed in range(1, rounds + 1):
                for target, into in ((arms[0].url, made.direct), (url, made.proxied)):
                    load = run_load(
                        target,
                        **shape,
                        mix="get",
                        keys=1000,
                        database=database,
                        warmup=seconds / 4,
                        duration=seconds,
                        seed=seed,
                        pid=into.pid,
                    )
                    into.loads.append(load)
            cpu = made.proxied.cpu_us_per_call
            say(f"proxy, {name}: {cpu:.1f} µs CPU a call, p50 +{made.added_us('p50'):.0f} µs")
            shapes.append(made)
        return shapes


def rows(shapes: Sequence[Shape]) -> list[list[str]]:
    """A table for people."""
    head = ["", "CPU µs/call", "memory MiB", "calls/s", "direct calls/s"]
    cells = [[*head, *(f"added {quantile} µs" for quantile in QUANTILES)]]
    for shape in shapes:
        proxied = shape.proxied
        cells.append(
            [
                shape.name,
                number(proxied.cpu_us_per_call),
                number(proxied.rss_bytes / 2**20),
                number(proxied.throughput),
                number(shape.direct.throughput),
                *(number(shape.added_us(quantile)) for quantile in QUANTILES),
            ]
        )
    return cells
