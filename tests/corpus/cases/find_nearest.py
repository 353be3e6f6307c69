"""Cases of FindNearest: all around the sphere, its seams and poles, and every constraint."""

import struct

from cases.case import MALFORMED, Case, Json, Rule, first_name, invalid, result_count

_LATITUDE = ("location.latitude", "must be between -90 and 90")
_LONGITUDE = ("location.longitude", "must be between -180 and 180")
_UNSET = ("location", "must be set")
_LIMIT = ("limit", "must be between 0 and 100")
_DISTANCE = ("max_distance_m", "must be positive and finite")

Degrees = float | str


def _at(latitude: Degrees, longitude: Degrees, limit: int = 2, **more: object) -> list[Json]:
    location = {"latitude": latitude, "longitude": longitude}
    return [{"location": location, "limit": limit, **more}]


def _same_distance(responses: list[Json]) -> bool:
    one, other = responses[0]["results"][:2]
    rising = int(one["place"]["id"]) < int(other["place"]["id"])
    return rising and one.get("distance_m") == other.get("distance_m")


def _first_within(metres: float) -> Rule:
    return lambda responses: responses[0]["results"][0].get("distance_m", 0.0) <= metres


_AROUND: list[tuple[str, Degrees, Degrees, str | None]] = [
    ("Berlin", 52.52437, 13.41053, "Berlin"),
    ("Sydney", -33.86785, 151.20732, "Sydney"),
    ("the origin", 0, 0, None),
    ("the origin in negative zeros", -0.0, -0.0, None),
    ("the North Pole", 90, 0, "Longyearbyen"),
    ("the North Pole by another longitude", 90, 135, "Longyearbyen"),
    ("the South Pole", -90, 0, "Ushuaia"),
    ("the South Pole by another longitude", -90, -180, "Ushuaia"),
    ("almost the North Pole", 89.99999, -170.5, "Longyearbyen"),
    ("the antimeridian from the east", -16.5, 180, "Labasa"),
    ("the antimeridian from the west", -16.5, -180, "Labasa"),
    ("just west of the antimeridian", -16.5, 179.99999, "Labasa"),
    ("just east of the antimeridian", -16.5, -179.99999, "Labasa"),
    ("the antimeridian at the equator", 0, 180, None),
    ("the antimeridian in the far north", 71, -180, None),
    ("the middle of the Pacific", -48.8767, -123.3933, None),
    ("the antipode of Berlin", -52.52437, -166.58947, None),
    ("the smallest positive degrees", 5e-324, 5e-324, None),
    ("the largest latitude below a pole", 89.99999999999999, 0, "Longyearbyen"),
]

_REFUSED: list[tuple[str, Degrees, Degrees, list[tuple[str, str]]]] = [
    ("latitude just above 90", 90.00000000000001, 0, [_LATITUDE]),
    ("latitude just below -90", -90.00000000000001, 0, [_LATITUDE]),
    ("longitude just above 180", 0, 180.00000000000003, [_LONGITUDE]),
    ("longitude just below -180", 0, -180.00000000000003, [_LONGITUDE]),
    ("longitude 360", 0, 360, [_LONGITUDE]),
    ("NaN latitude", "NaN", 0, [_LATITUDE]),
    ("NaN longitude", 0, "NaN", [_LONGITUDE]),
    ("infinite latitude", "Infinity", 0, [_LATITUDE]),
    ("infinite longitude", 0, "Infinity", [_LONGITUDE]),
    ("negative infinite latitude", "-Infinity", 0, [_LATITUDE]),
    ("negative infinite longitude", 0, "-Infinity", [_LONGITUDE]),
    ("both NaN", "NaN", "NaN", [_LATITUDE, _LONGITUDE]),
    ("both swapped and out of range", 151.2, -233.8, [_LATITUDE, _LONGITUDE]),
    (
        "the largest doubles",
        1.7976931348623157e308,
        -1.7976931348623157e308,
        [_LATITUDE, _LONGITUDE],
    ),
]

_DISTANCES = [
    Case("only what is near", _at(42.5, 1.5, 100, max_distance_m=20000)),
    Case("nothing so near", _at(0, -140, max_distance_m=1000), rule=result_count(0)),
    Case("the smallest positive distance", _at(0, 0, max_distance_m=5e-324), rule=result_count(0)),
    Case(
        "the smallest positive distance at a place",
        _at(52.52437, 13.41053, max_distance_m=5e-324),
        rule=result_count(1),
    ),
    Case("the largest finite distance", _at(0, 0, 1, max_distance_m=1.7976931348623157e308)),
    Case("half around the Earth", _at(0, 0, 1, max_distance_m=20015114.5)),
    Case("a bound as an exact distance", _at(0, 0, 1, max_distance_m=20015114.352186374)),
    *(
        Case(f"max_distance_m {value!r}", _at(0, 0, max_distance_m=value), invalid(_DISTANCE))
        for value in [0, -0.0, -1, "NaN", "Infinity", "-Infinity"]
    ),
]

_LIMITS = [
    Case("limit 0 means 10", _at(35.68, 139.76, 0), rule=result_count(10)),
    Case("no limit means 10", [{"location": {"latitude": 48.85}}], rule=result_count(10)),
    Case("limit 1", _at(51.5, -0.12, 1), rule=result_count(1)),
    Case("limit 100", _at(90, 0, 100), rule=result_count(100)),
    Case("limit 101", _at(0, 0, 101), invalid(_LIMIT)),
    Case("limit -1", _at(0, 0, -1), invalid(_LIMIT)),
    Case("limit of the smallest int32", _at(0, 0, -(2**31)), invalid(_LIMIT)),
    Case("limit of the largest int32", _at(0, 0, 2**31 - 1), invalid(_LIMIT)),
]

_TIES = [
    Case("a tie goes by id", _at(20.41431, 72.83236), rule=_same_distance),
    Case("a tie far away goes by id", _at(20, 72, 10, max_distance_m=200000)),
    Case("a tie is cut at the limit", _at(35.73333, 140.83333, 1), rule=_first_within(0)),
    Case("a tie in Moscow", _at(55.71667, 37.41667), rule=_same_distance),
]

_SEVERAL = [
    Case("no field set", [{}], invalid(_UNSET)),
    Case("only a limit", [{"limit": 5}], invalid(_UNSET)),
    Case("an empty location is the origin", [{"location": {}, "limit": 1}], rule=result_count(1)),
    Case(
        "unset, too many, too far",
        [{"limit": 101, "max_distance_m": -1}],
        invalid(_UNSET, _LIMIT, _DISTANCE),
    ),
    Case(
        "all constraints broken",
        _at(-91, 181, -1, max_distance_m="NaN"),
        invalid(_LATITUDE, _LONGITUDE, _LIMIT, _DISTANCE),
    ),
]

_NORTH, _EAST = (bytes([tag]) + struct.pack("<d", v) for tag, v in ((9, 52.52437), (17, 13.41053)))

_RAW = [
    Case(
        "a location in two parts is merged",
        [b"\x0a\x09" + _NORTH + b"\x0a\x09" + _EAST + b"\x10\x01"],
        rule=first_name("Berlin"),
    ),
    Case(
        "a NaN with a payload",
        [b"\x0a\x09\x09\x01\x00\x00\x00\x00\x00\xf4\x7f"],
        invalid(_LATITUDE),
    ),
    Case("a location cut short", [b"\x0a\x09" + _NORTH[:5]], MALFORMED),
    Case("a double cut short inside", [b"\x0a\x05" + _NORTH[:5]], MALFORMED),
]

CASES: list[Case] = [
    *(
        Case(f"at {name}", _at(lat, lng), rule=first_name(found) if found else None)
        for name, lat, lng, found in _AROUND
    ),
    *(Case(name, _at(lat, lng), invalid(*broken)) for name, lat, lng, broken in _REFUSED),
    *_DISTANCES,
    *_LIMITS,
    *_TIES,
    *_SEVERAL,
    *_RAW,
]
