"""Python values into requests, for both clients. Checks nothing: the server does, for all."""

from __future__ import annotations

from typing import Final, TypeAlias

from cutover import Retry
from gazetteer.v1 import gazetteer_pb2 as pb

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


def _lat_lng(position: Position) -> pb.LatLng:
    if isinstance(position, pb.LatLng):
        return position
    latitude, longitude = position
    return pb.LatLng(latitude=latitude, longitude=longitude)
