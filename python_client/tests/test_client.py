"""The gazetteer's clients: requests, answers, streams, errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from fakes import WAIT_S, ZURICH, FakeGazetteer
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo

import gazetteer as gz
from gazetteer import AsyncGazetteerClient, GazetteerClient, Violation
from gazetteer.v1 import gazetteer_pb2 as pb

BAD_REQUEST = BadRequest(
    field_violations=[
        BadRequest.FieldViolation(field="query", description="must not be empty"),
        BadRequest.FieldViolation(field="limit", description="must be between 0 and 100"),
    ]
)
VIOLATIONS = (
    Violation("query", "must not be empty"),
    Violation("limit", "must be between 0 and 100"),
)
NO_PLACE = ResourceInfo(
    resource_type="gazetteer.v1.Place", resource_name="5", description="no place has this id"
)


@pytest.fixture
def client(target: str) -> Iterator[GazetteerClient]:
    with GazetteerClient.connect(target) as client:
        yield client


@pytest.fixture
async def async_client(target: str) -> AsyncIterator[AsyncGazetteerClient]:
    async with AsyncGazetteerClient.connect(target) as client:
        yield client


def test_puts_every_option_into_the_request(
    gazetteer: FakeGazetteer, client: GazetteerClient
) -> None:
    client.get_place(5)
    client.search_places("zurich", limit=3, country_code="CH", min_similarity=0.5)
    client.find_nearest((47.0, 8.0), limit=2, max_distance_m=500.0)
    list(client.list_places(country_code="CH", min_population=9, page_size=2, limit=2))
    client.record_visit(5, "ada")
    _has_requests(gazetteer)


async def test_puts_every_option_into_the_request_aio(
    gazetteer: FakeGazetteer, async_client: AsyncGazetteerClient
) -> None:
    client = async_client
    await client.get_place(5)
    await client.search_places("zurich", limit=3, country_code="CH", min_similarity=0.5)
    await client.find_nearest((47.0, 8.0), limit=2, max_distance_m=500.0)
    options = {"min_population": 9, "page_size": 2, "limit": 2}
    assert [place async for place in client.list_places(country_code="CH", **options)]  # type: ignore[arg-type]
    await client.record_visit(5, "ada")
    _has_requests(gazetteer)


def test_leaves_options_unset_unasked(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    client.search_places("zurich")
    client.find_nearest(pb.LatLng(latitude=47.0))
    search, nearest = (seen.request for seen in gazetteer.seen)
    assert search == pb.SearchPlacesRequest(query="zurich")
    assert nearest == pb.FindNearestRequest(location=pb.LatLng(latitude=47.0))


def test_flattens_pages(client: GazetteerClient) -> None:
    assert list(client.list_places(limit=6)) == [ZURICH] * 6


def test_measures_points_of_any_iterable(client: GazetteerClient) -> None:
    points: list[gz.Position] = [(1.0, 0.0), pb.LatLng(latitude=2.5)]
    answer = client.measure_route(iter(points))
    assert (answer.point_count, answer.distance_m) == (2, 3.5)


async def test_measures_points_of_any_async_iterable(async_client: AsyncGazetteerClient) -> None:
    async def points() -> AsyncIterator[tuple[float, float]]:
        yield (1.0, 0.0)
        yield (2.5, 0.0)

    answer = await async_client.measure_route(points())
    assert (answer.point_count, answer.distance_m) == (2, 3.5)


def test_suggests_while_prefixes_still_come(client: GazetteerClient) -> None:
    answered = threading.Event()

    def typing() -> Iterator[str]:
        yield "z"
        assert answered.wait(WAIT_S)
        yield "zu"

    answers = client.suggest(typing())
    assert next(answers).suggestions[0].name == "z"
    answered.set()
    assert [(a.sequence, a.suggestions[0].name) for a in answers] == [(1, "zu")]


def test_closing_a_stream_ends_the_call(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    places = client.list_places()
    assert next(places) == ZURICH
    places.close()
    assert gazetteer.ended.get(timeout=WAIT_S) == "ListPlaces"


async def test_closing_a_stream_ends_the_call_aio(
    gazetteer: FakeGazetteer, async_client: AsyncGazetteerClient
) -> None:
    places = async_client.list_places()
    assert await anext(places) == ZURICH
    await places.aclose()
    assert gazetteer.ended.get(timeout=WAIT_S) == "ListPlaces"


def test_decodes_violations(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    _fail(gazetteer, grpc.StatusCode.INVALID_ARGUMENT, "query: must not be empty", BAD_REQUEST)
    with pytest.raises(gz.InvalidRequest, match="query: must not be empty") as failure:
        client.search_places("", limit=-1)
    assert failure.value.violations == VIOLATIONS
    assert failure.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(failure.value.__cause__, grpc.RpcError)


async def test_decodes_violations_aio(
    gazetteer: FakeGazetteer, async_client: AsyncGazetteerClient
) -> None:
    _fail(gazetteer, grpc.StatusCode.INVALID_ARGUMENT, "query: must not be empty", BAD_REQUEST)
    with pytest.raises(gz.InvalidRequest) as failure:
        await async_client.search_places("", limit=-1)
    assert failure.value.violations == VIOLATIONS


def test_says_which_place_was_not_found(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    gazetteer.fail("GetPlace", grpc.StatusCode.NOT_FOUND, "place 5 not found", (NO_PLACE,))
    with pytest.raises(gz.PlaceNotFound, match="place 5 not found") as failure:
        client.get_place(5)
    assert failure.value.place_id == 5


def test_an_error_without_details_stands(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    gazetteer.fail("GetPlace", grpc.StatusCode.INVALID_ARGUMENT, "made up")
    with pytest.raises(gz.InvalidRequest, match="INVALID_ARGUMENT: made up") as failure:
        client.get_place(5)
    assert failure.value.violations == ()


def test_details_that_cannot_be_decoded_count_as_absent() -> None:
    class Broken(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.NOT_FOUND

        def details(self) -> str:
            return "made up"

        def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:  # type: ignore[override]
            return (("grpc-status-details-bin", b"\xff"),)

    error = gz.exceptions.from_rpc_error(Broken())
    assert isinstance(error, gz.PlaceNotFound)
    assert error.place_id is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, gz.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, gz.DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, gz.Overloaded),
        (grpc.StatusCode.CANCELLED, gz.Cancelled),
        (grpc.StatusCode.INTERNAL, gz.GazetteerError),
    ],
)
def test_each_status_has_its_exception(
    gazetteer: FakeGazetteer,
    client: GazetteerClient,
    code: grpc.StatusCode,
    kind: type[gz.GazetteerError],
) -> None:
    gazetteer.fail("RecordVisit", code)
    with pytest.raises(gz.GazetteerError) as failure:
        client.record_visit(5, "ada")
    assert type(failure.value) is kind
    assert (failure.value.code, failure.value.message) == (code, "made up")


def test_a_stream_raises_its_error_too(gazetteer: FakeGazetteer, client: GazetteerClient) -> None:
    gazetteer.fail("Suggest", grpc.StatusCode.INVALID_ARGUMENT, "made up", (BAD_REQUEST,))
    with pytest.raises(gz.InvalidRequest) as failure:
        list(client.suggest(["z"]))
    assert failure.value.violations == VIOLATIONS


def test_raises_what_the_points_raised(client: GazetteerClient) -> None:
    with pytest.raises(ZeroDivisionError):
        client.measure_route((1 / n, 0.0) for n in (2, 1, 0))
    with pytest.raises(ZeroDivisionError):
        list(client.suggest(str(1 / n) for n in (2, 1, 0)))


async def test_raises_what_the_points_raised_aio(async_client: AsyncGazetteerClient) -> None:
    with pytest.raises(ZeroDivisionError):
        await async_client.measure_route((1 / n, 0.0) for n in (2, 1, 0))
    with pytest.raises(ZeroDivisionError):
        _ = [answer async for answer in async_client.suggest(str(1 / n) for n in (2, 1, 0))]


async def test_cancelling_a_task_ends_its_call(
    gazetteer: FakeGazetteer, async_client: AsyncGazetteerClient
) -> None:
    gazetteer.hanging.add("MeasureRoute")
    task = asyncio.create_task(async_client.measure_route([(1.0, 0.0)]))
    await asyncio.to_thread(gazetteer.arrived.get, timeout=WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gazetteer.ended.get(timeout=WAIT_S) == "MeasureRoute"


def _fail(fake: FakeGazetteer, code: grpc.StatusCode, message: str, detail: Message) -> None:
    fake.fail("SearchPlaces", code, message, (detail,))


def _has_requests(fake: FakeGazetteer) -> None:
    assert [seen.request for seen in fake.seen] == [
        pb.GetPlaceRequest(id=5),
        pb.SearchPlacesRequest(query="zurich", limit=3, country_code="CH", min_similarity=0.5),
        pb.FindNearestRequest(
            location=pb.LatLng(latitude=47.0, longitude=8.0), limit=2, max_distance_m=500.0
        ),
        pb.ListPlacesRequest(country_code="CH", min_population=9, page_size=2, limit=2),
        pb.RecordVisitRequest(place_id=5, visitor="ada"),
    ]
