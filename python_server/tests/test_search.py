from math import log10

from hypothesis import given
from hypothesis import strategies as st
from small import CITIES, city

from gazetteer_server.domain.catalogue import build_catalogue
from gazetteer_server.domain.place import Place
from gazetteer_server.domain.search import Match, SearchIndex, similarity, trigrams
from gazetteer_server.domain.text import normal_form
from gazetteer_server.load import City

_NAMES = st.text(alphabet="abc éß", max_size=9)
_FORMS = st.text(alphabet="abc d", min_size=1, max_size=9).map(normal_form).filter(bool)
_CITIES = st.lists(
    st.tuples(
        _NAMES, st.lists(_NAMES, max_size=4), st.sampled_from(["XX", "YY"]), st.integers(0, 3)
    ),
    max_size=12,
)


def _index(cities: list[City]) -> SearchIndex:
    names = {place.id: alternates for place, alternates in cities}
    return SearchIndex(build_catalogue([place for place, _ in cities], names))


def _scan(
    cities: list[City], form: str, limit: int, country_code: str, min_similarity: float
) -> list[Match]:
    """Does what the contract says, name by name."""
    found: list[tuple[float, Place, str]] = []
    for place, alternates in cities:
        likenesses = [
            (similarity(form, normal_form(name)), name)
            for name in (place.name, *alternates)
            if normal_form(name)
        ]
        if likenesses and country_code in ("", place.country_code):
            likeness, name = max(likenesses, key=lambda entry: entry[0])
            if likeness >= min_similarity:
                found.append((likeness + 0.01 * log10(1 + place.population), place, name))
    found.sort(key=lambda entry: (-entry[0], -entry[1].population, entry[1].id))
    return [Match(place, score, name) for score, place, name in found[:limit]]


def test_trigrams_are_padded_by_two_spaces_and_one() -> None:
    assert trigrams("ab") == {"  a", " ab", "ab "}
    assert trigrams("a") == {"  a", " a "}


@given(_FORMS, _FORMS)
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, other) == similarity(other, one)
    assert similarity(one, one) == 1


@given(_CITIES, _FORMS, st.integers(1, 5), st.sampled_from(["", "XX"]), st.floats(0.1, 1))
def test_finds_what_a_full_scan_finds(
    made: list[tuple[str, list[str], str, int]],
    form: str,
    limit: int,
    country_code: str,
    min_similarity: float,
) -> None:
    cities = [
        city(number, name, *alternates, country=country, population=population)
        for number, (name, alternates, country, population) in enumerate(made, start=1)
    ]
    found = _index(cities).search(
        form, limit=limit, country_code=country_code, min_similarity=min_similarity
    )
    assert found == _scan(cities, form, limit, country_code, min_similarity)


def test_ties_go_by_population_then_id() -> None:
    found = _index(CITIES).search("springfield", limit=9, country_code="", min_similarity=1)
    assert [match.place.id for match in found] == [6, 4, 5]


def test_the_first_of_equal_names_is_the_matched_one() -> None:
    found = _index(CITIES).search("berlin", limit=1, country_code="", min_similarity=1)
    assert [match.matched_name for match in found] == ["Berlin"]


def test_a_place_without_searched_names_is_not_found() -> None:
    index = _index([city(1, "\u0301", " ")])
    assert index.search("a", limit=1, country_code="", min_similarity=0.1) == []
