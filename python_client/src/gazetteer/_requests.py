"""Python values into requests, for both clients. Checks nothing: the server does, for all."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

from cutover import Retry
from gazetteer.v1 import gazetteer_pb2 as pb

T = TypeVar("T")
Q = TypeVar("Q")

Position: TypeAlias = tuple[float, float] | pb.LatLng
"""Degrees north and degrees east, as a pair or as the message."""

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
"""Metadata of one call, in order."""

RETRY: Final = Retry(contracts=(pb,))
"""All methods but RecordVisit, on UNAVAILABLE, three attempts in all."""


def get_place(place_id: int) -> pb.GetPlaceRequest:
    return pb.GetPlaceRequest(id=place_id)


def search_places(
    query: str, limit: int, country_code: str, min_similarity: float | None
) -> pb.SearchPlacesRequest:
    return pb.SearchPlacesRequest(
        query=query, limit=limit, country_code=country_code, min_similarity=min_similarity
    )


def find_nearest(
    location: Position, limit: int, max_distance_m: float | None
) -> pb.FindNearestRequest:
    return pb.FindNearestRequest(
        location=_lat_lng(location), limit=limit, max_distance_m=max_distance_m
    )


def list_places(
    country_code: str, min_population: int, page_size: int, limit: int
) -> pb.ListPlacesRequest:
    return pb.ListPlacesRequest(
        country_code=country_code,
        min_population=min_population,
        page_size=page_size,
        limit=limit,
    )


def measure_route(point: Position) -> pb.MeasureRouteRequest:
    return pb.MeasureRouteRequest(point=_lat_lng(point))


def suggest(prefix: str, limit: int) -> pb.SuggestRequest:
    return pb.SuggestRequest(prefix=prefix, limit=limit)


def record_visit(place_id: int, visitor: str) -> pb.RecordVisitRequest:
    return pb.RecordVisitRequest(place_id=place_id, visitor=visitor)


class Outgoing(Generic[T, Q]):
    """The requests of a stream, made one by one from a caller's items.

    gRPC reads them elsewhere and would only say that it could not; `error` keeps what the caller's
    own iterator, or an item that is no request, really raised.
    """

    def __init__(self, make: Callable[[T], Q]) -> None:
        self._make = make
        self.error: Exception | None = None

    def each(self, items: Iterable[T]) -> Iterator[Q]:
        """Requests for threads."""
        try:
            for item in items:
                yield self._make(item)
        except Exception as error:
            self.error = error
            raise

    async def each_async(self, items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[Q]:
        """Requests for asyncio."""
        try:
            if isinstance(items, AsyncIterable):
                async for item in items:
                    yield self._make(item)
            else:
                for item in items:
                    yield self._make(item)
        except Exception as error:
            self.error = error
            raise


def _lat_lng(position: Position) -> pb.LatLng:
    if isinstance(position, pb.LatLng):
        return position
    latitude, longitude = position
    return pb.LatLng(latitude=latitude, longitude=longitude)
