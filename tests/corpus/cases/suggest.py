"""Cases of Suggest: prefixes in all scripts, answers in turn, and errors amid a stream."""

from cases.case import BAD_UTF8, MALFORMED, Case, Json, Rule, invalid, text_field

_LONG = ("prefix", "must have at most 200 characters")
_LIMIT = ("limit", "must be between 0 and 20")


def _type(*prefixes: str, limit: int = 2) -> list[Json]:
    return [{"prefix": prefix, "limit": limit} for prefix in prefixes]


def _counts(*counts: int) -> Rule:
    """Holds if the responses are numbered from 0 and have so many suggestions."""

    def holds(responses: list[Json]) -> bool:
        numbered = [r.get("sequence", 0) for r in responses] == list(range(len(counts)))
        return numbered and [len(r.get("suggestions", [])) for r in responses] == list(counts)

    return holds


def _first(name: str) -> Rule:
    return lambda responses: responses[0]["suggestions"][0]["name"] == name


_PREFIXES: list[tuple[str, str, str | None]] = [
    ("one letter", "a", None),
    ("one capital", "Z", None),
    ("two letters", "be", None),
    ("three letters", "lon", None),
    ("a whole name", "reykjavik", "Reykjavík"),
    ("a whole name and more", "berlinn", None),
    ("Cyrillic", "Моск", "Москва"),
    ("Cyrillic capitals", "МОСК", "Москва"),
    ("Greek", "Αθή", "Αθήνα"),
    ("Greek without accents", "αθη", None),
    ("a final sigma", "Πρωταράς", "Πρωταράς"),
    ("Arabic", "القا", None),
    ("Hebrew", "ירוש", None),
    ("Chinese", "北", "北京"),
    ("Katakana", "ベル", None),
    ("Katakana without its voicing mark", "ヘル", None),
    ("Hangul", "서울", None),
    ("an unfinished Hangul syllable", "서우", None),
    ("a Hangul consonant alone", "\u1109", None),
    ("Devanagari", "दिल", None),
    ("Thai", "กรุง", None),
    ("Georgian", "თბ", None),
    ("an accent where there is none", "bérl", None),
    ("no accent where there is one", "sao p", "São Paulo"),
    ("a decomposed accent", "Sa\u0303o P", "São Paulo"),
    ("sharp s", "weiß", None),
    ("sharp s as two letters", "weissw", "Weißwasser"),
    ("half of a sharp s", "weis", None),
    ("dotted capital I", "İzm", None),
    ("dotless i", "ı", None),
    ("ligature", "\ufb01", None),
    ("full-width letters", "Ｔｏｋ", None),
    ("a space behind is dropped", "new ", None),
    ("a space inside counts", "new y", None),
    ("a space in front is dropped", "  new y", None),
    ("an apostrophe", "n'dj", None),
    ("digits", "1", None),
    ("a mark alone gets none", "\u0301", None),
    ("no-break space gets none", "\u00a0", None),
    ("the largest code point", "\U0010ffff", None),
    ("a letter and the largest code point", "a\U0010ffff", None),
    ("nothing begins so", "qqqq", None),
    ("a NUL", "\u0000", None),
    ("a line separator is no space", "new\u2028", None),
]

_STREAMS = [
    Case("no request", [], rule=_counts()),
    Case("empty prefix", _type(""), rule=_counts(0)),
    Case("only spaces", _type("   "), rule=_counts(0)),
    Case("no field set", [{}], rule=_counts(0)),
    Case("typing a name", _type("r", "re", "rey", "reyk", "reykj"), rule=_counts(2, 2, 2, 2, 2)),
    Case("typing, deleting, typing", _type("osl", "os", "osa"), rule=_counts(1, 2, 2)),
    Case("the same twice", _type("paris", "paris"), rule=_counts(2, 2)),
    Case("empty between others", _type("rom", "", "rom"), rule=_counts(2, 0, 2)),
    Case("forty requests", _type(*["x" * (i % 3) for i in range(40)], limit=1)),
    Case("limit 0 means 5", [{"prefix": "san", "limit": 0}], rule=_counts(5)),
    Case("no limit means 5", [{"prefix": "ber"}], rule=_counts(5)),
    Case("limit 1", _type("mad", limit=1), rule=_counts(1)),
    Case("limit 20", _type("san", limit=20), rule=_counts(20)),
    Case("limit 20 of one letter", _type("b", limit=20), rule=_counts(20)),
    Case("equal names of many places", _type("springfield", limit=20)),
    Case("the first fitting name is told", _type("mun", "mün", "mon", limit=1)),
]

_LENGTHS: list[tuple[str, str, bool]] = [
    ("199 letters", "a" * 199, True),
    ("200 letters", "a" * 200, True),
    ("201 letters", "a" * 201, False),
    ("200 astral characters", "𐌰" * 200, True),
    ("201 astral characters", "𐌰" * 201, False),
    ("100 sharp s", "ß" * 100, True),
    ("101 sharp s", "ß" * 101, False),
    ("67 Hangul syllables of three letters", "한" * 67, False),
    ("a letter with 500 marks", "a" + "\u0301" * 500, True),
    ("200 letters and a space", "a" * 200 + " ", True),
]

_REFUSED = [
    Case("limit 21", _type("a", limit=21), invalid(_LIMIT)),
    Case("limit -1", _type("a", limit=-1), invalid(_LIMIT)),
    Case("limit of the smallest int32", _type("a", limit=-(2**31)), invalid(_LIMIT)),
    Case("limit of the largest int32", _type("a", limit=2**31 - 1), invalid(_LIMIT)),
    Case("limit with an empty prefix", _type("", limit=21), invalid(_LIMIT)),
    Case("both constraints broken", _type("b" * 201, limit=99), invalid(_LONG, _LIMIT)),
    Case(
        "a bad request after two good ones",
        [*_type("rom", "par"), *_type("x", limit=21)],
        invalid(_LIMIT),
        rule=_counts(2, 2),
    ),
    Case(
        "good requests after a bad one get no answer",
        [*_type("rom"), *_type("x", limit=-7), *_type("par")],
        invalid(_LIMIT),
        rule=_counts(2),
    ),
    Case(
        "a bad request first",
        [*_type("é" * 201), *_type("par")],
        invalid(_LONG),
        rule=_counts(),
    ),
    Case(
        "a bad request ends an open stream",
        [*_type("rom"), *_type("x", limit=21)],
        invalid(_LIMIT),
        rule=_counts(2),
        half_close=False,
    ),
]

_ROME = text_field(1, b"rom") + b"\x10\x02"

_RAW = [
    *(Case(f"prefix with {what}", [text_field(1, b)], MALFORMED) for what, b in BAD_UTF8.items()),
    Case("malformed after good ones", [_ROME, _ROME, b"\xff"], MALFORMED, rule=_counts(2, 2)),
    Case("malformed before good ones", [b"\x0a", _ROME], MALFORMED, rule=_counts()),
    Case("no bytes at all", [b"", b""], rule=_counts(0, 0)),
    Case("the last of two prefixes counts", [text_field(1, b"xyz") + _ROME], rule=_counts(2)),
]

CASES: list[Case] = [
    *(
        Case(f"prefix: {name}", _type(prefix), rule=_first(found) if found else None)
        for name, prefix, found in _PREFIXES
    ),
    *_STREAMS,
    *(
        Case(f"length: {name}", _type(prefix), None if fits else invalid(_LONG))
        for name, prefix, fits in _LENGTHS
    ),
    *_REFUSED,
    *_RAW,
]
