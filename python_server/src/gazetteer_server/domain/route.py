"""The measure of a route, given point by point."""

from dataclasses import dataclass

from gazetteer_server.domain.geo import Point

MAX_POINTS = 10_000
"""Points that a route may have."""


@dataclass(slots=True)
class Route:
    """A route as far as it is known.

    Attributes:
        distance_m: The sum of the legs, in metres, added in order with plain additions.
        point_count: Points so far.
        longest_leg_m: The longest leg in metres; 0 without a leg.
    """

    distance_m: float = 0.0
    point_count: int = 0
    longest_leg_m: float = 0.0
    _last: Point | None = None

    @property
    def is_full(self) -> bool:
        """Whether one more point would be one too many."""
        return self.point_count >= MAX_POINTS

    def extend(self, point: Point) -> None:
        """Adds a point; the caller has checked that there is room."""
        if self._last is not None:
            leg_m = self._last.distance_m(point)
            self.distance_m += leg_m
            self.longest_leg_m = max(self.longest_leg_m, leg_m)
        self.point_count += 1
        self._last = point
