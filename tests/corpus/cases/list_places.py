"""Cases of ListPlaces: pages and their edges, filters, and every constraint."""

from cases.case import BAD_UTF8, MALFORMED, Case, Json, Rule, invalid, text_field

_COUNTRY = ("country_code", "must be two upper-case letters")
_POPULATION = ("min_population", "must not be negative")
_PAGE = ("page_size", "must be between 0 and 1000")
_LIMIT = ("limit", "must not be negative")


def _pages(*sizes: int) -> Rule:
    """Holds if the pages are numbered from 0, of these sizes, and their ids rise."""

    def holds(responses: list[Json]) -> bool:
        ids = [int(place["id"]) for page in responses for place in page["places"]]
        return (
            [len(page["places"]) for page in responses] == list(sizes)
            and [page.get("page", 0) for page in responses] == list(range(len(sizes)))
            and ids == sorted(set(ids))
        )

    return holds


_FILTERED = [
    Case("a country with one place", [{"country_code": "LI"}], rule=_pages(1)),
    Case("a country that does not exist", [{"country_code": "ZZ"}], rule=_pages()),
    Case("more people than anywhere", [{"min_population": "24874501"}], rule=_pages()),
    Case("as many people as the largest city", [{"min_population": "24874500"}], rule=_pages(1)),
    Case("one fewer than that", [{"min_population": "24874499"}], rule=_pages(1)),
    Case("the largest int64 of people", [{"min_population": str(2**63 - 1)}], rule=_pages()),
    Case("more people than fit into int32", [{"min_population": str(2**32)}], rule=_pages()),
    Case("the largest cities", [{"min_population": "14000000"}]),
    Case(
        "large cities of one country",
        [{"country_code": "BR", "min_population": "2500000"}],
    ),
    Case("a small country", [{"country_code": "LU"}]),
    Case("a country of places around the antimeridian", [{"country_code": "FJ"}]),
    Case("no people asked for", [{"min_population": "0", "limit": 2}], rule=_pages(2)),
]

_PAGED = [
    Case("limit 1", [{"limit": 1}], rule=_pages(1)),
    Case("limit 3 in pages of 1", [{"limit": 3, "page_size": 1}], rule=_pages(1, 1, 1)),
    Case("limit 4 in pages of 2", [{"limit": 4, "page_size": 2}], rule=_pages(2, 2)),
    Case("limit 5 in pages of 2", [{"limit": 5, "page_size": 2}], rule=_pages(2, 2, 1)),
    Case("limit 2 in a page of 3", [{"limit": 2, "page_size": 3}], rule=_pages(2)),
    Case("page_size 0 means 50", [{"limit": 51, "page_size": 0}], rule=_pages(50, 1)),
    Case("exactly one default page", [{"limit": 50}], rule=_pages(50)),
    Case(
        "a limit in a country",
        [{"country_code": "DE", "limit": 3, "page_size": 2}],
        rule=_pages(2, 1),
    ),
    Case(
        "all filters together",
        [{"country_code": "IN", "min_population": "1000000", "page_size": 3, "limit": 7}],
        rule=_pages(3, 3, 1),
    ),
    Case(
        "a limit above what there is",
        [{"country_code": "MT", "limit": 2**31 - 1, "page_size": 1000}],
    ),
    Case("page_size 999", [{"country_code": "IS", "page_size": 999}]),
    Case("page_size 1000", [{"country_code": "IS", "page_size": 1000}]),
]

_LONG = [
    Case("a thousand pages", [{"limit": 1000, "page_size": 1}], brief=True),
    Case("thirty pages of ten", [{"limit": 300, "page_size": 10}], brief=True),
    Case(
        "a long country in small pages",
        [{"country_code": "US", "min_population": "50000", "page_size": 7}],
        brief=True,
    ),
    Case(
        "half a million people, whole world",
        [{"min_population": "500000", "page_size": 9}],
        brief=True,
    ),
]

_REFUSED = [
    *(
        Case(f"country {name}", [{"country_code": code}], invalid(_COUNTRY))
        for name, code in [
            ("in lower case", "de"),
            ("of one letter", "D"),
            ("of three letters", "DEU"),
            ("of Greek letters", "ΑΒ"),
            ("of a space", " "),
            ("with a NUL", "D\u0000"),
            ("of one astral letter", "𝐃"),
        ]
    ),
    Case("min_population -1", [{"min_population": "-1"}], invalid(_POPULATION)),
    Case("smallest min_population", [{"min_population": str(-(2**63))}], invalid(_POPULATION)),
    Case("page_size 1001", [{"page_size": 1001}], invalid(_PAGE)),
    Case("page_size -1", [{"page_size": -1}], invalid(_PAGE)),
    Case("largest page_size", [{"page_size": 2**31 - 1}], invalid(_PAGE)),
    Case("smallest page_size", [{"page_size": -(2**31)}], invalid(_PAGE)),
    Case("limit -1", [{"limit": -1}], invalid(_LIMIT)),
    Case("smallest limit", [{"limit": -(2**31)}], invalid(_LIMIT)),
    Case(
        "all constraints broken",
        [{"country_code": "?", "min_population": "-2", "page_size": 5000, "limit": -3}],
        invalid(_COUNTRY, _POPULATION, _PAGE, _LIMIT),
    ),
    Case(
        "first and last constraint broken",
        [{"country_code": "deu", "page_size": 10, "limit": -3}],
        invalid(_COUNTRY, _LIMIT),
    ),
]

_RAW = [
    *(Case(f"country with {what}", [text_field(1, b)], MALFORMED) for what, b in BAD_UTF8.items()),
    Case("a request cut short", [b"\x0a\x02D"], MALFORMED),
    Case("the last of two limits counts", [b"\x20\x05\x20\x01"], rule=_pages(1)),
]

CASES: list[Case] = [*_FILTERED, *_PAGED, *_LONG, *_REFUSED, *_RAW]
