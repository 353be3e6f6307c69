"""The Python clients against the real proxy: sync and aio, both packages."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cutover
import pytest
from cutover.v1 import operator_pb2
from foreign.backend import Backend, key_of
from foreign.service import ECHO, WAIT
from gazetteer import AsyncGazetteerClient, GazetteerClient
from gazetteer.exceptions import DeadlineExceeded, InvalidRequest, PlaceNotFound
from harness import CutoverUp, manifest, rule, start_candidate, start_legacy

ZURICH = 2657896
WEIGHTS = [0, 50, 100]


@pytest.fixture(params=WEIGHTS)
def up(
    request: pytest.FixtureRequest, own_database: Path, tmp_path: Path, logs: Path
) -> Iterator[CutoverUp]:
    """A proxy between both arms, at several weights."""
    with ExitStack() as stack:
        legacy = stack.enter_context(start_legacy(own_database, logs=logs))
        candidate = stack.enter_context(start_candidate(own_database, logs=logs))
        content = manifest(legacy.url, candidate.url, rules=[rule(weight=request.param)])
        yield stack.enter_context(CutoverUp(content, scratch=tmp_path, logs=logs))


def test_all_methods_through_the_proxy(up: CutoverUp) -> None:
    users = iter(range(10_000))
    with GazetteerClient.connect(up.address, sticky_key=lambda: f"user-{next(users)}") as client:
        for _ in range(20):
            assert client.get_place(ZURICH).place.name == "Zürich"
            assert client.search_places("Zurihc").results[0].place.id == ZURICH
            assert client.find_nearest((47.37, 8.55), limit=3).results[0].place.country_code == "CH"
            assert len(list(client.list_places(country_code="CH", page_size=7, limit=20))) == 20
            route = client.measure_route([(0, 0), (0, 90), (0, 180)])
            assert math.isclose(route.distance_m, math.pi * 6371008.8, rel_tol=1e-9)
            assert [len(answer.suggestions) > 0 for answer in client.suggest(["Z", "Zü"])] == [
                True,
                True,
            ]
        counts = [client.record_visit(ZURICH, "somebody").visit_count for _ in range(10)]
        assert counts == list(range(1, 11))
        with pytest.raises(PlaceNotFound):
            client.get_place(2**40)
        with pytest.raises(InvalidRequest) as caught:
            client.search_places("")
        assert [violation.field for violation in caught.value.violations] == ["query"]
        with pytest.raises(DeadlineExceeded):
            list(client.list_places(page_size=1, timeout=0.001))


async def test_all_methods_through_the_proxy_by_asyncio(up: CutoverUp) -> None:
    async with AsyncGazetteerClient.connect(up.address, sticky_key="somebody") as client:
        places = await asyncio.gather(*(client.get_place(ZURICH) for _ in range(50)))
        assert {answer.place.name for answer in places} == {"Zürich"}
        assert (await client.search_places("チューリッヒ")).results[0].place.id == ZURICH
        listed = [place async for place in client.list_places(country_code="AD")]
        assert {place.country_code for place in listed} == {"AD"}
        suggested = [answer async for answer in client.suggest(["Z", "Zü"])]
        assert [answer.sequence for answer in suggested] == [0, 1]
        assert (await client.measure_route([(0, 0)])).point_count == 1
        assert (await client.record_visit(ZURICH, "somebody")).visit_count == 1
        with pytest.raises(PlaceNotFound):
            await client.get_place(2**40)


@pytest.fixture
def foreign_up(foreign_legacy: Backend, tmp_path: Path, logs: Path) -> Iterator[CutoverUp]:
    """A proxy in front of the foreign service."""
    content = manifest(foreign_legacy.url, foreign_legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        yield up


def test_a_channel_sends_its_sticky_key_and_deadline(
    foreign_legacy: Backend, foreign_up: CutoverUp
) -> None:
    with cutover.channel(foreign_up.address, sticky_key="somebody", deadline=7) as channel:
        assert channel.unary_unary(ECHO)(b"x") == b"x"
    (entry,) = foreign_legacy.ledger(ECHO)
    assert key_of(entry) == "somebody"
    # gRPC rounds a deadline up on the wire.
    assert 5 < entry["timeout"] <= 7.1


def test_a_deadline_of_the_channel_ends_a_call(foreign_up: CutoverUp) -> None:
    with cutover.channel(foreign_up.address, deadline=0.3) as channel:
        call = channel.unary_unary(WAIT).future(b"")
        assert call.code().name == "DEADLINE_EXCEEDED"


async def test_an_operator_moves_weights_and_is_told_who_did(foreign_up: CutoverUp) -> None:
    with cutover.Operator(foreign_up.operator_address, who="tests") as operator:
        operator.set_weight(12.34, why="a reason")
        (override,) = operator.status().overrides
        assert (override.weight_bp, override.who, override.why) == (1234, "tests", "a reason")
        newest = operator.decisions()[0]
        assert (newest.action, newest.who, newest.why) == ("override", "tests", "a reason")
        with pytest.raises(ValueError, match="100"):
            operator.set_weight(101, why="too much")
    operator_of = cutover.aio.Operator(foreign_up.operator_address, who="tests")
    async with operator_of as operator:
        watching = operator.watch()
        assert isinstance(await anext(watching), operator_pb2.Status)
        await operator.reset_weight(why="over")
        assert not (await operator.status()).overrides
        await watching.aclose()
