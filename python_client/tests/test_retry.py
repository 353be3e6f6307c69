"""Retries: reads on UNAVAILABLE, never a write."""

from __future__ import annotations

import json

import grpc
import pytest
from fakes import FakeGazetteer, serve
from kinds import AIO, KINDS, SYNC

import cutover
from cutover import Retry
from cutover.v1 import operator_pb2
from gazetteer import AsyncGazetteerClient, GazetteerClient, PlaceNotFound, Unavailable
from gazetteer.v1 import gazetteer_pb2
from gazetteer.v1.gazetteer_pb2_grpc import GazetteerServiceStub

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
READS = sorted(SYNC.keys() - {"RecordVisit"})


@pytest.mark.parametrize("method", READS)
def test_repeats_a_read(method: str, gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail(method, UNAVAILABLE, times=2)
    with GazetteerClient.connect(target) as client:
        assert SYNC[method](client)
    assert gazetteer.attempts() == {method: 3}


@pytest.mark.parametrize("method", KINDS)
async def test_repeats_a_read_aio(method: str, gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail(method, UNAVAILABLE, times=2)
    async with AsyncGazetteerClient.connect(target) as client:
        assert await AIO[method](client)
    assert gazetteer.attempts() == {method: 3}


def test_never_repeats_a_write(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("RecordVisit", UNAVAILABLE)
    with GazetteerClient.connect(target) as client, pytest.raises(Unavailable):
        client.record_visit(1, "ada")
    assert gazetteer.attempts() == {"RecordVisit": 1}


async def test_never_repeats_a_write_aio(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("RecordVisit", UNAVAILABLE)
    async with AsyncGazetteerClient.connect(target) as client:
        with pytest.raises(Unavailable):
            await client.record_visit(1, "ada")
    assert gazetteer.attempts() == {"RecordVisit": 1}


def test_gives_up_after_three_attempts(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("SearchPlaces", UNAVAILABLE, times=9)
    with GazetteerClient.connect(target) as client, pytest.raises(Unavailable):
        client.search_places("zurich")
    assert gazetteer.attempts() == {"SearchPlaces": 3}


def test_repeats_nothing_but_unavailable(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("GetPlace", grpc.StatusCode.NOT_FOUND)
    with GazetteerClient.connect(target) as client, pytest.raises(PlaceNotFound):
        client.get_place(1)
    assert gazetteer.attempts() == {"GetPlace": 1}


def test_stops_repeating_when_most_calls_fail(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("SearchPlaces", UNAVAILABLE, times=100)
    with GazetteerClient.connect(target) as client:
        for _ in range(5):
            with pytest.raises(Unavailable):
                client.search_places("zurich")
        before = gazetteer.attempts()["SearchPlaces"]
        with pytest.raises(Unavailable):
            client.search_places("zurich")
    assert gazetteer.attempts()["SearchPlaces"] == before + 1


def test_repeats_nothing_without_a_policy(gazetteer: FakeGazetteer, target: str) -> None:
    gazetteer.fail("SearchPlaces", UNAVAILABLE)
    with cutover.channel(target) as channel, pytest.raises(grpc.RpcError):
        GazetteerServiceStub(channel).SearchPlaces(gazetteer_pb2.SearchPlacesRequest())
    assert gazetteer.attempts() == {"SearchPlaces": 1}


def test_a_call_to_nobody_fails_as_unavailable() -> None:
    with serve() as target:
        pass
    with GazetteerClient.connect(target) as client, pytest.raises(Unavailable):
        client.get_place(1)


def test_the_policy_names_the_methods_without_side_effects() -> None:
    config = json.loads(Retry(contracts=(gazetteer_pb2, operator_pb2)).service_config())
    (entry,) = config["methodConfig"]
    names = {f"{name['service']}/{name['method']}" for name in entry["name"]}
    assert {f"gazetteer.v1.GazetteerService/{method}" for method in READS} < names
    assert "gazetteer.v1.GazetteerService/RecordVisit" not in names
    assert "cutover.v1.OperatorService/GetStatus" in names
    assert "cutover.v1.OperatorService/SetWeight" not in names
    assert "cutover.v1.OperatorService/MoveRamp" not in names


def test_without_contracts_the_policy_is_for_no_method() -> None:
    assert json.loads(Retry(contracts=()).service_config())["methodConfig"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 1},
        {"max_attempts": 6},
        {"initial_backoff": 0.0},
        {"max_backoff": float("inf")},
        {"throttle_tokens": 0},
        {"throttle_ratio": 0.0},
    ],
)
def test_refuses_a_policy_out_of_range(arguments: dict[str, float]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        Retry(contracts=(), **arguments)  # type: ignore[arg-type]
