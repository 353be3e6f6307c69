"""What the server tells of itself: traces of calls and statements, and its use of the machine.

Exported over OTLP if `OTEL_EXPORTER_OTLP_ENDPOINT` is set, else nothing is recorded at all. The
other `OTEL_` variables mean what they mean to the SDK; here are only the defaults that differ.
"""

import os
import resource
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation import dbapi
from opentelemetry.instrumentation.grpc import filters, server_interceptor
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

DEFAULT_SERVICE_NAME = "gazetteer-python"
"""The service's name unless `OTEL_SERVICE_NAME` says otherwise."""

_UNNAMED = "unknown_service"
_EXPORT_TIMEOUT_S = 2.0
"""Short, because a server must not wait long at its end for a collector that is away."""

_METRIC_INTERVAL_MS = 5_000
_SPAN_DELAY_MS = 1_000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Traces and metrics of one process; `shutdown` sends what is left."""

    tracers: TracerProvider
    meters: MeterProvider

    def interceptor(self, service: str) -> grpc.ServerInterceptor:
        """Gives the layer that makes a span of each call to a service."""
        layer = server_interceptor(self.tracers, filter_=filters.service_name(service))
        return cast(grpc.ServerInterceptor, layer)

    def instrument(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Wraps a connection, so that each statement on its cursors makes a span."""
        wrapped = dbapi.instrument_connection(
            __name__, connection, "sqlite", tracer_provider=self.tracers
        )
        return cast(sqlite3.Connection, wrapped)

    def shutdown(self) -> None:
        """Sends what is left and stops."""
        self.tracers.shutdown()
        self.meters.shutdown()


def start_telemetry(environment: Mapping[str, str]) -> Telemetry | None:
    """Starts exporting, if an endpoint is named.

    Args:
        environment: The environment variables.

    Returns:
        The telemetry, or None where there is no endpoint.
    """
    if not environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    # The exporters read the variable themselves where nothing is handed in.
    timeout_s = None if environment.get("OTEL_EXPORTER_OTLP_TIMEOUT") else _EXPORT_TIMEOUT_S
    return build_telemetry(
        spans=BatchSpanProcessor(
            OTLPSpanExporter(timeout=timeout_s),
            schedule_delay_millis=_milliseconds(
                environment, "OTEL_BSP_SCHEDULE_DELAY", _SPAN_DELAY_MS
            ),
        ),
        metrics=PeriodicExportingMetricReader(
            OTLPMetricExporter(timeout=timeout_s),
            export_interval_millis=_milliseconds(
                environment, "OTEL_METRIC_EXPORT_INTERVAL", _METRIC_INTERVAL_MS
            ),
        ),
    )


def build_telemetry(*, spans: SpanProcessor, metrics: MetricReader) -> Telemetry:
    """Puts telemetry together around where spans and metrics go.

    Sampling is the SDK's default: the parent's choice, and always without a parent.
    """
    described = Resource.create()
    if str(described.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        described = described.merge(Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME}))
    tracers = TracerProvider(resource=described)
    tracers.add_span_processor(spans)
    meters = MeterProvider(metric_readers=[metrics], resource=described)
    _observe_process(meters.get_meter(__name__))
    return Telemetry(tracers, meters)


def _milliseconds(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _observe_process(meter: Meter) -> None:
    meter.create_observable_counter(
        "process.cpu.time", [_cpu_time], unit="s", description="CPU time used, by mode."
    )
    meter.create_observable_up_down_counter(
        "process.memory.usage", [_memory_usage], unit="By", description="Memory in RAM."
    )
    meter.create_observable_up_down_counter(
        "process.thread.count", [_thread_count], unit="{thread}", description="Threads."
    )


def _cpu_time(_: CallbackOptions) -> Iterable[Observation]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Observation(usage.ru_utime, {"cpu.mode": "user"})
    yield Observation(usage.ru_stime, {"cpu.mode": "system"})


def _memory_usage(_: CallbackOptions) -> Iterable[Observation]:
    resident_pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    yield Observation(resident_pages * _PAGE_BYTES)


def _thread_count(_: CallbackOptions) -> Iterable[Observation]:
    yield Observation(sum(1 for _ in Path("/proc/self/task").iterdir()))
