"""User instructions per call, by callgrind: the figure that repeats exactly on a busy machine.

A long run minus a short one, so that starting and ending cancel out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import load
from configs import METHODS, path
from harness import Load, Process, binary, run_load
from peers import OURS, PEERS, Running, Start, check
from tools import program

SHORT, LONG = 1_000, 5_000
_ENDS_S = 300.0
_SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Calls:
    """Which calls are made of a proxy under callgrind."""

    keys: Sequence[str] = ("a", "b")
    methods: int = 1
    open_connections: int = 0
    """Others that are open meanwhile."""
    distinct_keys: int = 0
    """Unless 0, our own load is used, which can send as many keys."""


def per_call(name: str, how: Start, calls: Calls) -> float:
    """Instructions of one call through a peer."""
    first, second = (_run(name, how, calls, count) for count in (SHORT, LONG))
    return (second - first) / (LONG - SHORT)


def _run(name: str, how: Start, calls: Calls, count: int) -> int:
    counts = how.scratch / f"callgrind-{name}-{count}.out"
    counts.unlink(missing_ok=True)
    under = (program("valgrind"), "--tool=callgrind", f"--callgrind-out-file={counts}")
    running = PEERS[name].start(replace(how, under=under))
    try:
        check(running)
        with held(running, how.scratch, calls.open_connections, 0):
            _load(running, how.scratch, calls, count)
    finally:
        running.process.stop(timeout=_ENDS_S)
    found = _SUMMARY.search(counts.read_text("utf-8", "replace")) if counts.is_file() else None
    if not found:
        raise RuntimeError(f"callgrind counted nothing\n{running.process.tail()}")
    return int(found[1])


def _load(running: Running, scratch: Path, calls: Calls, count: int) -> None:
    if calls.distinct_keys:
        seen: Load = run_load(
            running.url,
            path=path(1),
            body_hex="2e" * 138,
            mode="closed",
            concurrency=80,
            connections=8,
            calls=count,
            duration=_ENDS_S,
            keys=calls.distinct_keys,
        )
        done = seen.by_status.get("OK", 0)
    else:
        shape = load.BUSY.with_calls(count)
        done = load.run(
            running.address, shape, scratch, keys=calls.keys, methods=calls.methods
        ).calls
    # A handful more may start before the last of our own load's callers see that it is over.
    if not count <= done <= count + 80:
        raise RuntimeError(f"{done} of {count} calls answered")


@contextlib.contextmanager
def held(
    running: Running, scratch: Path, connections: int, streams: int
) -> Iterator[Process | None]:
    """Keeps connections open, with as many streams on each."""
    if not connections:
        yield None
        return
    with start_holding(running, scratch, connections, streams) as process:
        process.wait_for_line(r"^holding ", timeout=_ENDS_S)
        yield process


def start_holding(
    running: Running, scratch: Path, connections: int, streams: int, *more: str
) -> Process:
    """Starts to open them."""
    command = [
        *(binary("cutover-bench"), "hold", "--target", running.url),
        *("--path", path(1)),
        *("--connections", str(connections), "--streams", str(streams), *more),
    ]
    return Process("hold", command, logs=scratch)


def curves(how: Start, *, quick: bool) -> dict[str, dict[int, float]]:
    """Our own instructions per call, as what a proxy keeps grows."""

    def with_rules(count: int) -> float:
        return per_call(OURS, replace(how, rules=count), Calls())

    def with_keys(count: int) -> float:
        return per_call(OURS, how, Calls(distinct_keys=count))

    def with_methods(count: int) -> float:
        return per_call(OURS, how, Calls(methods=count))

    def with_connections(count: int) -> float:
        return per_call(OURS, how, Calls(open_connections=count))

    plans = {
        "rules": (with_rules, (1, 10, 50, 200)),
        "sticky keys": (with_keys, (1, 10_000)),
        "methods": (with_methods, (1, METHODS)),
        "other open connections": (with_connections, (0, 100, 1_000)),
    }
    if quick:
        plans = {name: (what, (counts[0], counts[-1])) for name, (what, counts) in plans.items()}
    return {name: {n: what(n) for n in counts} for name, (what, counts) in plans.items()}
