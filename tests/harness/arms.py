"""Both arms of the gazetteer, and the candidate with porting bugs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import grpc
from typing_extensions import Self

from harness.paths import binary, script
from harness.process import Process


@dataclass(frozen=True)
class Arm:
    """A running arm."""

    process: Process
    address: str

    @property
    def url(self) -> str:
        """As a manifest names it."""
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def channel(self) -> grpc.Channel:
        """A new channel to it, without the proxy."""
        return grpc.insecure_channel(self.address)

    def stop(self) -> int:
        """Stops it; gives the exit code."""
        return self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_legacy(
    database: Path,
    *,
    logs: Path,
    otlp: str | None = None,
    listen: str = "127.0.0.1:0",
    extra: Sequence[str] = (),
) -> Arm:
    """Starts the Python arm. `otlp` is the HOST:PORT that it exports telemetry to."""
    return _start("legacy", script("gazetteer-server"), database, logs, otlp, listen, extra)


def start_candidate(
    database: Path,
    *,
    logs: Path,
    otlp: str | None = None,
    listen: str = "127.0.0.1:0",
    extra: Sequence[str] = (),
    arm: str = "candidate",
) -> Arm:
    """Starts the Rust arm; as `arm="legacy"` it stands in for the Python one."""
    return _start(arm, binary("gazetteer-server"), database, logs, otlp, listen, extra)


def start_broken(
    database: Path,
    *,
    logs: Path,
    otlp: str | None = None,
    listen: str = "127.0.0.1:0",
    extra: Sequence[str] = (),
) -> Arm:
    """Starts the Rust arm with porting bugs; `extra` says which."""
    return _start("candidate", binary("gazetteer-broken"), database, logs, otlp, listen, extra)


def telemetry(arm: str, otlp: str | None) -> Mapping[str, str]:
    """The environment of an arm that exports to `otlp`, or that exports nothing."""
    if otlp is None:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{otlp}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_RESOURCE_ATTRIBUTES": f"cutover.arm={arm}",
        # Comparisons wait for spans: the default of five seconds is for production.
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        # Likewise with growth of memory and readings of it.
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }


def _start(
    arm: str,
    program: Path,
    database: Path,
    logs: Path,
    otlp: str | None,
    listen: str,
    extra: Sequence[str],
) -> Arm:
    command: list[str | Path] = [program, "--listen", listen, "--database", database, *extra]
    process = Process(arm, command, logs=logs, env=telemetry(arm, otlp))
    try:
        return Arm(process, process.wait_for_line(r"^listening on (\S+)$")[1])
    except BaseException:
        process.stop()
        raise
