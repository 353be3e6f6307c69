"""Cases of GetPlace: reading by id, in every corner of int64, and bytes that are no request."""

from cases.case import BAD_UTF8, MALFORMED, Case, Json, Rule, invalid, not_found, text_field

_NOT_POSITIVE = invalid(("id", "must be positive"))


def _is(name: str, country: str) -> Rule:
    def holds(responses: list[Json]) -> bool:
        place = responses[0]["place"]
        return (place["name"], place["country_code"]) == (name, country)

    return holds


def _names(count: int) -> Rule:
    return lambda responses: len(responses[0].get("alternate_names", [])) == count


_FOUND = [
    ("the place of the smallest id", 362, None),
    ("the place of the largest id", 13665233, None),
    ("Berlin", 2950159, _is("Berlin", "DE")),
    ("Athens, with Greek names and final sigmas", 264371, _is("Athens", "GR")),
    ("Moscow, with Cyrillic names", 524901, _is("Moscow", "RU")),
    ("Beijing, with Chinese names", 1816670, _is("Beijing", "CN")),
    ("Seoul, with Hangul names", 1835848, _is("Seoul", "KR")),
    ("Cairo, with Arabic names", 360630, _is("Cairo", "EG")),
    ("Bangkok, with Thai names", 1609350, _is("Bangkok", "TH")),
    ("New Delhi, with Devanagari names", 1261481, _is("New Delhi", "IN")),
    ("İzmir, with a dotted capital I", 311046, _is("İzmir", "TR")),
    ("Saatlı, with a dotless i", 147288, _is("Saatlı", "AZ")),
    ("Weißwasser, with a sharp s", 2811698, _is("Weißwasser", "DE")),
    ("Århus, with a ring", 2624652, _is("Århus", "DK")),
    ("Nuku‘alofa, with a quotation mark", 4032402, _is("Nuku‘alofa", "TO")),
    ("Jerusalem, with the most names of all", 281184, _names(267)),
    ("a place without alternate names", 65170, _names(0)),
    ("a place far east", 2204582, _is("Labasa", "FJ")),
    ("a place far west", 4034821, _is("Mata-Utu", "WF")),
    ("the northernmost place", 2729907, _is("Longyearbyen", "SJ")),
    ("the southernmost place", 3833367, _is("Ushuaia", "AR")),
    ("a place at the same position as another", 1273618, None),
    ("the other place at that position", 13665129, None),
    ("New York City", 5128581, _is("New York City", "US")),
]

_UNKNOWN = [
    ("the smallest positive id", 1),
    ("one below the smallest", 361),
    ("one above the smallest", 363),
    ("one above the largest", 13665234),
    ("the largest int32", 2**31 - 1),
    ("one above the largest int32", 2**31),
    ("a known id plus 2^32", 2950159 + 2**32),
    ("the largest uint32", 2**32 - 1),
    ("a number that no double holds", 2**53 + 1),
    ("the largest int64", 2**63 - 1),
]

_REFUSED = [
    ("minus one", -1),
    ("a known id, negated", -2950159),
    ("the smallest int32", -(2**31)),
    ("the smallest int64", -(2**63)),
]

_BERLIN = b"\x08\x8f\x88\xb4\x01"

_RAW: list[Case] = [
    Case("no bytes at all", [b""], _NOT_POSITIVE),
    Case("the last of two ids counts", [b"\x08\x01" + _BERLIN], rule=_is("Berlin", "DE")),
    Case(
        "an id in more bytes than needed", [b"\x08\x8f\x88\xb4\x81\x00"], rule=_is("Berlin", "DE")
    ),
    Case("an unknown varint field", [_BERLIN + b"\x78\x07"], rule=_is("Berlin", "DE")),
    Case("an unknown field before", [b"\x7a\x01x" + _BERLIN], rule=_is("Berlin", "DE")),
    Case("an unknown fixed64 field", [_BERLIN + b"\x79" + bytes(8)], rule=_is("Berlin", "DE")),
    Case(
        "an unknown field that is no UTF-8",
        [_BERLIN + text_field(15, BAD_UTF8["a byte that never occurs"])],
        rule=_is("Berlin", "DE"),
    ),
    Case("a tag without a value", [b"\x08"], MALFORMED),
    Case("a varint that ends too early", [b"\x08\x8f"], MALFORMED),
    Case("a varint of eleven bytes", [b"\x08" + b"\xff" * 10 + b"\x01"], MALFORMED),
    Case("field number zero", [b"\x00\x01"], MALFORMED),
    Case("wire type six", [b"\x0e\x01"], MALFORMED),
    Case("wire type seven", [b"\x0f\x01"], MALFORMED),
    Case("a field longer than the message", [b"\x7a\x05ab"], MALFORMED),
    Case("the end of a group that never began", [b"\x7c"], MALFORMED),
    Case("a group that never ends", [b"\x7b\x08\x01"], MALFORMED),
    Case("only bytes of 0xff", [b"\xff" * 8], MALFORMED),
]

CASES: list[Case] = [
    *(Case(name, [{"id": str(number)}], rule=rule) for name, number, rule in _FOUND),
    *(Case(name, [{"id": str(number)}], not_found(number)) for name, number in _UNKNOWN),
    Case("zero", [{"id": "0"}], _NOT_POSITIVE),
    Case("no id", [{}], _NOT_POSITIVE),
    *(Case(name, [{"id": str(number)}], _NOT_POSITIVE) for name, number in _REFUSED),
    *_RAW,
]
