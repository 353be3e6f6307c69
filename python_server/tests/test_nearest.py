from math import inf

from hypothesis import example, given
from hypothesis import strategies as st

from gazetteer_server.domain.geo import Point
from gazetteer_server.domain.nearest import NearestIndex, Neighbour
from gazetteer_server.domain.place import Place

# Few different degrees, so that ties, poles and the antimeridian come up.
_LATITUDES = st.one_of(st.sampled_from([-90.0, 0.0, 90.0]), st.floats(-90, 90))
_LONGITUDES = st.one_of(st.sampled_from([-180.0, 0.0, 180.0]), st.floats(-180, 180))
_POSITIONS = st.tuples(_LATITUDES, _LONGITUDES)


def _places(positions: list[tuple[float, float]]) -> list[Place]:
    return [
        Place(number, "", "XX", "Etc/UTC", latitude, longitude, 0)
        for number, (latitude, longitude) in enumerate(positions, start=1)
    ]


def _scan(places: list[Place], point: Point, limit: int, max_m: float) -> list[Neighbour]:
    distances = [
        (point.distance_m(Point.from_degrees(place.latitude, place.longitude)), place.id, place)
        for place in places
    ]
    return [Neighbour(place, metres) for metres, _, place in sorted(distances) if metres <= max_m][
        :limit
    ]


@given(
    st.lists(_POSITIONS, max_size=60),
    _POSITIONS,
    st.integers(1, 20),
    st.one_of(st.just(inf), st.floats(1, 3e7)),
)
@example([(0.0, 180.0)] * 20, (0.0, -180.0), 5, inf)
@example([(90.0, -77.0), (90.0, 5.0)] * 8, (90.0, 123.0), 3, inf)
def test_finds_what_a_full_scan_finds(
    positions: list[tuple[float, float]], at: tuple[float, float], limit: int, max_m: float
) -> None:
    places = _places(positions)
    point = Point.from_degrees(*at)
    found = NearestIndex(places).nearest(point, limit=limit, max_distance_m=max_m)
    assert found == _scan(places, point, limit, max_m)


def test_a_tie_goes_by_id() -> None:
    places = _places([(10.0, 20.0)] * 30)
    found = NearestIndex(places).nearest(Point.from_degrees(0, 0), limit=3)
    assert [neighbour.place.id for neighbour in found] == [1, 2, 3]


def test_a_bound_includes_its_own_distance() -> None:
    index = NearestIndex(_places([(0.0, 1.0)]))
    point = Point.from_degrees(0, 0)
    metres = point.distance_m(Point.from_degrees(0, 1))
    assert len(index.nearest(point, limit=1, max_distance_m=metres)) == 1
    assert index.nearest(point, limit=1, max_distance_m=metres * (1 - 1e-12)) == []
