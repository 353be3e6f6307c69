"""All places and their searched names, laid out for the indexes.

Places are numbered by id, searched names by place and position, and distinct normal forms in
the order of their code points. The numbers tie the parts together in flat arrays: objects for
each of some 350,000 names would cost a multiple of the memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from gazetteer_server.domain.place import Place
from gazetteer_server.domain.text import normal_form


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Places and names by number.

    Attributes:
        places: The places, by id.
        spellings: The searched names as spelled, by place and position.
        place_of: For each name the number of its place.
        form_of: For each name the number of its normal form.
        names_from: For each place the number of its first name; one more ends the last.
        forms: The distinct normal forms, sorted by code points.
        owners: Numbers of names, grouped by their form, rising in each group.
        owners_from: For each form where its group begins in `owners`; one more ends the last.
    """

    places: list[Place]
    spellings: list[str]
    place_of: array[int]
    form_of: array[int]
    names_from: array[int]
    forms: list[str]
    owners: array[int]
    owners_from: array[int]

    def names_of_form(self, form: int) -> array[int]:
        """Gives the numbers of the names that have a normal form."""
        return self.owners[self.owners_from[form] : self.owners_from[form + 1]]

    def names_of_place(self, place: int) -> range:
        """Gives the numbers of a place's names, in order of position."""
        return range(self.names_from[place], self.names_from[place + 1])


def build_catalogue(
    places: Iterable[Place], alternate_names: Mapping[int, Iterable[str]]
) -> Catalogue:
    """Lays out places and names.

    Args:
        places: The places, in any order.
        alternate_names: For each place's id its names besides the main one, in order.

    Returns:
        The catalogue, with the names that are searched: those whose normal form is neither empty
        nor that of an earlier name of the same place.
    """
    ordered = sorted(places, key=lambda place: place.id)
    spellings: list[str] = []
    name_forms: list[str] = []
    place_of = array("I")
    names_from = array("I", [0])
    for number, place in enumerate(ordered):
        for spelling, form in _searched_names(place, alternate_names.get(place.id, ())):
            spellings.append(spelling)
            name_forms.append(form)
            place_of.append(number)
        names_from.append(len(spellings))

    forms = sorted(set(name_forms))
    number_of_form = {form: number for number, form in enumerate(forms)}
    form_of = array("I", (number_of_form[form] for form in name_forms))
    sizes = [0] * len(forms)
    for form_number in form_of:
        sizes[form_number] += 1
    return Catalogue(
        places=ordered,
        spellings=spellings,
        place_of=place_of,
        form_of=form_of,
        names_from=names_from,
        forms=forms,
        owners=array("I", sorted(range(len(form_of)), key=form_of.__getitem__)),
        owners_from=array("I", accumulate(sizes, initial=0)),
    )


def _searched_names(place: Place, alternate_names: Iterable[str]) -> Iterator[tuple[str, str]]:
    seen = {""}
    for spelling in (place.name, *alternate_names):
        form = normal_form(spelling)
        if form not in seen:
            seen.add(form)
            yield spelling, form
