"""The control plane alone, proxies alone, and a proxy that is only played."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

import grpc
from cutover import Operator
from cutover.v1 import control_plane_pb2 as pb
from cutover.v1 import control_plane_pb2_grpc as rpc
from typing_extensions import Self

from harness.paths import binary
from harness.process import Process

METHOD = "/played.v1.Service/Method"


class ControlPlane:
    """A running `cutover control`."""

    def __init__(
        self,
        manifest: Path,
        *,
        store: Path | str,
        logs: Path,
        listen: int = 0,
        name: str = "control",
    ) -> None:
        """Starts it and waits until operators and proxies can connect."""
        command: list[str | Path] = [
            *(binary("cutover"), "control", "-f", manifest, "--store", store),
            *("--listen", f"127.0.0.1:{listen}", "--operator", "127.0.0.1:0"),
        ]
        self.process = Process(name, command, logs=logs)
        self.address = self.process.wait_for_line(r"^control listening on (\S+)$")[1]
        dashboard = self.process.wait_for_line(r"^dashboard at http://(\S+)$")[1]
        self.operator_address = dashboard.rstrip("/")

    def operator(self) -> Operator:
        """A new client of the operator's API."""
        return Operator(self.operator_address, who="tests")

    def kill(self) -> None:
        """Ends it without a chance to save anything (SIGKILL)."""
        self.process.signal(signal.SIGKILL)
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()


class ProxyAlone:
    """A running `cutover proxy` that gets its table from a control plane."""

    def __init__(self, name: str, control: str, *, logs: Path, otlp: str | None = None) -> None:
        """Starts it and waits until it takes calls. `otlp` is the HOST:PORT its spans go to."""
        command: list[str | Path] = [
            *(binary("cutover"), "proxy", "--control", f"http://{control}", "--threads", "1"),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            *(("--otlp", f"http://{otlp}") if otlp else ()),
        ]
        self.process = Process(name, command, logs=logs)
        self.address = self.process.wait_for_line(r"^proxy listening on (\S+)$")[1]
        self.admin = self.process.wait_for_line(r"^admin listening on (\S+)$")[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()


class PlayedProxy:
    """Connects as a proxy would and reports calls that were never made.

    They are a million good ones at each weight below 100, and bad ones at 100, so that a ramp
    climbs and falls by itself.
    """

    def __init__(self, control: str) -> None:
        """Connects; ends when the control plane does."""
        self._requests: SimpleQueue[pb.SyncRequest | None] = SimpleQueue()
        self._channel = grpc.insecure_channel(control)
        hello = pb.Hello(instance=uuid.uuid4().hex, version="test", host="here")
        self._requests.put(pb.SyncRequest(hello=hello))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnects."""
        self._requests.put(None)
        self._channel.close()
        self._thread.join()

    def _run(self) -> None:
        tables = rpc.ControlPlaneServiceStub(self._channel).Sync(iter(self._requests.get, None))
        epoch, sequence, seen = 0, 0, set[int]()
        counters = pb.MethodReport()
        try:
            for answer in tables:
                table = answer.table
                ack = pb.Ack(generation=table.generation)
                self._requests.put(pb.SyncRequest(ack=ack))
                if table.epoch != epoch:
                    epoch, seen = table.epoch, set()
                    counters = pb.MethodReport(method=METHOD, pairs=pb.PairCounters())
                weight = table.weights.ramp_bp
                if weight not in seen:
                    seen.add(weight)
                    _count(counters, weight)
                sequence += 1
                report = pb.Report(epoch=epoch, sequence=sequence, methods=[counters])
                self._requests.put(pb.SyncRequest(report=report))
        except grpc.RpcError:
            return


def _count(counters: pb.MethodReport, weight_bp: int) -> None:
    calls = 1_000_000 if weight_bp < 10_000 else 2_000
    bad = 0 if weight_bp < 10_000 else calls // 2
    for arm, role, calls_of, failures in _cells(calls, weight_bp, bad):
        by_status = {0: calls_of - failures, 13: failures}
        counters.calls.add(
            weight_bp=weight_bp, arm=arm, role=role, by_status=by_status, failures=failures
        )
    counters.pairs.compared += calls
    counters.pairs.mismatched += bad
    counters.pairs.only_candidate_failed += bad


def _cells(
    calls: int, weight_bp: int, bad: int
) -> Iterator[tuple[pb.Arm.ValueType, pb.Role.ValueType, int, int]]:
    by_candidate = calls * weight_bp // 10_000
    cells = (
        (pb.ARM_LEGACY, pb.ROLE_PRIMARY, calls - by_candidate, 0),
        (pb.ARM_CANDIDATE, pb.ROLE_SHADOW, calls - by_candidate, 0),
        (pb.ARM_CANDIDATE, pb.ROLE_PRIMARY, by_candidate, bad),
        (pb.ARM_LEGACY, pb.ROLE_SHADOW, by_candidate, 0),
    )
    return (cell for cell in cells if cell[2] > 0)
