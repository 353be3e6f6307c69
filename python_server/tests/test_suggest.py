import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CITIES, city

from gazetteer_server.domain.catalogue import build_catalogue
from gazetteer_server.domain.suggest import MAX_SUGGESTIONS, SuggestIndex, Suggestion
from gazetteer_server.domain.text import normal_form
from gazetteer_server.load import City

_NAMES = st.text(alphabet="ab é\U0010ffff", max_size=5)
_CITIES = st.lists(st.tuples(_NAMES, st.lists(_NAMES, max_size=4), st.integers(0, 3)), max_size=30)


def _index(cities: list[City]) -> SuggestIndex:
    names = {place.id: alternates for place, alternates in cities}
    return SuggestIndex(build_catalogue([place for place, _ in cities], names))


def _scan(cities: list[City], prefix: str, limit: int) -> list[Suggestion]:
    found = []
    for place, alternates in cities:
        fitting = [n for n in (place.name, *alternates) if normal_form(n).startswith(prefix)]
        if prefix and fitting:
            found.append(Suggestion(place, fitting[0]))
    return sorted(found, key=lambda s: (-s.place.population, s.place.id))[:limit]


@given(_CITIES, _NAMES.map(normal_form), st.integers(1, MAX_SUGGESTIONS))
def test_suggests_what_a_full_scan_finds(
    made: list[tuple[str, list[str], int]], prefix: str, limit: int
) -> None:
    cities = [
        city(number, name, *alternates, population=population)
        for number, (name, alternates, population) in enumerate(made, start=1)
    ]
    assert _index(cities).suggest(prefix, limit=limit) == _scan(cities, prefix, limit)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", []),
        ("b", [(2, "Berlin"), (3, "Bergen")]),
        ("berlino", [(2, "Berlino")]),
        ("springfield", [(6, "Springfield"), (4, "Springfield"), (5, "Springfield")]),
        ("a", [(1, "Ålborg")]),
        ("aa", [(1, "Aalborg")]),
        ("q", []),
    ],
)
def test_most_populous_first_then_by_id(prefix: str, expected: list[tuple[int, str]]) -> None:
    found = _index(CITIES).suggest(prefix, limit=5)
    assert [(suggestion.place.id, suggestion.name) for suggestion in found] == expected
