"""Cases of SearchPlaces: scripts, normal form, ranks and ties, and every constraint."""

from cases.case import (
    BAD_UTF8,
    MALFORMED,
    Case,
    Json,
    Rule,
    first_name,
    invalid,
    result_count,
    text_field,
)

_EMPTY = ("query", "must not be empty")
_LONG = ("query", "must have at most 200 characters")
_LIMIT = ("limit", "must be between 0 and 100")
_COUNTRY = ("country_code", "must be two upper-case letters")
_SIMILARITY = ("min_similarity", "must be between 0.1 and 1")


def _ask(query: str, limit: int = 2, **more: object) -> list[Json]:
    return [{"query": query, "limit": limit, **more}]


def _scores_tie(responses: list[Json]) -> bool:
    """Similarities tie in the names; then the more populous place comes first."""
    results = responses[0]["results"]
    people = [int(result["place"]["population"]) for result in results]
    return len(results) > 1 and people == sorted(people, reverse=True)


def _only(country: str) -> Rule:
    return lambda responses: (
        {r["place"]["country_code"] for r in responses[0]["results"]} == {country}
    )


_SCRIPTS = [
    ("Latin", "Berlin", "Berlin"),
    ("Cyrillic", "Москва", "Moscow"),
    ("Greek", "Αθήνα", "Athens"),
    ("Greek capitals", "ΑΘΗΝΑ", "Athens"),
    ("Arabic", "القاهرة", "Cairo"),
    ("Hebrew", "ירושלים", "Jerusalem"),
    ("Chinese", "北京", "Beijing"),
    ("one Chinese character", "京", None),
    ("Hiragana", "とうきょう", None),
    ("Katakana", "ベルリン", "Berlin"),
    ("half-width Katakana", "ﾍﾞﾙﾘﾝ", "Berlin"),
    ("Hangul", "서울", "Seoul"),
    ("Hangul in conjoining letters", "\u1109\u1165\u110b\u116e\u11af", "Seoul"),
    ("Devanagari", "दिल्ली", None),
    ("Thai", "กรุงเทพมหานคร", "Bangkok"),
    ("Tamil", "சென்னை", None),
    ("Bengali", "ঢাকা", None),
    ("Georgian", "თბილისი", None),
    ("Georgian capitals", "ᲗᲑᲘᲚᲘᲡᲘ", None),
    ("Armenian", "Երևան", "Yerevan"),
    ("Amharic", "አዲስ አበባ", None),
    ("Tibetan", "ལྷ་ས", None),
    ("Burmese", "ရန်ကုန်", None),
    ("Khmer", "ភ្នំពេញ", "Phnom Penh"),
]

_SPELLINGS = [
    ("lower case", "berlin", "Berlin"),
    ("upper case", "BERLIN", "Berlin"),
    ("full-width letters", "Ｂｅｒｌｉｎ", "Berlin"),
    ("mathematical bold letters", "𝐁𝐞𝐫𝐥𝐢𝐧", "Berlin"),
    ("circled letters", "Ⓑⓔⓡⓛⓘⓝ", "Berlin"),
    ("composed marks", "S\u00e3o Paulo", "São Paulo"),
    ("decomposed marks", "Sa\u0303o Paulo", "São Paulo"),
    ("no marks where there are some", "Sao Paulo", "São Paulo"),
    ("marks where there are none", "B\u0308e\u0301r\u0323l\u0304i\u0302n\u0307", "Berlin"),
    ("marks out of canonical order", "Be\u0301\u0323\u0301rlin", "Berlin"),
    ("sharp s", "Weißwasser", "Weißwasser"),
    ("sharp s as two letters", "Weisswasser", "Weißwasser"),
    ("capital sharp s", "WEIẞWASSER", "Weißwasser"),
    ("dotted capital I", "İzmir", "İzmir"),
    ("dotted capital I as plain i", "izmir", "İzmir"),
    ("dotless i stays itself", "Saatlı", "Saatlı"),
    ("dotless i is no i", "Saatli", None),
    ("final sigma", "Πρωταράς", None),
    ("medial sigma at the end", "Πρωταράσ", None),
    ("long s", "Weiſſwaſſer", "Weißwasser"),
    ("ligature fi", "Shef\ufb01eld", None),
    ("ligature ffi", "Gri\ufb03th", "Griffith"),
    ("the Kelvin sign", "\u212arefeld", "Krefeld"),
    ("the Angstrom sign", "\u212brhus", "Århus"),
    ("o with stroke has no decomposition", "Tromso", None),
    ("o with stroke as it is", "Tromsø", None),
    ("a Roman numeral in one code point", "Ⅷ", None),
    ("Arabic with short vowels", "القَاهِرَة", "Cairo"),
    ("Hebrew with points", "יְרוּשָׁלַיִם", "Jerusalem"),
    ("Cyrillic short i, decomposed", "Кии\u0306", None),
    ("Greek with dialytika and tonos", "Μαΐου", None),
    ("iota subscript, which folds to a letter", "\u1fb3", None),
    ("combining iota subscript, which is a mark", "\u03b1\u0345", None),
    ("combining grapheme joiner, which is none", "Ber\u034flin", None),
    ("small Cherokee letter, which folds upwards", "ꭰ", None),
    ("n preceded by an apostrophe", "ŉ", None),
    ("Devanagari without its virama", "दिलली", None),
    ("a soft hyphen stays", "Ber\u00adlin", None),
    ("a zero-width space stays", "New\u200bYork", None),
    ("a NUL", "Ber\u0000lin", None),
    ("a byte-order mark", "\ufeffBerlin", None),
    ("an emoji", "🏙", None),
    ("a flag", "🇩🇪", None),
]

_SPACES = [
    ("spaces at the ends", "  New York City ", "New York City"),
    ("a run of spaces", "New   York  City", "New York City"),
    ("tabs and newlines", "New\tYork\r\nCity", "New York City"),
    ("vertical tab and form feed", "New\u000bYork\u000cCity", "New York City"),
    ("no-break space", "New\u00a0York\u00a0City", "New York City"),
    ("ideographic space", "New\u3000York\u3000City", "New York City"),
    ("em space and thin space", "New\u2003York\u2009City", "New York City"),
    ("next line is no space", "New\u0085York", None),
    ("line separator is no space", "New\u2028York", None),
    ("information separators are no spaces", "New\u001cYork\u001f", None),
    ("Ogham space mark is no space", "New\u1680York", None),
    ("only a line separator", "\u2028", None),
    ("only an information separator", "\u001f", None),
]

_EMPTY_TEXTS = [
    ("no text", ""),
    ("one space", " "),
    ("all spaces of ASCII", " \t\n\u000b\u000c\r "),
    ("a no-break space alone", "\u00a0"),
    ("an ideographic space alone", "\u3000"),
    ("a combining mark alone", "\u0301"),
    ("many marks", "\u0301\u0323" * 300),
    ("a space with marks", " \u0308 \u0301"),
    ("a spacing acute, which is a space with a mark", "\u00b4"),
    ("an iota subscript alone", "\u0345"),
]

_LENGTHS: list[tuple[str, str, bool]] = [
    ("199 letters", "a" * 199, True),
    ("200 letters", "a" * 200, True),
    ("201 letters", "a" * 201, False),
    ("200 letters of two bytes", "ж" * 200, True),
    ("201 letters of two bytes", "ж" * 201, False),
    ("199 astral characters", "𐌰" * 199, True),
    ("200 astral characters", "𐌰" * 200, True),
    ("201 astral characters", "𐌰" * 201, False),
    ("101 astral characters that fold to ASCII", "𝐁" * 101, True),
    ("201 astral characters that fold to ASCII", "𝐁" * 201, False),
    ("100 ligatures of two letters", "\ufb01" * 100, True),
    ("101 ligatures of two letters", "\ufb01" * 101, False),
    ("66 ligatures of three letters", "\ufb03" * 66, True),
    ("67 ligatures of three letters", "\ufb03" * 67, False),
    ("100 sharp s", "ß" * 100, True),
    ("101 sharp s", "ß" * 101, False),
    ("66 Hangul syllables of three letters", "한" * 66, True),
    ("67 Hangul syllables of three letters", "한" * 67, False),
    ("200 letters and as many marks", "e\u0301" * 200, True),
    ("200 composed letters", "é" * 200, True),
    ("201 composed letters", "é" * 201, False),
    ("200 letters between spaces", "  " + "a" * 200 + " \t", True),
    ("201 code points, most of them one run of spaces", "a" + " " * 199 + "b", True),
    ("11 ligatures of eighteen letters", "\ufdfa" * 11, True),
    ("12 ligatures of eighteen letters", "\ufdfa" * 12, False),
    ("a very long text", "Llanfairpwllgwyngyll" * 500, False),
]

_RANKS = [
    Case("one letter", _ask("a")),
    Case("one letter in lower similarity", _ask("x", 3, min_similarity=0.1)),
    Case("two letters", _ask("Ur", 3)),
    Case("a tie in similarity goes by population", _ask("Springfield", 8), rule=_scores_tie),
    Case("nine places of one name", _ask("Victoria", 9, min_similarity=1), rule=_scores_tie),
    Case("many places of one name in one country", _ask("Santa Rosa", 5, country_code="AR")),
    Case("a tie is cut at the limit", _ask("San Pedro", 3, min_similarity=1), rule=result_count(3)),
    Case("the first of equal names is the matched one", _ask("muenchen", 1)),
    Case("an alternate name matches better", _ask("München", 1), rule=first_name("Munich")),
    Case("a misspelling", _ask("Philadelfia", 2), rule=first_name("Philadelphia")),
    Case("letters left out", _ask("Brln", 2)),
    Case("words in another order", _ask("York New", 2)),
    Case("words joined", _ask("Riodejaneiro", 2)),
    Case("a repeated text has the trigrams of one", _ask("ananananan", 3)),
    Case("digits", _ask("10 de Octubre", 2)),
    Case("punctuation", _ask("Nuku‘alofa", 1), rule=first_name("Nuku‘alofa")),
    Case("another apostrophe", _ask("Nuku'alofa", 1), rule=first_name("Nuku‘alofa")),
    Case("an airport's code", _ask("BER", 3)),
    Case("nothing is like it", _ask("qxzqxzqxz"), rule=result_count(0)),
    Case("markup", _ask("<script>alert(1)</script>")),
    Case("an SQL injection", _ask("'; DROP TABLE places; --")),
]

_LIMITS = [
    Case("limit 0 means 10", [{"query": "san", "limit": 0}], rule=result_count(10)),
    Case("no limit means 10", [{"query": "santa"}], rule=result_count(10)),
    Case("limit 1", _ask("Paris", 1), rule=result_count(1)),
    Case("limit 100", _ask("san jose", 100, min_similarity=0.5)),
    Case("limit 101", _ask("san", 101), invalid(_LIMIT)),
    Case("limit -1", _ask("san", -1), invalid(_LIMIT)),
    Case("limit of the smallest int32", _ask("san", -(2**31)), invalid(_LIMIT)),
    Case("limit of the largest int32", _ask("san", 2**31 - 1), invalid(_LIMIT)),
]

_COUNTRIES = [
    Case("in one country", _ask("Paris", 3, country_code="US"), rule=_only("US")),
    Case("in a country with one place", _ask("Vaduz", country_code="LI"), rule=_only("LI")),
    Case(
        "in a country that does not exist", _ask("Paris", country_code="ZZ"), rule=result_count(0)
    ),
    *(
        Case(f"country {name}", _ask("Paris", country_code=code), invalid(_COUNTRY))
        for name, code in [
            ("in lower case", "us"),
            ("in mixed case", "Us"),
            ("of one letter", "U"),
            ("of three letters", "USA"),
            ("of digits", "12"),
            ("with a space", "U "),
            ("with a newline behind", "US\n"),
            ("of Cyrillic letters", "РФ"),
            ("of full-width letters", "ＵＳ"),
            ("of one letter with a mark", "Ü"),
            ("of two letters with marks", "ÄÖ"),
        ]
    ),
]

_SIMILARITIES = [
    Case("min_similarity 0.1", _ask("Oslo", 2, min_similarity=0.1), rule=first_name("Oslo")),
    Case("min_similarity 1", _ask("Oslo", 2, min_similarity=1), rule=first_name("Oslo")),
    Case("min_similarity 1 without an equal name", _ask("Osloo", min_similarity=1)),
    Case("min_similarity 0.3, the default", _ask("Oslo", 4, min_similarity=0.3)),
    Case("min_similarity 0.5, reached exactly", _ask("abab", 4, min_similarity=0.5)),
    Case("min_similarity of a third", _ask("Roma", 4, min_similarity=1 / 3)),
    Case("min_similarity 0.6 reached by three of five", _ask("lyn", 4, min_similarity=0.6)),
    *(
        Case(f"min_similarity {value!r}", _ask("Oslo", min_similarity=value), invalid(_SIMILARITY))
        for value in [
            0,
            -0.0,
            -0.3,
            0.09999999999999999,
            1.0000000000000002,
            2,
            "NaN",
            "Infinity",
            "-Infinity",
        ]
    ),
]

_SEVERAL = [
    Case("no field set", [{}], invalid(_EMPTY)),
    Case(
        "all constraints broken",
        [{"query": " ", "limit": -5, "country_code": "x", "min_similarity": "NaN"}],
        invalid(_EMPTY, _LIMIT, _COUNTRY, _SIMILARITY),
    ),
    Case(
        "too long, too many, and too like",
        [{"query": "ab" * 101, "limit": 101, "country_code": "DE", "min_similarity": 1.5}],
        invalid(_LONG, _LIMIT, _SIMILARITY),
    ),
    Case(
        "country and similarity",
        [{"query": "Rom", "country_code": "de", "min_similarity": 0}],
        invalid(_COUNTRY, _SIMILARITY),
    ),
]

_RAW = [
    *(Case(f"query with {what}", [text_field(1, b)], MALFORMED) for what, b in BAD_UTF8.items()),
    Case("country that is no UTF-8", [text_field(1, b"x") + text_field(3, b"\xc3\x28")], MALFORMED),
    Case(
        "a limit above int32 keeps its low bits",
        [text_field(1, b"Oslo") + b"\x10\x81\x80\x80\x80\x10"],
        rule=result_count(1),
    ),
    Case("a min_similarity cut short", [text_field(1, b"Oslo") + b"\x21\x00\x00"], MALFORMED),
]

CASES: list[Case] = [
    *(
        Case(f"script: {name}", _ask(query), rule=first_name(found) if found else None)
        for name, query, found in _SCRIPTS
    ),
    *(
        Case(f"spelling: {name}", _ask(query), rule=first_name(found) if found else None)
        for name, query, found in _SPELLINGS
    ),
    *(
        Case(f"space: {name}", _ask(query), rule=first_name(found) if found else None)
        for name, query, found in _SPACES
    ),
    *(Case(f"empty: {name}", _ask(query), invalid(_EMPTY)) for name, query in _EMPTY_TEXTS),
    *(
        Case(f"length: {name}", _ask(query, 1), None if fits else invalid(_LONG))
        for name, query, fits in _LENGTHS
    ),
    *_RANKS,
    *_LIMITS,
    *_COUNTRIES,
    *_SIMILARITIES,
    *_SEVERAL,
    *_RAW,
]
