"""`cutover.telemetry`, against a fake collector. Providers are global: each test has a process."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from fakes import WAIT_S
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from cutover import telemetry

SCRIPT = """
from opentelemetry import trace
from cutover import telemetry

with telemetry.setup("shop") as running:
    with trace.get_tracer("tests").start_as_current_span("work") as span:
        print(span.is_recording())
"""


class FakeCollector(trace_grpc.TraceServiceServicer, metrics_grpc.MetricsServiceServicer):
    def __init__(self) -> None:
        self.traces: queue.Queue[trace_pb.ExportTraceServiceRequest] = queue.Queue()
        self.metrics: queue.Queue[metrics_pb.ExportMetricsServiceRequest] = queue.Queue()

    def Export(  # noqa: N802 - both services call it so
        self,
        request: trace_pb.ExportTraceServiceRequest | metrics_pb.ExportMetricsServiceRequest,
        context: grpc.ServicerContext,
    ) -> object:
        if isinstance(request, trace_pb.ExportTraceServiceRequest):
            self.traces.put(request)
            return trace_pb.ExportTraceServiceResponse()
        self.metrics.put(request)
        return metrics_pb.ExportMetricsServiceResponse()


@pytest.fixture
def collector() -> FakeCollector:
    return FakeCollector()


@pytest.fixture
def endpoint(collector: FakeCollector) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    trace_grpc.add_TraceServiceServicer_to_server(collector, server)
    metrics_grpc.add_MetricsServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def test_exports_spans_and_the_use_of_the_machine(collector: FakeCollector, endpoint: str) -> None:
    assert _run({telemetry.ENDPOINT: endpoint}) == "True\n"
    (spans,) = collector.traces.get(timeout=WAIT_S).resource_spans
    assert [span.name for scope in spans.scope_spans for span in scope.spans] == ["work"]
    assert _attributes(spans.resource)["service.name"] == "shop"
    (measured,) = collector.metrics.get(timeout=WAIT_S).resource_metrics
    metrics = {metric.name: metric for scope in measured.scope_metrics for metric in scope.metrics}
    assert set(metrics) == {"process.cpu.time", "process.memory.usage", "process.thread.count"}
    cpu = metrics["process.cpu.time"]
    assert cpu.unit == "s"
    assert cpu.sum.is_monotonic
    modes = {point.attributes[0].value.string_value for point in cpu.sum.data_points}
    assert modes == {"user", "system"}
    assert metrics["process.memory.usage"].sum.data_points[0].as_int > 1_000_000
    assert metrics["process.thread.count"].sum.data_points[0].as_int >= 1


def test_the_environment_names_the_service_and_the_arm(
    collector: FakeCollector, endpoint: str
) -> None:
    _run(
        {
            telemetry.ENDPOINT: endpoint,
            "OTEL_SERVICE_NAME": "till",
            "OTEL_RESOURCE_ATTRIBUTES": "cutover.arm=legacy",
        }
    )
    (spans,) = collector.traces.get(timeout=WAIT_S).resource_spans
    attributes = _attributes(spans.resource)
    assert (attributes["service.name"], attributes["cutover.arm"]) == ("till", "legacy")


def test_records_nothing_without_an_endpoint() -> None:
    assert _run({}) == "False\n"


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(telemetry.ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(RuntimeError, match=r"pip install 'cutover-client\[telemetry\]'"):
        telemetry.setup("shop")


def _attributes(resource: Resource) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in resource.attributes}


def _run(variables: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if "OTEL" not in name}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    run = subprocess.run(
        command,
        env=environment | variables,
        timeout=WAIT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout
