"""What a channel adds to calls of all kinds: deadline, sticky key, trace."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes import WAIT_S, FakeGazetteer
from kinds import AIO, KINDS, SYNC
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import cutover
import gazetteer as gz
from cutover._config import channel_options
from gazetteer import AsyncGazetteerClient, GazetteerClient


@pytest.mark.parametrize("kind", KINDS)
def test_sends_the_sticky_key_and_the_deadline(
    kind: str, gazetteer: FakeGazetteer, target: str
) -> None:
    with GazetteerClient.connect(target, sticky_key="ada", deadline=40.0) as client:
        assert SYNC[kind](client)
    _has_key_and_deadline(gazetteer)


@pytest.mark.parametrize("kind", KINDS)
async def test_sends_the_sticky_key_and_the_deadline_aio(
    kind: str, gazetteer: FakeGazetteer, target: str
) -> None:
    async with AsyncGazetteerClient.connect(target, sticky_key="ada", deadline=40.0) as client:
        assert await AIO[kind](client)
    _has_key_and_deadline(gazetteer)


@pytest.mark.parametrize("kind", KINDS)
def test_sends_neither_key_nor_deadline_unasked(
    kind: str, gazetteer: FakeGazetteer, target: str
) -> None:
    with GazetteerClient.connect(target, deadline=None) as client:
        assert SYNC[kind](client)
    _has_neither(gazetteer)


@pytest.mark.parametrize("kind", KINDS)
async def test_sends_neither_key_nor_deadline_unasked_aio(
    kind: str, gazetteer: FakeGazetteer, target: str
) -> None:
    async with AsyncGazetteerClient.connect(target, deadline=None) as client:
        assert await AIO[kind](client)
    _has_neither(gazetteer)


@pytest.mark.parametrize("kind", KINDS)
def test_sends_the_trace(
    kind: str, gazetteer: FakeGazetteer, target: str, spans: InMemorySpanExporter
) -> None:
    with _parent() as trace_id, GazetteerClient.connect(target) as client:
        assert SYNC[kind](client)
    _is_traced(gazetteer, spans, trace_id)


@pytest.mark.parametrize("kind", KINDS)
async def test_sends_the_trace_aio(
    kind: str, gazetteer: FakeGazetteer, target: str, spans: InMemorySpanExporter
) -> None:
    with _parent() as trace_id:
        async with AsyncGazetteerClient.connect(target) as client:
            assert await AIO[kind](client)
    _is_traced(gazetteer, spans, trace_id)


def test_sends_no_trace_without_a_provider(gazetteer: FakeGazetteer, target: str) -> None:
    # The provider is global and set once in a process, so this takes a process of its own.
    environment = {name: value for name, value in os.environ.items() if "OTEL" not in name}
    command = [sys.executable, "-m", "gazetteer", "--target", target, "get", "1"]
    subprocess.run(command, check=True, env=environment, timeout=WAIT_S, capture_output=True)
    (seen,) = gazetteer.seen
    assert "traceparent" not in seen.metadata


def test_marks_the_span_of_a_failed_call(
    gazetteer: FakeGazetteer, target: str, spans: InMemorySpanExporter
) -> None:
    gazetteer.hanging.add("GetPlace")
    with (
        GazetteerClient.connect(target, deadline=0.2) as client,
        pytest.raises(gz.DeadlineExceeded),
    ):
        client.get_place(1)
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
    assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"
    assert span.status.status_code is trace.StatusCode.ERROR


def test_closing_a_stream_ends_its_span(target: str, spans: InMemorySpanExporter) -> None:
    with GazetteerClient.connect(target) as client:
        places = client.list_places()
        assert next(places).name
        assert spans.get_finished_spans() == ()
        places.close()
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


async def test_closing_a_stream_ends_its_span_aio(target: str, spans: InMemorySpanExporter) -> None:
    async with AsyncGazetteerClient.connect(target) as client:
        places = client.list_places()
        assert (await anext(places)).name
        assert spans.get_finished_spans() == ()
        await places.aclose()
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


async def test_a_deadline_ends_a_call_aio(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.hanging.add("GetPlace")
    async with AsyncGazetteerClient.connect(target, deadline=0.2) as client:
        with pytest.raises(gz.DeadlineExceeded):
            await client.get_place(1)


def test_the_timeout_and_metadata_of_a_call_win(gazetteer: FakeGazetteer, target: str) -> None:
    with GazetteerClient.connect(target, sticky_key="ada", deadline=5.0) as client:
        client.get_place(1, timeout=100.0, metadata=(("x-user-id", "bob"),))
        client.get_place(1, timeout=math.inf)
    first, second = gazetteer.seen
    assert first.metadata["x-user-id"] == "bob"
    assert _about(100.0, first.time_remaining)
    assert _unlimited(second.time_remaining)


def test_asks_for_the_sticky_key_at_each_call(gazetteer: FakeGazetteer, target: str) -> None:
    keys = iter(["ada", None, "bob"])
    with GazetteerClient.connect(
        target, sticky_key=lambda: next(keys), sticky_metadata="x-tenant"
    ) as client:
        for _ in range(3):
            client.get_place(1)
    assert [seen.metadata.get("x-tenant") for seen in gazetteer.seen] == ["ada", None, "bob"]


def test_refuses_a_sticky_key_that_cannot_be_sent(target: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        cutover.channel(target, sticky_key="Zürich")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_sticky_key_fails_its_call(kind: str, gazetteer: FakeGazetteer, target: str) -> None:
    with (
        GazetteerClient.connect(target, sticky_key=lambda: "Zürich") as client,
        pytest.raises(ValueError, match="printable ASCII"),
    ):
        SYNC[kind](client)
    assert gazetteer.seen == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_sticky_key_fails_its_call_aio(
    kind: str, gazetteer: FakeGazetteer, target: str
) -> None:
    async with AsyncGazetteerClient.connect(target, sticky_key=lambda: "Zürich") as client:
        with pytest.raises(ValueError, match="printable ASCII"):
            await AIO[kind](client)
    assert gazetteer.seen == []


@pytest.mark.parametrize("name", ["X-User", "grpc-user", "user-bin", "", "x user"])
def test_refuses_a_name_that_metadata_cannot_have(name: str) -> None:
    with pytest.raises(ValueError, match="sticky_metadata"):
        cutover.channel("127.0.0.1:1", sticky_metadata=name)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_refuses_a_bad_deadline(seconds: float) -> None:
    with pytest.raises(ValueError, match="deadline must be positive"):
        cutover.channel("127.0.0.1:1", deadline=seconds)


def test_refuses_half_a_client_certificate() -> None:
    with pytest.raises(ValueError, match="go together"):
        cutover.Tls(private_key=b"")


def test_pings_no_more_often_than_servers_allow() -> None:
    options = dict(channel_options(retry=None, tls=None, keepalive=330.0))
    assert options["grpc.keepalive_time_ms"] > 300_000
    assert options["grpc.keepalive_permit_without_calls"] == 0
    assert channel_options(retry=None, tls=None, keepalive=None) == []
    with pytest.raises(ValueError, match="keepalive must be positive"):
        cutover.channel("127.0.0.1:1", keepalive=0.0)


def _has_key_and_deadline(fake: FakeGazetteer) -> None:
    (seen,) = fake.seen
    assert seen.metadata["x-user-id"] == "ada"
    assert _about(40.0, seen.time_remaining)


def _has_neither(fake: FakeGazetteer) -> None:
    (seen,) = fake.seen
    assert "x-user-id" not in seen.metadata
    assert _unlimited(seen.time_remaining)


def _about(deadline: float, time_remaining: float | None) -> bool:
    # gRPC rounds up to three digits when it sends a deadline.
    return time_remaining is not None and deadline * 0.5 < time_remaining < deadline * 1.05


def _unlimited(time_remaining: float | None) -> bool:
    # grpcio gives the end of time in place of None to some calls without a deadline.
    return time_remaining is None or time_remaining > 1e9


def _is_traced(fake: FakeGazetteer, spans: InMemorySpanExporter, trace_id: str) -> None:
    (seen,) = fake.seen
    (span,) = (span for span in spans.get_finished_spans() if span.name != "parent")
    assert span.context is not None
    assert span.context.trace_flags.sampled
    flags = f"{span.context.trace_flags:02x}"
    assert seen.metadata["traceparent"] == f"00-{trace_id}-{span.context.span_id:016x}-{flags}"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"gazetteer.v1.GazetteerService/{seen.method}",
        "rpc.response.status_code": "OK",
    }


@contextmanager
def _parent() -> Iterator[str]:
    with trace.get_tracer("tests").start_as_current_span("parent") as span:
        yield f"{span.get_span_context().trace_id:032x}"
