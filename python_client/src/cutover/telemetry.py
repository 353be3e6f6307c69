"""OpenTelemetry for a Python service, from the OTEL_* variables of its environment.

Needs the extra `telemetry` of this package. Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is set
up and nothing is exported. Owns the resource, traces, and three metrics of the process
(`process.cpu.time`, `process.memory.usage`, `process.thread.count`); leaves spans to the service.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from typing_extensions import Self

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where spans and metrics go, over gRPC; unset for nowhere."""

EXPORT_INTERVAL_MS: Final = 5_000
"""Time between exports of metrics where OTEL_METRIC_EXPORT_INTERVAL says nothing else."""

SPAN_DELAY_MS: Final = 1_000
"""Time between exports of spans where OTEL_BSP_SCHEDULE_DELAY says nothing else: short, as the
comparison of two arms waits for both."""

FLUSH_TIMEOUT_MS: Final = 5_000
"""How long `shutdown` waits for the last metrics."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What `setup` set up; a context manager that flushes and stops it."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None

    def shutdown(self) -> None:
        """Exports what is left and stops."""
        if self.tracer_provider is not None:
            self.tracer_provider.shutdown()
        if self.meter_provider is not None:
            self.meter_provider.shutdown(timeout_millis=FLUSH_TIMEOUT_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def setup(service_name: str) -> Telemetry:
    """Sets the global providers of traces and metrics up, once in a process.

    Sampling follows the caller (OTEL_TRACES_SAMPLER, default `parentbased_always_on`).

    Args:
        service_name: The name where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES has one.

    Returns:
        What was set up: nothing without OTEL_EXPORTER_OTLP_ENDPOINT.

    Raises:
        RuntimeError: There is an endpoint, but the extra is not installed.
    """
    if not os.environ.get(ENDPOINT):
        return Telemetry(None, None)
    try:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise RuntimeError(
            f"{ENDPOINT} is set, but OpenTelemetry's SDK is not installed: "
            "pip install 'cutover-client[telemetry]'"
        ) from error
    resource = _resource(service_name)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(),
            schedule_delay_millis=_unless("OTEL_BSP_SCHEDULE_DELAY", SPAN_DELAY_MS),
        )
    )
    # None leaves the choice to the SDK, which reads the variable.
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(),
        export_interval_millis=_unless("OTEL_METRIC_EXPORT_INTERVAL", EXPORT_INTERVAL_MS),
    )
    meters = MeterProvider(metric_readers=[reader], resource=resource)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    observe_process(meters)
    return Telemetry(tracers, meters)


def observe_process(provider: metrics.MeterProvider) -> None:
    """Adds the metrics of this process to a provider; they are read at each export."""
    meter = provider.get_meter("cutover")
    meter.create_observable_counter(
        "process.cpu.time", [_cpu_time], unit="s", description="CPU used by the process"
    )
    meter.create_observable_up_down_counter(
        "process.memory.usage", [_memory], unit="By", description="Resident memory"
    )
    meter.create_observable_up_down_counter(
        "process.thread.count", [_threads], unit="{thread}", description="Threads"
    )


def _resource(service_name: str) -> Resource:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: service_name}))
    return found


def _unless(variable: str, default: int) -> int | None:
    return None if os.environ.get(variable) else default


def _cpu_time(_: CallbackOptions) -> Iterable[Observation]:
    used = os.times()
    return (
        Observation(used.user, {"cpu.mode": "user"}),
        Observation(used.system, {"cpu.mode": "system"}),
    )


def _memory(_: CallbackOptions) -> Iterable[Observation]:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            pages = int(statm.read().split()[1])
    except OSError:
        return ()  # Only Linux tells.
    return (Observation(pages * os.sysconf("SC_PAGE_SIZE")),)


def _threads(_: CallbackOptions) -> Iterable[Observation]:
    try:
        # gRPC's own threads are not Python's; the kernel knows all.
        return (Observation(len(os.listdir("/proc/self/task"))),)
    except OSError:
        return (Observation(threading.active_count()),)
