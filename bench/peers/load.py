"""Calls: by h2load, the load generator of nghttp2, in one or two processes."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import configs
from peers import MESSAGE
from tools import program

_SLACK_S = 600.0
_REQUESTS = re.compile(
    r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored"
)
_FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s),")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Shape:
    """One kind of load."""

    name: str
    connections: int
    streams: int
    calls: int
    message_bytes: int = len(MESSAGE)
    rate: int = 0
    """Calls a second; 0 for as fast as they are answered."""

    def with_calls(self, calls: int) -> Shape:
        """The same, longer or shorter."""
        return Shape(
            self.name, self.connections, self.streams, calls, self.message_bytes, self.rate
        )


BUSY = Shape("busy 8×10", 8, 10, 60_000)
SHAPES = {
    "busy": BUSY,
    "wide": Shape("wide 32×10", 32, 10, 60_000),
    "single": Shape("single 1×1", 1, 1, 10_000),
    "paced": Shape("paced 4,000/s", 8, 10, 20_000, rate=4_000),
    "large": Shape("large 16 kB 8×2", 8, 2, 20_000, message_bytes=16_000),
}
"""Connections × calls at once on each, as in every table of peers."""


@dataclass(frozen=True)
class Seen:
    """What a load saw."""

    calls: int
    failed: int
    seconds: float
    p50_us: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def run(
    address: str,
    shape: Shape,
    scratch: Path,
    *,
    keys: Sequence[str],
    methods: int = 1,
    latency: bool = False,
) -> Seen:
    """Makes the calls of a shape, half of them with each key.

    A process of h2load can send one sticky key only, so there are as many processes as keys, unless
    the shape has one connection.

    Args:
        address: HOST:PORT.
        shape: How many calls, and how many at once.
        scratch: For files.
        keys: Sticky keys.
        methods: Distinct methods, called in turn.
        latency: Whether to look at each call's time.
    """
    processes = min(len(keys), shape.connections)
    body = scratch / f"body-{shape.message_bytes}.bin"
    if not body.is_file():
        body.write_bytes(
            b"\0" + shape.message_bytes.to_bytes(4, "big") + b"." * shape.message_bytes
        )
    urls = [f"http://{address}{configs.path(index)}" for index in range(methods)]
    logs = [scratch / f"latency-{index}.tsv" for index in range(processes)]
    connections = shape.connections // processes
    started = []
    for key, log in zip(keys, logs, strict=False):
        log.unlink(missing_ok=True)
        command = [
            *(program("h2load"), "-t1", "-c", str(connections), "-m", str(shape.streams)),
            *("-n", str(shape.calls // processes), "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            *("-H", f"x-user-id: {key}"),
        ]
        if shape.rate:
            command += ["--rps", str(shape.rate / shape.connections)]
        if latency:
            command += ["--log-file", str(log)]
        started.append(
            subprocess.Popen(
                [*command, *urls],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    seen = [_read(process.communicate(timeout=_SLACK_S)[0]) for process in started]
    times = [
        float(line.split("\t")[2])
        for log in logs
        if latency
        for line in log.read_text().splitlines()
    ]
    return Seen(
        calls=sum(one.calls for one in seen),
        failed=sum(one.failed for one in seen),
        seconds=max(one.seconds for one in seen),
        p50_us=statistics.median(times) if times else float("nan"),
    )


def _read(text: str) -> Seen:
    requests, finished = _REQUESTS.search(text), _FINISHED.search(text)
    if not requests or not finished:
        raise RuntimeError(f"h2load: {text[-500:]}")
    done, succeeded = int(requests[1]), int(requests[2])
    failed = int(requests[3]) + int(requests[4])
    seconds = float(finished[1]) * _UNITS[finished[2]]
    return Seen(succeeded, max(failed, done - succeeded), seconds, float("nan"))
