"""Requests as the contract has them, parsed into what the gazetteer can work with.

Each parser checks every constraint in order of field number and refuses all that are broken at
once, so that a value that came out of here is a value that is right.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from gazetteer.v1 import gazetteer_pb2 as pb

from gazetteer_server.domain.errors import InvalidRequestError, Violation
from gazetteer_server.domain.geo import MAX_LATITUDE, MAX_LONGITUDE, Point
from gazetteer_server.domain.route import MAX_POINTS
from gazetteer_server.domain.suggest import MAX_SUGGESTIONS
from gazetteer_server.domain.text import normal_form

MAX_TEXT = 200
"""Code points in the normal form of a query or prefix."""

MAX_VISITOR = 128
"""Code points in the name of a visitor."""

MAX_RESULTS = 100
"""Results to one search by name or by position."""

MAX_PAGE = 1000
"""Places in one message of a stream of places."""

LEAST_SIMILARITY = 0.1
"""The smallest `min_similarity`; below, nearly every name is like every other."""

_DEFAULT_RESULTS = 10
_DEFAULT_SUGGESTIONS = 5
_DEFAULT_PAGE = 50
_DEFAULT_SIMILARITY = 0.3
_COUNTRY_CODE = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Search:
    """A search by name; `form` is a normal form, not empty; `country_code` may be empty."""

    form: str
    limit: int
    country_code: str
    min_similarity: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """A search by position; `max_distance_m` is infinite where there is no bound."""

    point: Point
    limit: int
    max_distance_m: float


@dataclass(frozen=True, slots=True)
class Listing:
    """A stream of places; `country_code` may be empty; `limit` is None where there is none."""

    country_code: str
    min_population: int
    page_size: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed: a normal form, which may be empty, and how many suggestions are wanted."""

    prefix: str
    limit: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit to record."""

    place_id: int
    visitor: str


def parse_get_place(request: pb.GetPlaceRequest) -> int:
    """Gives the id of the place that is asked for."""
    with _checks() as checks:
        checks.require(request.id > 0, "id", "must be positive")
    return request.id


def parse_search(request: pb.SearchPlacesRequest) -> Search:
    """Parses a search by name."""
    min_similarity = (
        request.min_similarity if request.HasField("min_similarity") else _DEFAULT_SIMILARITY
    )
    form = normal_form(request.query)
    with _checks() as checks:
        checks.require(form != "", "query", "must not be empty")
        checks.require_at_most(form, MAX_TEXT, "query")
        checks.require_between(request.limit, MAX_RESULTS, "limit")
        checks.require_country_code(request.country_code)
        checks.require(
            LEAST_SIMILARITY <= min_similarity <= 1,
            "min_similarity",
            "must be between 0.1 and 1",
        )
    return Search(form, request.limit or _DEFAULT_RESULTS, request.country_code, min_similarity)


def parse_nearest(request: pb.FindNearestRequest) -> Nearest:
    """Parses a search by position."""
    bounded = request.HasField("max_distance_m")
    with _checks() as checks:
        if request.HasField("location"):
            checks.require_position(request.location, "location")
        else:
            checks.require(False, "location", "must be set")
        checks.require_between(request.limit, MAX_RESULTS, "limit")
        checks.require(
            not bounded or 0 < request.max_distance_m < inf,
            "max_distance_m",
            "must be positive and finite",
        )
    return Nearest(
        _point(request.location),
        request.limit or _DEFAULT_RESULTS,
        request.max_distance_m if bounded else inf,
    )


def parse_listing(request: pb.ListPlacesRequest) -> Listing:
    """Parses the wish for a stream of places."""
    with _checks() as checks:
        checks.require_country_code(request.country_code)
        checks.require(request.min_population >= 0, "min_population", "must not be negative")
        checks.require_between(request.page_size, MAX_PAGE, "page_size")
        checks.require(request.limit >= 0, "limit", "must not be negative")
    return Listing(
        request.country_code,
        request.min_population,
        request.page_size or _DEFAULT_PAGE,
        request.limit or None,
    )


def parse_route_point(request: pb.MeasureRouteRequest, *, index: int) -> Point:
    """Parses the point of a route with an index from 0."""
    with _checks() as checks:
        if index >= MAX_POINTS:
            checks.require(False, "points", f"must have at most {MAX_POINTS} points")
        elif request.HasField("point"):
            checks.require_position(request.point, f"points[{index}]")
        else:
            checks.require(False, f"points[{index}]", "must be set")
    return _point(request.point)


def parse_typed(request: pb.SuggestRequest) -> Typed:
    """Parses one keystroke's worth of type-ahead."""
    prefix = normal_form(request.prefix)
    with _checks() as checks:
        checks.require_at_most(prefix, MAX_TEXT, "prefix")
        checks.require_between(request.limit, MAX_SUGGESTIONS, "limit")
    return Typed(prefix, request.limit or _DEFAULT_SUGGESTIONS)


def parse_visit(request: pb.RecordVisitRequest) -> Visit:
    """Parses a visit to record."""
    with _checks() as checks:
        checks.require(request.place_id > 0, "place_id", "must be positive")
        checks.require(request.visitor != "", "visitor", "must not be empty")
        checks.require_at_most(request.visitor, MAX_VISITOR, "visitor")
    return Visit(request.place_id, request.visitor)


class _Checks:
    """The constraints of one request, and which of them are broken."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def require(self, holds: bool, field: str, description: str) -> None:
        if not holds:
            self.violations.append(Violation(field, description))

    def require_between(self, value: int, high: int, field: str) -> None:
        self.require(0 <= value <= high, field, f"must be between 0 and {high}")

    def require_at_most(self, text: str, high: int, field: str) -> None:
        self.require(len(text) <= high, field, f"must have at most {high} characters")

    def require_country_code(self, code: str) -> None:
        holds = code == "" or _COUNTRY_CODE.fullmatch(code) is not None
        self.require(holds, "country_code", "must be two upper-case letters")

    def require_position(self, location: pb.LatLng, field: str) -> None:
        self._require_degrees(location.latitude, MAX_LATITUDE, f"{field}.latitude")
        self._require_degrees(location.longitude, MAX_LONGITUDE, f"{field}.longitude")

    def _require_degrees(self, value: float, most: float, field: str) -> None:
        holds = -most <= value <= most  # False for NaN.
        self.require(holds, field, f"must be between {-most:.0f} and {most:.0f}")


@contextmanager
def _checks() -> Iterator[_Checks]:
    checks = _Checks()
    yield checks
    if checks.violations:
        raise InvalidRequestError(checks.violations)


def _point(location: pb.LatLng) -> Point:
    return Point.from_degrees(location.latitude, location.longitude)
