"""The nearest places, by a k-d tree over points on the unit sphere.

In three dimensions poles and antimeridian are like any other place. The tree only prunes; what
is near is decided by the haversine distance itself, so the answer equals that of a full scan.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, pi, sin

from gazetteer_server.domain.geo import EARTH_RADIUS_M, Point
from gazetteer_server.domain.place import Place

_LEAF_SIZE = 8
"""Places in a leaf at most."""

_SLACK = 1e-12
"""Added to each bound on the haversine a: far above its rounding, far below a metre."""

_Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One place found by position, with its distance in metres."""

    place: Place
    distance_m: float


@dataclass(frozen=True, slots=True)
class _Box:
    """Points between two corners: either two smaller boxes, or places."""

    low: _Vector
    high: _Vector
    halves: tuple["_Box", "_Box"] | None
    places: tuple[tuple[Point, Place], ...]

    def least_haversine(self, vector: _Vector) -> float:
        """Gives a lower bound on a = (chord / 2)² from a position to any place inside."""
        squares = 0.0
        for low, value, high in zip(self.low, vector, self.high, strict=True):
            if value < low:
                squares += (low - value) * (low - value)
            elif value > high:
                squares += (value - high) * (value - high)
        return squares / 4


class NearestIndex:
    """All places by position."""

    def __init__(self, places: Sequence[Place]) -> None:
        located = [(Point.from_degrees(p.latitude, p.longitude), p) for p in places]
        entries = [(point.unit_vector(), (point, place)) for point, place in located]
        self._root = _build(entries) if entries else None

    def nearest(self, point: Point, *, limit: int, max_distance_m: float = inf) -> list[Neighbour]:
        """Finds the places nearest to a position.

        Args:
            point: The position.
            limit: How many at most, at least 1.
            max_distance_m: Only places at most so many metres away.

        Returns:
            The places by distance (rising), id (rising).
        """
        if self._root is None:
            return []
        vector = point.unit_vector()
        found: list[tuple[float, int, Place]] = []
        bound = _haversine_bound(max_distance_m)
        ahead = [(self._root.least_haversine(vector), self._root)]
        while ahead:
            least, box = ahead.pop()
            if least > bound:
                continue
            if box.halves is not None:
                ahead.extend(
                    sorted(
                        ((half.least_haversine(vector), half) for half in box.halves),
                        key=lambda entry: -entry[0],
                    )
                )
                continue
            for place_point, place in box.places:
                distance_m = point.distance_m(place_point)
                if distance_m <= max_distance_m:
                    insort(found, (distance_m, place.id, place))
            del found[limit:]
            if len(found) == limit:
                bound = min(bound, _haversine_bound(found[-1][0]))
        return [Neighbour(place, distance_m) for distance_m, _, place in found]


def _haversine_bound(distance_m: float) -> float:
    half_angle = min(distance_m / (2 * EARTH_RADIUS_M), pi / 2)
    return sin(half_angle) * sin(half_angle) + _SLACK


def _build(entries: list[tuple[_Vector, tuple[Point, Place]]]) -> _Box:
    xs, ys, zs = zip(*(vector for vector, _ in entries), strict=True)
    low, high = (min(xs), min(ys), min(zs)), (max(xs), max(ys), max(zs))
    if len(entries) <= _LEAF_SIZE:
        return _Box(low, high, None, tuple(located for _, located in entries))
    axis = max(range(3), key=lambda i: high[i] - low[i])
    entries.sort(key=lambda entry: entry[0][axis])
    middle = len(entries) // 2
    return _Box(low, high, (_build(entries[:middle]), _build(entries[middle:])), ())
