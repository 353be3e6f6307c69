"""The gazetteer as a whole: its indexes, built once and never changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gazetteer_server.domain.catalogue import build_catalogue
from gazetteer_server.domain.nearest import NearestIndex
from gazetteer_server.domain.place import Place
from gazetteer_server.domain.search import SearchIndex
from gazetteer_server.domain.suggest import SuggestIndex


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """What is answered from memory. Safe to use from any number of threads."""

    search: SearchIndex
    nearest: NearestIndex
    suggest: SuggestIndex


def build_gazetteer(
    places: Iterable[Place], alternate_names: Mapping[int, Iterable[str]]
) -> Gazetteer:
    """Builds all indexes.

    Args:
        places: The places, in any order.
        alternate_names: For each place's id its names besides the main one, in order.

    Returns:
        The gazetteer.
    """
    catalogue = build_catalogue(places, alternate_names)
    return Gazetteer(
        search=SearchIndex(catalogue),
        nearest=NearestIndex(catalogue.places),
        suggest=SuggestIndex(catalogue),
    )
