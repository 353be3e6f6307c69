"""Cases of MeasureRoute: sums in order, seams of the sphere, and errors before the end."""

from math import pi

from cases.case import MALFORMED, Case, Json, Rule, invalid

_RADIUS_M = 6371008.8
_QUARTER_M = _RADIUS_M * pi / 2

Degrees = float | str


def _points(*points: tuple[Degrees, Degrees]) -> list[Json]:
    return [{"point": {"latitude": lat, "longitude": lng}} for lat, lng in points]


def _measures(metres: float, points: int, longest: float) -> Rule:
    def holds(responses: list[Json]) -> bool:
        response = responses[0]
        return bool(
            abs(response.get("distance_m", 0.0) - metres) <= 1e-6
            and response.get("point_count", 0) == points
            and abs(response.get("longest_leg_m", 0.0) - longest) <= 1e-6
        )

    return holds


def _latitude(index: int) -> tuple[str, str]:
    return f"points[{index}].latitude", "must be between -90 and 90"


def _longitude(index: int) -> tuple[str, str]:
    return f"points[{index}].longitude", "must be between -180 and 180"


def _unset(index: int) -> tuple[str, str]:
    return f"points[{index}]", "must be set"


_TOO_MANY = invalid(("points", "must have at most 10000 points"))

_BERLIN, _PARIS = (52.52437, 13.41053), (48.85341, 2.3488)
_SUVA, _APIA = (-18.13683, 178.42531), (-13.83333, -171.76666)

_ROUTES = [
    Case("no point", [], rule=_measures(0, 0, 0)),
    Case("one point", _points(_BERLIN), rule=_measures(0, 1, 0)),
    Case("the same point twice", _points(_BERLIN, _BERLIN), rule=_measures(0, 2, 0)),
    Case("Berlin to Paris", _points(_BERLIN, _PARIS)),
    Case("Berlin to Paris and back", _points(_BERLIN, _PARIS, _BERLIN)),
    Case("an empty point is the origin", [{"point": {}}, {"point": {}}], rule=_measures(0, 2, 0)),
    Case(
        "equator to pole",
        _points((0, 0), (90, 0)),
        rule=_measures(_QUARTER_M, 2, _QUARTER_M),
    ),
    Case(
        "pole to pole",
        _points((90, 0), (-90, 0)),
        rule=_measures(2 * _QUARTER_M, 2, 2 * _QUARTER_M),
    ),
    Case(
        "pole to pole by other longitudes",
        _points((90, 77), (-90, -120)),
        rule=_measures(2 * _QUARTER_M, 2, 2 * _QUARTER_M),
    ),
    Case(
        "around the equator in quarters",
        _points((0, 0), (0, 90), (0, 180), (0, -90), (0, 0)),
        rule=_measures(4 * _QUARTER_M, 5, _QUARTER_M),
    ),
    Case(
        "half around the equator",
        _points((0, -90), (0, 90)),
        rule=_measures(2 * _QUARTER_M, 2, 2 * _QUARTER_M),
    ),
    Case("around a pole", _points((89, 0), (89, 90), (89, 180), (89, -90), (89, 0))),
    Case("turning on a pole", _points((90, 0), (90, 90), (90, -180)), rule=_measures(0, 3, 0)),
    Case("over the antimeridian", _points(_SUVA, _APIA)),
    Case(
        "both names of the antimeridian are one place",
        _points((10, 180), (10, -180)),
        rule=_measures(0, 2, 0),
    ),
    Case("antipodes", _points(_BERLIN, (-52.52437, -166.58947))),
    Case("almost antipodes", _points((0, 0), (1e-9, 179.999999999))),
    Case("negative zeros", _points((-0.0, -0.0), (0.0, 0.0)), rule=_measures(0, 2, 0)),
    Case("a hundred-thousandth of a degree", _points((52.5, 13.4), (52.50001, 13.40001))),
    Case("the extreme corners", _points((90, 180), (-90, -180), (90, -180), (-90, 180))),
    Case("the longest leg comes first", _points((0, 0), (0, 50), (0, 51), (0, 53))),
    Case("the longest leg comes last", _points((0, 0), (0, 1), (0, 3), (0, 60))),
    Case("two longest legs", _points((0, 0), (0, 10), (0, 11), (0, 1))),
    Case("a long leg and many short ones", _points((0, -90), *((i / 1000, 90) for i in range(60)))),
    Case(
        "a zigzag of a hundred points",
        _points(*((((i * 37) % 181) - 90, ((i * 101) % 361) - 180) for i in range(100))),
    ),
    Case(
        "thirds that no sum holds exactly",
        _points(*((i / 3, -i / 7) for i in range(120))),
    ),
]

_BAD: list[tuple[str, list[Json], Json]] = [
    ("latitude above 90", _points((90.5, 0)), invalid(_latitude(0))),
    ("latitude just above 90", _points((90.00000000000001, 0)), invalid(_latitude(0))),
    ("longitude below -180", _points((0, -180.5)), invalid(_longitude(0))),
    ("both out of range", _points((-91, 181)), invalid(_latitude(0), _longitude(0))),
    ("NaN latitude", _points(("NaN", 0)), invalid(_latitude(0))),
    ("NaN longitude", _points((0, "NaN")), invalid(_longitude(0))),
    ("both NaN", _points(("NaN", "NaN")), invalid(_latitude(0), _longitude(0))),
    ("infinite latitude", _points(("Infinity", 0)), invalid(_latitude(0))),
    ("infinite longitude", _points((0, "-Infinity")), invalid(_longitude(0))),
    ("first point unset", [{}], invalid(_unset(0))),
    ("second point unset", [*_points((0, 0)), {}], invalid(_unset(1))),
    ("second point bad", _points((0, 0), (91, 0)), invalid(_latitude(1))),
    ("third point bad", _points((0, 0), (1, 1), (0, 200)), invalid(_longitude(2))),
    ("twelfth point bad", _points(*[(1, 1)] * 11, (0, 200)), invalid(_longitude(11))),
    ("only the first bad point counts", _points((0, 0), (91, 0), (0, 181)), invalid(_latitude(1))),
    ("good points after a bad one", _points((95, 0), (1, 1), (2, 2)), invalid(_latitude(0))),
]

_EARLY = [
    Case(
        "a bad point ends an open stream",
        _points((0, 0), (0, "NaN")),
        invalid(_longitude(1)),
        half_close=False,
    ),
    Case("an unset point ends an open stream", [{}], invalid(_unset(0)), half_close=False),
    Case("bytes that are no point end an open stream", [b"\x0a"], MALFORMED, half_close=False),
]

_ORIGIN = b"\x0a\x00"

_RAW = [
    Case("10,000 points", [_ORIGIN] * 10_000, rule=_measures(0, 10_000, 0)),
    Case("point 10,000 is unset too", [_ORIGIN] * 10_000 + [b""], _TOO_MANY),
    Case("10,001 points in an open stream", [_ORIGIN] * 10_001, _TOO_MANY, half_close=False),
    Case("an unknown field beside the point", [_ORIGIN + b"\x78\x01"], rule=_measures(0, 1, 0)),
    Case("malformed first point", [b"\xff"], MALFORMED),
    Case("malformed third point", [_ORIGIN, _ORIGIN, b"\x0a\x05\x09"], MALFORMED),
    Case("bad point before a malformed one", [b"", b"\xff"], invalid(_unset(0))),
    Case("malformed point before a bad one", [b"\xff", b""], MALFORMED),
]

CASES: list[Case] = [
    *_ROUTES,
    *(Case(name, requests, expect) for name, requests, expect in _BAD),
    *_EARLY,
    *_RAW,
]
