"""User instructions per call, by callgrind: the figure that repeats exactly on a busy machine.

A long run minus a short one, so that starting and ending cancel out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import load
from configs import path
from harness import Load, Process, binary, run_load
from peers import OURS, PEERS, Running, Start, check
from tools import program

SHORT, LONG = 1_000, 5_000
_SEEN_BEFORE = 40
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
    """Instructions of one call through a peer, once all that it keeps is there."""
    # Each key is seen once by then, each method as often as its histogram needs to be as wide as it
    # gets.
    short = max(SHORT, calls.distinct_keys, calls.methods * _SEEN_BEFORE)
    more = max(LONG - SHORT, short)
    first, second = (_run(name, how, calls, count) for count in (short, short + more))
    return (second - first) / more


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


def curves(how: Start, *, quick: bool, say: Callable[[str], None]) -> dict[str, dict[int, float]]:
    """Our own instructions per call, as what a proxy keeps grows."""
    plans: dict[str, tuple[Callable[[int], tuple[Start, Calls]], Sequence[int]]] = {
        "rules": (lambda count: (replace(how, rules=count), Calls()), (1, 10, 50, 200, 1_000)),
        "methods": (
            lambda count: (replace(how, methods=1_000), Calls(methods=count)),
            (1, 2, 5, 10, 50, 200, 1_000),
        ),
        "sticky keys": (
            lambda count: (how, Calls(distinct_keys=count)),
            (1, 2, 10, 50, 100, 1_000, 10_000),
        ),
        "other open connections": (
            lambda count: (how, Calls(open_connections=count)),
            (0, 1, 10, 100, 1_000),
        ),
    }
    drawn: dict[str, dict[int, float]] = {}
    for name, (plan, counts) in plans.items():
        chosen = (counts[0], counts[-1]) if quick else counts
        drawn[name] = {count: per_call(OURS, *plan(count)) for count in chosen}
        points = ", ".join(f"{count:,}: {found:,.0f}" for count, found in drawn[name].items())
        say(f"{name}: {points}")
    return drawn
