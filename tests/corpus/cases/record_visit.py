"""Cases of RecordVisit, run in order on a fresh database: ids and counts follow from the order."""

from cases.case import BAD_UTF8, MALFORMED, Case, Json, Rule, invalid, not_found, text_field

_PLACE = ("place_id", "must be positive")
_EMPTY = ("visitor", "must not be empty")
_LONG = ("visitor", "must have at most 128 characters")

_BERLIN, _ATHENS = "2950159", "264371"


def _visit(place_id: str, visitor: str) -> list[Json]:
    return [{"place_id": place_id, "visitor": visitor}]


def _recorded(visit_id: int, visit_count: int) -> Rule:
    return lambda responses: (
        responses[0] == {"visit_id": str(visit_id), "visit_count": str(visit_count)}
    )


CASES: list[Case] = [
    Case("a first visit", _visit(_BERLIN, "ada"), rule=_recorded(1, 1)),
    Case("a second visit by the same visitor", _visit(_BERLIN, "ada"), rule=_recorded(2, 2)),
    Case("a visit elsewhere", _visit(_ATHENS, "ada"), rule=_recorded(3, 1)),
    Case("a place that is not there", _visit("1", "ada"), not_found(1)),
    Case("a refusal takes no visit id", _visit(_BERLIN, "bob"), rule=_recorded(4, 3)),
    Case("the smallest place id", _visit("362", "ada"), rule=_recorded(5, 1)),
    Case("the largest place id", _visit("13665233", "ada"), rule=_recorded(6, 1)),
    Case("a visitor of one space", _visit(_ATHENS, " "), rule=_recorded(7, 2)),
    Case("a visitor of one mark", _visit(_ATHENS, "\u0301"), rule=_recorded(8, 3)),
    Case("a visitor of one NUL", _visit(_ATHENS, "\u0000"), rule=_recorded(9, 4)),
    Case("a visitor in another script", _visit(_ATHENS, "Ἀθηνᾶ"), rule=_recorded(10, 5)),
    Case("a visitor of 127 letters", _visit(_ATHENS, "v" * 127), rule=_recorded(11, 6)),
    Case("a visitor of 128 letters", _visit(_ATHENS, "v" * 128), rule=_recorded(12, 7)),
    Case("a visitor of 129 letters", _visit(_ATHENS, "v" * 129), invalid(_LONG)),
    Case("a visitor of 128 astral letters", _visit(_ATHENS, "𐌰" * 128), rule=_recorded(13, 8)),
    Case("a visitor of 129 astral letters", _visit(_ATHENS, "𐌰" * 129), invalid(_LONG)),
    Case("a visitor of 65 letters with marks", _visit(_ATHENS, "e\u0301" * 65), invalid(_LONG)),
    Case("a visitor of 128 sharp s", _visit(_ATHENS, "ß" * 128), rule=_recorded(14, 9)),
    Case("a visitor of 128 Hangul syllables", _visit(_ATHENS, "한" * 128), rule=_recorded(15, 10)),
    Case("a visitor of 200 spaces", _visit(_ATHENS, " " * 200), invalid(_LONG)),
    Case("a visitor of SQL", _visit(_ATHENS, "'); DROP TABLE visits;--"), rule=_recorded(16, 11)),
    Case("no visitor", _visit(_BERLIN, ""), invalid(_EMPTY)),
    Case("no place", [{"visitor": "ada"}], invalid(_PLACE)),
    Case("place zero", _visit("0", "ada"), invalid(_PLACE)),
    Case("a negative place", _visit("-2950159", "ada"), invalid(_PLACE)),
    Case("the smallest int64", _visit(str(-(2**63)), "ada"), invalid(_PLACE)),
    Case("the largest int64", _visit(str(2**63 - 1), "ada"), not_found(2**63 - 1)),
    Case("a known id plus 2^32", _visit(str(2950159 + 2**32), "ada"), not_found(2950159 + 2**32)),
    Case("no field set", [{}], invalid(_PLACE, _EMPTY)),
    Case("both constraints broken", _visit("-1", "w" * 500), invalid(_PLACE, _LONG)),
    Case("an unknown place and no visitor", _visit("1", ""), invalid(_EMPTY)),
    *(
        Case(f"visitor with {what}", [b"\x08\x01" + text_field(2, encoded)], MALFORMED)
        for what, encoded in BAD_UTF8.items()
    ),
    Case("bytes that are no request", [b"\xff\xff"], MALFORMED),
    Case("after all that", _visit(_BERLIN, "eve"), rule=_recorded(17, 4)),
]
