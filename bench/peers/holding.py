"""Memory, and calls that stream."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

import usage
from configs import path
from harness import binary, wait_until
from instructions import held, start_holding
from peers import PEERS, Running, Start, check

MEBI = 2**20
CONNECTIONS = 1_000
STREAMS = (1, 10)
_STREAMED_S = 900.0
_HELD_S = 120.0


@dataclass(frozen=True)
class Memory:
    """Resident memory, MiB."""

    rest: float
    by_streams: dict[int, float]
    """With so many streams on each of the connections."""


@dataclass(frozen=True)
class Paused:
    """A call whose client sends without end and reads nothing."""

    before: float
    after: float
    """Resident memory once nothing more was taken, MiB."""
    sent: float
    """What the client had sent by then, MiB."""


def memory(name: str, how: Start) -> Memory:
    """At rest, and with connections and streams open; a new process for each."""
    rest, by_streams = 0.0, {}
    for streams in STREAMS:
        with PEERS[name].start(how) as running:
            check(running)
            rest = _mebibytes(running)
            with held(running, how.scratch, CONNECTIONS, streams):
                by_streams[streams] = _mebibytes(running)
    return Memory(rest, by_streams)


def paused(name: str, how: Start) -> Paused:
    """Whether a reader that has stopped stops the sender."""
    with PEERS[name].start(how) as running:
        check(running)
        before = _mebibytes(running)
        with start_holding(running, how.scratch, 1, 1, "--flood") as flood:
            said = flood.wait_for_line(r"^stalled after (\d+) bytes$", timeout=_HELD_S)
            # What it had read it may still be handing on.
            settled: list[int] = []

            def same() -> bool:
                settled.append(usage.cpu_ns(running.pid))
                return len(settled) > 10 and settled[-1] - settled[-10] < 10_000_000

            wait_until(same, timeout=_HELD_S, what="the proxy comes to rest")
            return Paused(before, _mebibytes(running), int(said[1]) / MEBI)


@dataclass(frozen=True)
class Stream:
    """Calls that stream."""

    name: str
    calls: int
    messages: int
    """Of each call, there and back."""
    connections: int


def streamed(running: Running, stream: Stream) -> float:
    """CPU of the proxy for one message in one direction, µs."""
    before = usage.cpu_ns(running.pid)
    command = [
        *(binary("cutover-bench"), "stream", "--target", running.url),
        *("--path", path(1), "--messages", stream.messages),
        *("--calls", stream.calls, "--connections", stream.connections),
    ]
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        capture_output=True,
        text=True,
        timeout=_STREAMED_S,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    passed = 2 * int(json.loads(done.stdout)["messages"])
    return (usage.cpu_ns(running.pid) - before) / passed / 1e3


def _mebibytes(running: Running) -> float:
    return usage.resident_bytes(running.pid) / MEBI
