"""Fuzzy search by trigrams over all names."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from math import ceil, floor, log10

from gazetteer_server.domain.catalogue import Catalogue
from gazetteer_server.domain.place import Place

_ROUNDING = 1e-9
"""Widens the bounds that only prune, so that no rounding prunes too much."""


@dataclass(frozen=True, slots=True)
class Match:
    """One place found by name.

    Attributes:
        place: The place.
        score: The similarity of its best name + 0.01 * log10(1 + population).
        matched_name: That name as spelled, the first on a tie.
    """

    place: Place
    score: float
    matched_name: str


def trigrams(form: str) -> frozenset[str]:
    """Gives the substrings of 3 code points of a form with two spaces before and one behind."""
    padded = f"  {form} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def similarity(one: str, other: str) -> float:
    """Gives the share of common trigrams in all trigrams of two normal forms: 0 to 1."""
    a, b = trigrams(one), trigrams(other)
    return len(a & b) / len(a | b)


class SearchIndex:
    """The trigrams of all forms, each with the forms that have it.

    Forms are ranked by their number of trigrams. So the forms near enough in size to be similar
    at all are one run of ranks, found in each list by bisection.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._bonuses = array("d", (0.01 * log10(1 + p.population) for p in catalogue.places))
        by_size: defaultdict[int, list[int]] = defaultdict(list)
        for number, form in enumerate(catalogue.forms):
            by_size[len(trigrams(form))].append(number)
        self._form_at = array("I")
        self._sizes = array("H")
        postings: defaultdict[str, array[int]] = defaultdict(lambda: array("I"))
        for size in sorted(by_size):
            for number in by_size[size]:
                rank = len(self._form_at)
                for trigram in trigrams(catalogue.forms[number]):
                    postings[trigram].append(rank)
                self._form_at.append(number)
                self._sizes.append(size)
        self._postings = dict(postings)

    def search(
        self, form: str, *, limit: int, country_code: str, min_similarity: float
    ) -> list[Match]:
        """Finds the places with a name like a text.

        Args:
            form: The normal form of the text, not empty.
            limit: How many matches at most.
            country_code: Only places of this country, or empty for all.
            min_similarity: Least similarity of a place's best name, above 0.

        Returns:
            The matches by score (falling), population (falling), id (rising).
        """
        catalogue = self._catalogue
        places, place_of = catalogue.places, catalogue.place_of
        best: dict[int, tuple[float, int]] = {}
        for number, likeness in self._similar_forms(trigrams(form), min_similarity):
            for name in catalogue.names_of_form(number):
                place = place_of[name]
                if country_code and places[place].country_code != country_code:
                    continue
                known = best.get(place)
                if known is None or (-likeness, name) < (-known[0], known[1]):
                    best[place] = (likeness, name)

        ranked = (
            (-(likeness + self._bonuses[place]), -places[place].population, place, name)
            for place, (likeness, name) in best.items()
        )
        return [
            Match(places[place], -negative_score, catalogue.spellings[name])
            for negative_score, _, place, name in nsmallest(limit, ranked)
        ]

    def _similar_forms(
        self, wanted: frozenset[str], min_similarity: float
    ) -> list[tuple[int, float]]:
        """Gives the forms that reach a similarity, each with its own."""
        size = len(wanted)
        first = bisect_left(self._sizes, ceil(size * min_similarity - _ROUNDING))
        last = bisect_left(self._sizes, floor(size / min_similarity + _ROUNDING) + 1)
        runs = sorted((self._run(trigram, first, last) for trigram in wanted), key=len)

        # A form must share at least `least` trigrams, so it has one of the shortest
        # `size - least + 1` lists; the longest lists only count for forms seen before.
        least = max(1, ceil(size * min_similarity - _ROUNDING))
        shared: Counter[int] = Counter()
        for run in runs[: size - least + 1]:
            shared.update(run)
        seen = set(shared)
        for run in runs[size - least + 1 :]:
            shared.update(seen.intersection(run))

        sizes, form_at = self._sizes, self._form_at
        return [
            (form_at[rank], common / (size + sizes[rank] - common))
            for rank, common in shared.items()
            if common >= least and common / (size + sizes[rank] - common) >= min_similarity
        ]

    def _run(self, trigram: str, first: int, last: int) -> array[int]:
        posting = self._postings.get(trigram)
        if posting is None:
            return array("I")
        return posting[bisect_left(posting, first) : bisect_left(posting, last)]
