"""The spans and metrics of real calls, kept in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from conftest import Serve
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from gazetteer_server.server import RunningServer
from gazetteer_server.store import Store
from gazetteer_server.telemetry import Telemetry, build_telemetry, start_telemetry

_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_CALLER = (("traceparent", f"00-{_TRACE}-{_PARENT}-01"),)


class Observed(NamedTuple):
    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    telemetry: Telemetry


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Observed]:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "cutover.arm=legacy")
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    telemetry = build_telemetry(spans=SimpleSpanProcessor(spans), metrics=metrics)
    yield Observed(spans, metrics, telemetry)
    telemetry.shutdown()


@pytest.fixture
def traced(
    serve: Serve,
    connect: Callable[[RunningServer], grpc.Channel],
    observed: Observed,
    database: Path,
) -> grpc.Channel:
    store = Store(database, instrument=observed.telemetry.instrument)
    running = serve(store, telemetry=observed.telemetry)
    observed.spans.clear()
    return connect(running)


def _calls(spans: InMemorySpanExporter, wanted: int) -> list[ReadableSpan]:
    """Waits for the spans of calls, which end a little after their answers."""
    while True:
        finished = list(spans.get_finished_spans())
        if sum(span.kind is SpanKind.SERVER for span in finished) >= wanted:
            return finished


def _statements(spans: list[ReadableSpan]) -> list[str]:
    clients = [span for span in spans if span.kind is SpanKind.CLIENT]
    (server,) = [span for span in spans if span.kind is SpanKind.SERVER]
    assert all(span.parent == server.get_span_context() for span in clients)
    texts = [str((span.attributes or {})["db.statement"]) for span in clients]
    return [" ".join(text.split()[:1] + text.split()[-4:]) for text in texts]


def test_a_read_makes_one_span_a_statement(traced: grpc.Channel, observed: Observed) -> None:
    stub = pb_grpc.GazetteerServiceStub(traced)
    stub.GetPlace(pb.GetPlaceRequest(id=2), metadata=_CALLER)
    spans = _calls(observed.spans, 1)
    assert _statements(spans) == [
        "SELECT WHERE id = ?",
        "SELECT ? ORDER BY position",
        "SELECT WHERE place_id = ?",
    ]
    server = spans[-1]
    assert server.name == "/gazetteer.v1.GazetteerService/GetPlace"
    assert server.parent is not None
    assert f"{server.parent.trace_id:032x}" == _TRACE
    assert f"{server.parent.span_id:016x}" == _PARENT
    assert server.resource.attributes["service.name"] == "gazetteer-python"
    assert server.resource.attributes["cutover.arm"] == "legacy"


def test_a_place_that_is_not_there_costs_one_statement(
    traced: grpc.Channel, observed: Observed
) -> None:
    with pytest.raises(grpc.RpcError):
        pb_grpc.GazetteerServiceStub(traced).GetPlace(pb.GetPlaceRequest(id=99))
    spans = _calls(observed.spans, 1)
    assert _statements(spans) == ["SELECT WHERE id = ?"]
    assert (spans[-1].attributes or {})["rpc.grpc.status_code"] == 5


def test_a_stream_makes_one_span_of_its_statement(traced: grpc.Channel, observed: Observed) -> None:
    request = pb.ListPlacesRequest(country_code="US", page_size=1, limit=2)
    assert len(list(pb_grpc.GazetteerServiceStub(traced).ListPlaces(request))) == 2
    assert _statements(_calls(observed.spans, 1)) == ["SELECT BY id LIMIT ?"]


def test_a_write_makes_one_span_a_statement(traced: grpc.Channel, observed: Observed) -> None:
    request = pb.RecordVisitRequest(place_id=2, visitor="ada")
    pb_grpc.GazetteerServiceStub(traced).RecordVisit(request)
    assert _statements(_calls(observed.spans, 1)) == [
        "SELECT WHERE id = ?",
        "INSERT VALUES (?, ?, ?)",
        "SELECT WHERE place_id = ?",
    ]


def test_what_is_in_memory_asks_the_database_nothing(
    traced: grpc.Channel, observed: Observed
) -> None:
    stub = pb_grpc.GazetteerServiceStub(traced)
    stub.SearchPlaces(pb.SearchPlacesRequest(query="berlin"))
    stub.FindNearest(pb.FindNearestRequest(location=pb.LatLng()))
    list(stub.Suggest(iter([pb.SuggestRequest(prefix="b")])))
    spans = _calls(observed.spans, 3)
    assert [span.kind for span in spans] == [SpanKind.SERVER] * 3


def test_an_unsampled_caller_makes_no_spans(traced: grpc.Channel, observed: Observed) -> None:
    stub = pb_grpc.GazetteerServiceStub(traced)
    unsampled = (("traceparent", f"00-{_TRACE}-{_PARENT}-00"),)
    stub.GetPlace(pb.GetPlaceRequest(id=2), metadata=unsampled)
    stub.GetPlace(pb.GetPlaceRequest(id=3), metadata=_CALLER)
    assert len(_calls(observed.spans, 1)) == 4


def test_health_makes_no_spans(traced: grpc.Channel, observed: Observed) -> None:
    health: Any = health_pb2_grpc.HealthStub(traced)
    health.Check(health_pb2.HealthCheckRequest())
    pb_grpc.GazetteerServiceStub(traced).FindNearest(pb.FindNearestRequest(location=pb.LatLng()))
    assert len(_calls(observed.spans, 1)) == 1


def test_observes_the_process(observed: Observed) -> None:
    data = observed.metrics.get_metrics_data()
    assert isinstance(data, MetricsData)
    (resource,) = data.resource_metrics
    metrics = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    points: dict[str, list[Any]] = {
        name: list(metric.data.data_points) for name, metric in metrics.items()
    }
    assert {p.attributes["cpu.mode"] for p in points["process.cpu.time"]} == {"user", "system"}
    assert points["process.memory.usage"][0].value > 1_000_000
    assert points["process.thread.count"][0].value >= 1
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "process.cpu.time": "s",
        "process.memory.usage": "By",
        "process.thread.count": "{thread}",
    }


def test_nothing_starts_without_an_endpoint() -> None:
    assert start_telemetry({}) is None
    assert start_telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
