"""Type-ahead: the most populous places with a name that begins with a prefix."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby

from gazetteer_server.domain.catalogue import Catalogue
from gazetteer_server.domain.place import Place

MAX_SUGGESTIONS = 20
"""Suggestions to one prefix."""

_SHORT = 2
"""Prefixes up to so many code points are answered from a table: they begin most names."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One suggested place.

    Attributes:
        place: The place.
        name: The first of its names that begins with the prefix, as spelled.
    """

    place: Place
    name: str


class SuggestIndex:
    """The sorted forms: those with a common prefix are one run, found by bisection."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        places = catalogue.places
        self._by_population = array(
            "I", sorted(range(len(places)), key=lambda i: (-places[i].population, i))
        )
        order = array("I", bytes(self._by_population.itemsize * len(places)))
        for rank, place in enumerate(self._by_population):
            order[place] = rank
        # For each of the catalogue's `owners` the rank of its place by population.
        self._ranks = array("I", (order[catalogue.place_of[name]] for name in catalogue.owners))
        self._short = self._answers_to_short_prefixes()

    def suggest(self, prefix: str, *, limit: int) -> list[Suggestion]:
        """Suggests places.

        Args:
            prefix: A normal form; empty gets no suggestion.
            limit: How many at most, up to `MAX_SUGGESTIONS`.

        Returns:
            The places by population (falling), id (rising).
        """
        if not prefix:
            return []
        forms = self._catalogue.forms
        width = len(prefix)
        first = bisect_left(forms, prefix)
        last = bisect_right(forms, prefix, lo=first, key=lambda form: form[:width])
        best = self._short[prefix] if prefix in self._short else self._best(first, last)
        return [self._suggestion(self._by_population[rank], first, last) for rank in best[:limit]]

    def _suggestion(self, place: int, first: int, last: int) -> Suggestion:
        catalogue = self._catalogue
        name = next(
            name
            for name in catalogue.names_of_place(place)
            if first <= catalogue.form_of[name] < last
        )
        return Suggestion(catalogue.places[place], catalogue.spellings[name])

    def _best(self, first: int, last: int) -> list[int]:
        owners_from = self._catalogue.owners_from
        return nsmallest(MAX_SUGGESTIONS, set(self._ranks[owners_from[first] : owners_from[last]]))

    def _answers_to_short_prefixes(self) -> dict[str, array[int]]:
        answers: dict[str, array[int]] = {}
        for width in range(1, _SHORT + 1):
            first = 0
            for prefix, run in groupby(self._catalogue.forms, key=lambda form: form[:width]):
                last = first + sum(1 for _ in run)
                if len(prefix) == width:
                    answers[prefix] = array("I", self._best(first, last))
                first = last
        return answers
