"""Any gRPC service goes through the proxy, and nothing about a call changes on the way."""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from foreign.backend import Backend, start_foreign
from foreign.service import (
    CHAT,
    COUNT,
    DETAILS,
    ECHO,
    FAIL,
    GATHER,
    INITIAL,
    MESSAGE,
    SERVICE,
    TRAILING,
    WAIT,
)
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1.gazetteer_pb2_grpc import GazetteerServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from harness import Arm, CutoverUp, manifest, wait_until
from runner import METHODS, ask, load_cases

ADDED = {"traceparent", "tracestate", "baggage", "user-agent", "x-forwarded-for"}
"""Metadata that a proxy may add to a request."""


@pytest.fixture(scope="module")
def module_logs(artifacts: Path) -> Path:
    """Where this module's processes log."""
    return artifacts / "test_proxy"


@pytest.fixture(scope="module")
def backend(module_logs: Path) -> Iterator[Backend]:
    """The foreign backend behind the proxy."""
    with start_foreign("legacy", logs=module_logs) as backend:
        yield backend


@pytest.fixture(scope="module")
def up(
    backend: Backend, module_logs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CutoverUp]:
    """A proxy with nothing but defaults; both arms are the same backend."""
    scratch = tmp_path_factory.mktemp("proxy")
    content = manifest(backend.url, backend.url)
    with CutoverUp(content, scratch=scratch, logs=module_logs) as up:
        yield up


@pytest.fixture
def direct(backend: Backend) -> Iterator[grpc.Channel]:
    """A channel around the proxy."""
    with backend.channel() as channel:
        yield channel


@pytest.fixture
def through(up: CutoverUp) -> Iterator[grpc.Channel]:
    """A channel through the proxy."""
    with up.channel() as channel:
        yield channel


def test_a_unary_call_keeps_its_bytes(through: grpc.Channel) -> None:
    for size in (0, 1, 5, 16_384, 65_535, 65_536, 3_000_000):
        sent = os.urandom(size)
        assert through.unary_unary(ECHO)(sent, timeout=20) == sent


def test_a_server_stream_keeps_its_messages(through: grpc.Channel) -> None:
    received = list(through.unary_stream(COUNT)(b"5000", timeout=30))
    assert received == [str(index).encode() for index in range(5_000)]


def test_an_empty_server_stream_stays_empty(through: grpc.Channel) -> None:
    assert list(through.unary_stream(COUNT)(b"0", timeout=10)) == []


def test_a_client_stream_keeps_its_messages(through: grpc.Channel) -> None:
    sent = [os.urandom(size % 300) for size in range(2_000)]
    assert through.stream_unary(GATHER)(iter(sent), timeout=30) == b"".join(sent)


def test_a_bidirectional_stream_of_10000_messages(through: grpc.Channel) -> None:
    chance = random.Random(5)
    sent = [chance.randbytes(chance.randrange(200)) for _ in range(10_000)]
    received = list(through.stream_stream(CHAT)(iter(sent), timeout=60))
    assert received == [message[::-1] for message in sent]


def test_a_bidirectional_stream_answers_before_its_end(through: grpc.Channel) -> None:
    answered = threading.Semaphore(0)

    def one_by_one() -> Iterator[bytes]:
        for index in range(50):
            yield str(index).encode()
            # The next request is made only when this one is answered.
            assert answered.acquire(timeout=10)

    call = through.stream_stream(CHAT)(one_by_one(), timeout=30)
    for index in range(50):
        assert next(call) == str(index).encode()[::-1]
        answered.release()
    assert list(call) == []


def test_metadata_of_an_answer_keeps_values_and_order(
    direct: grpc.Channel, through: grpc.Channel
) -> None:
    def metadata(channel: grpc.Channel) -> tuple[list[object], list[object]]:
        _, call = channel.unary_unary(ECHO).with_call(b"x", timeout=10)
        return (
            [(entry.key, entry.value) for entry in call.initial_metadata()],
            [(entry.key, entry.value) for entry in call.trailing_metadata()],
        )

    initial, trailing = metadata(through)
    assert (initial, trailing) == metadata(direct)
    assert initial == [("x-arm", "legacy"), *INITIAL]
    assert trailing == list(TRAILING)


def test_metadata_of_a_request_keeps_values_and_order(
    backend: Backend, direct: grpc.Channel, through: grpc.Channel
) -> None:
    sent = (
        ("x-one", "1"),
        ("x-many", "b"),
        ("x-many", "a"),
        ("x-bytes-bin", bytes(range(256))),
        ("x-empty-bin", b""),
        ("x-long", "l" * 6_000),
        ("authorization", "Bearer secret"),
    )
    for channel in (direct, through):
        channel.unary_unary(ECHO)(b"metadata", timeout=10, metadata=sent)
    one, other = (
        [entry for entry in call["metadata"] if entry[0] not in ADDED]
        for call in backend.ledger(ECHO)[-2:]
    )
    assert one == other
    assert [key for key, _ in other] == [key for key, _ in sent]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_a_status_keeps_message_and_details(code: grpc.StatusCode, through: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        through.unary_unary(FAIL)(code.name.encode(), timeout=10)
    assert caught.value.code() == code
    assert caught.value.details() == MESSAGE
    assert ("grpc-status-details-bin", DETAILS) in [
        (entry.key, entry.value) for entry in caught.value.trailing_metadata()
    ]


def test_an_unknown_method_is_answered_by_the_backend(
    direct: grpc.Channel, through: grpc.Channel
) -> None:
    statuses = []
    for channel in (direct, through):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/no.Such/Method")(b"", timeout=10)
        statuses.append((caught.value.code(), caught.value.details()))
    assert statuses[0] == statuses[1]
    assert statuses[0][0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_reaches_the_backend_and_ends_the_call(
    backend: Backend, through: grpc.Channel
) -> None:
    before = len(backend.ledger(WAIT))
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        through.unary_unary(WAIT)(b"", timeout=0.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5
    (entry,) = backend.ledger(WAIT)[before:]
    # gRPC rounds a deadline up on the wire.
    assert 0 < entry["timeout"] <= 0.51
    wait_until(lambda: backend.ledger(WAIT)[before]["outcome"] == "cancelled")


def test_a_call_without_a_deadline_gets_none(backend: Backend, through: grpc.Channel) -> None:
    through.unary_unary(ECHO)(b"")
    timeout = backend.ledger(ECHO)[-1]["timeout"]
    # grpcio gives the end of time where there is no deadline.
    assert timeout is None or timeout > 1e6


def test_the_cancellation_of_a_unary_call_reaches_the_backend(
    backend: Backend, through: grpc.Channel
) -> None:
    before = len(backend.ledger(WAIT))
    call = through.unary_unary(WAIT).future(b"", timeout=60)
    wait_until(lambda: len(backend.ledger(WAIT)) > before)
    call.cancel()
    wait_until(lambda: backend.ledger(WAIT)[before]["outcome"] == "cancelled")


def test_the_cancellation_of_a_stream_reaches_the_backend(
    backend: Backend, through: grpc.Channel
) -> None:
    before = len(backend.ledger(COUNT))
    call = through.unary_stream(COUNT)(b"100000000", timeout=60)
    assert next(call) == b"0"
    call.cancel()
    wait_until(lambda: backend.ledger(COUNT)[before]["outcome"] == "cancelled")


def test_a_stream_that_nobody_reads_does_not_hold_up_others(through: grpc.Channel) -> None:
    unread = through.unary_stream(COUNT)(b"100000000", timeout=60)
    assert next(unread) == b"0"
    for _ in range(50):
        assert through.unary_unary(ECHO)(b"meanwhile", timeout=10) == b"meanwhile"
    unread.cancel()


def test_many_calls_at_once_all_get_their_own_answer(through: grpc.Channel) -> None:
    sent = [str(index).encode() for index in range(1_000)]
    calls = [through.unary_unary(ECHO).future(message, timeout=60) for message in sent]
    assert [call.result() for call in calls] == sent


def test_compressed_messages_pass(up: CutoverUp, backend: Backend) -> None:
    with grpc.insecure_channel(up.address, compression=grpc.Compression.Gzip) as channel:
        sent = b"squeeze me " * 10_000
        assert channel.unary_unary(ECHO)(sent, timeout=10) == sent
    keys = [key for key, _ in backend.ledger(ECHO)[-1]["metadata"]]
    assert "traceparent" in keys


def test_health_of_grpcio_passes(through: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(through)
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(request, timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_of_grpcio_passes(through: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(through)
    assert set(database.get_services()) >= {"grpc.health.v1.Health"}
    file = database.FindFileContainingSymbol("grpc.health.v1.Health")
    assert file.service[0].method[0].name == "Check"


@pytest.mark.parametrize("behind", ["legacy", "candidate"])
def test_the_gazetteer_answers_the_same_with_and_without_the_proxy(
    behind: str, legacy: Arm, candidate: Arm, tmp_path: Path, logs: Path
) -> None:
    arm = {"legacy": legacy, "candidate": candidate}[behind]
    with ExitStack() as stack:
        content = manifest(arm.url, arm.url)
        up = stack.enter_context(CutoverUp(content, scratch=tmp_path, logs=logs))
        one = stack.enter_context(arm.channel())
        other = stack.enter_context(up.channel())
        for method in METHODS:
            if method == "record_visit":
                continue
            for case in load_cases(method)[:40]:
                answers = [ask(channel, case) for channel in (one, other)]
                for answer in answers:
                    for response in answer.responses:
                        if isinstance(response, pb.SearchPlacesResponse):
                            # Random by contract.
                            response.search_id = ""
                assert _bytes(answers[0]) == _bytes(answers[1]), case


def _bytes(answer: object) -> object:
    code, message, details, responses = (
        getattr(answer, field) for field in ("code", "message", "details", "responses")
    )
    encoded = [[part.SerializeToString() for part in parts] for parts in (details, responses)]
    return (code, message, encoded)


def test_a_generated_stub_works_as_ever(legacy: Arm, tmp_path: Path, logs: Path) -> None:
    content = manifest(legacy.url, legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        stub = GazetteerServiceStub(channel)
        found = stub.SearchPlaces(pb.SearchPlacesRequest(query="Zurich"), timeout=10)
        assert found.results[0].place.name == "Zürich"
        pages = list(stub.ListPlaces(pb.ListPlacesRequest(country_code="AD"), timeout=10))
        assert sum(len(page.places) for page in pages) >= 2
