from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazetteer_server.domain.geo import EARTH_RADIUS_M, Point
from gazetteer_server.domain.route import Route

_QUARTER_M = EARTH_RADIUS_M * pi / 2
_POINTS = st.builds(Point.from_degrees, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("degrees", "metres", "longest_m"),
    [
        ([], 0.0, 0.0),
        ([(10, 20)], 0.0, 0.0),
        ([(0, 0), (90, 0)], _QUARTER_M, _QUARTER_M),
        ([(90, 0), (-90, 120)], 2 * _QUARTER_M, 2 * _QUARTER_M),
        ([(0, 180), (0, -180)], 0.0, 0.0),
        ([(0, 0), (0, 90), (0, 135)], 1.5 * _QUARTER_M, _QUARTER_M),
    ],
)
def test_measures_a_route(
    degrees: list[tuple[float, float]], metres: float, longest_m: float
) -> None:
    route = Route()
    for latitude, longitude in degrees:
        route.extend(Point.from_degrees(latitude, longitude))
    assert route.point_count == len(degrees)
    assert route.distance_m == pytest.approx(metres, abs=1e-6)
    assert route.longest_leg_m == pytest.approx(longest_m, abs=1e-6)


@given(_POINTS, _POINTS)
def test_distance_is_symmetric_and_at_most_half_around(one: Point, other: Point) -> None:
    assert one.distance_m(other) == other.distance_m(one)
    assert 0 <= one.distance_m(other) <= pi * EARTH_RADIUS_M


@given(st.lists(_POINTS, max_size=30))
def test_the_sum_is_made_of_plain_additions_in_order(points: list[Point]) -> None:
    route, total = Route(), 0.0
    for index, point in enumerate(points):
        route.extend(point)
        if index:
            total = total + points[index - 1].distance_m(point)
    assert route.distance_m == total
