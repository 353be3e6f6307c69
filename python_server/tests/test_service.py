"""What the corpus cannot hold: state, time, failures from inside, and lazy streams."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from conftest import Serve
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc
from grpc_status import rpc_status
from small import NOW_MS

from gazetteer_server.config import Config
from gazetteer_server.domain.gazetteer import build_gazetteer
from gazetteer_server.server import RunningServer
from gazetteer_server.service import GazetteerService
from gazetteer_server.store import Store

Connect = Callable[[RunningServer], grpc.Channel]
Stub = pb_grpc.GazetteerServiceStub


def _fails(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None, bool]:
    """Gives code, message and whether there are details."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert isinstance(raised.value, grpc.Call)
    rich = rpc_status.from_call(raised.value)
    return raised.value.code(), raised.value.details(), rich is not None


def test_a_visit_is_counted_and_has_the_time(stub: Stub, database: Path) -> None:
    recorded = stub.RecordVisit(pb.RecordVisitRequest(place_id=2, visitor="ada"))
    assert (recorded.visit_id, recorded.visit_count) == (1, 1)
    assert stub.GetPlace(pb.GetPlaceRequest(id=2)).visit_count == 1
    with closing(sqlite3.connect(database)) as connection:
        visits = connection.execute("SELECT visitor, recorded_at_ms FROM visits").fetchall()
    assert visits == [("ada", NOW_MS)]


def test_no_two_search_ids_are_the_same(stub: Stub) -> None:
    request = pb.SearchPlacesRequest(query="berlin")
    ids = {stub.SearchPlaces(request).search_id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(search_id) == 32 for search_id in ids)


def test_each_keystroke_is_answered_before_the_next_is_sent(stub: Stub) -> None:
    typed: SimpleQueue[pb.SuggestRequest | None] = SimpleQueue()
    requests: Iterator[pb.SuggestRequest] = iter(typed.get, None)
    responses = iter(stub.Suggest(requests))
    for sequence, prefix in enumerate(["b", "be", "ber"]):
        typed.put(pb.SuggestRequest(prefix=prefix))
        response = next(responses)
        assert response.sequence == sequence
        assert [s.name for s in response.suggestions] == ["Berlin", "Bergen"]
    typed.put(None)
    assert list(responses) == []


def test_a_cancelled_stream_frees_its_worker(serve: Serve, connect: Connect) -> None:
    running = serve()
    stub = Stub(connect(running))
    for _ in range(40):  # More streams than there are workers.
        typed: SimpleQueue[pb.SuggestRequest] = SimpleQueue()
        typed.put(pb.SuggestRequest(prefix="b"))
        call = stub.Suggest(iter(typed.get, None))
        assert next(iter(call)).sequence == 0
        call.cancel()
    assert stub.GetPlace(pb.GetPlaceRequest(id=2), timeout=30).place.name == "Berlin"


def test_a_call_that_ended_while_it_waited_writes_nothing(
    serve: Serve, connect: Connect, config: Config
) -> None:
    stub = Stub(connect(serve(changed=replace(config, workers=1))))
    typed: SimpleQueue[pb.SuggestRequest | None] = SimpleQueue()
    typed.put(pb.SuggestRequest(prefix="b"))
    holding = stub.Suggest(iter(typed.get, None))
    assert next(iter(holding)).sequence == 0
    visit = pb.RecordVisitRequest(place_id=2, visitor="ada")
    code, _, _ = _fails(lambda: stub.RecordVisit(visit, timeout=0.2))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    after = stub.GetPlace.future(pb.GetPlaceRequest(id=2), timeout=20)
    typed.put(None)
    assert after.result().visit_count == 0


def test_a_failing_database_is_told_as_unavailable(
    stub: Stub, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE visits")
    unavailable = (grpc.StatusCode.UNAVAILABLE, "database unavailable", False)
    assert _fails(lambda: stub.GetPlace(pb.GetPlaceRequest(id=2))) == unavailable
    visit = pb.RecordVisitRequest(place_id=2, visitor="ada")
    assert _fails(lambda: stub.RecordVisit(visit)) == unavailable
    assert "no such table: visits" in caplog.text
    # What needs no database goes on.
    assert stub.SearchPlaces(pb.SearchPlacesRequest(query="berlin")).results


class _Broken(GazetteerService):
    """A service with a mistake in each kind of method; its secret must not leave it."""

    def GetPlace(
        self, request: pb.GetPlaceRequest, context: grpc.ServicerContext
    ) -> pb.GetPlaceResponse:
        raise KeyError("the secret")

    def ListPlaces(
        self, request: pb.ListPlacesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListPlacesResponse]:
        yield pb.ListPlacesResponse(page=0)
        raise KeyError("the secret")


def test_an_unexpected_error_is_logged_and_told_as_internal(
    serve: Serve, connect: Connect, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(database)
    broken = _Broken(build_gazetteer(*store.read_all()), store, now_ms=lambda: NOW_MS)
    stub = Stub(connect(serve(service=broken)))
    internal = (grpc.StatusCode.INTERNAL, "internal error", False)
    assert _fails(lambda: stub.GetPlace(pb.GetPlaceRequest(id=2))) == internal

    received: list[pb.ListPlacesResponse] = []
    assert _fails(lambda: received.extend(stub.ListPlaces(pb.ListPlacesRequest()))) == internal
    assert len(received) <= 1
    logged = [r for r in caplog.records if r.message == "unexpected error"]
    assert [r.levelno for r in logged] == [logging.ERROR] * 2
    assert "the secret" in caplog.text


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_malformed_bytes_are_told_as_internal(serve: Serve, connect: Connect, kind: str) -> None:
    method = {
        "unary_unary": "GetPlace",
        "unary_stream": "ListPlaces",
        "stream_unary": "MeasureRoute",
        "stream_stream": "Suggest",
    }[kind]
    ask = getattr(connect(serve()), kind)(f"/gazetteer.v1.GazetteerService/{method}")
    request = iter([b"\xff"]) if kind.startswith("stream") else b"\xff"

    def call() -> object:
        answered = ask(request)
        return list(answered) if kind.endswith("stream") else answered

    assert _fails(call) == (grpc.StatusCode.INTERNAL, "malformed request", False)
