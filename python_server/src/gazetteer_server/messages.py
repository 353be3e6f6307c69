"""What the gazetteer found, as messages of the contract."""

from gazetteer.v1 import gazetteer_pb2 as pb

from gazetteer_server.domain.nearest import Neighbour
from gazetteer_server.domain.place import Place
from gazetteer_server.domain.search import Match
from gazetteer_server.domain.suggest import Suggestion


def place_message(place: Place) -> pb.Place:
    """Makes the message of a place."""
    return pb.Place(
        id=place.id,
        name=place.name,
        country_code=place.country_code,
        timezone=place.timezone,
        location=pb.LatLng(latitude=place.latitude, longitude=place.longitude),
        population=place.population,
    )


def match_message(match: Match) -> pb.SearchResult:
    """Makes the message of a place found by name."""
    return pb.SearchResult(
        place=place_message(match.place), score=match.score, matched_name=match.matched_name
    )


def neighbour_message(neighbour: Neighbour) -> pb.NearPlace:
    """Makes the message of a place found by position."""
    return pb.NearPlace(place=place_message(neighbour.place), distance_m=neighbour.distance_m)


def suggestion_message(suggestion: Suggestion) -> pb.Suggestion:
    """Makes the message of a suggested place."""
    return pb.Suggestion(
        place_id=suggestion.place.id,
        name=suggestion.name,
        country_code=suggestion.place.country_code,
        population=suggestion.place.population,
    )
