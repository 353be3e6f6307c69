"""A gazetteer of six places."""

from gazetteer_server.domain.place import Place
from gazetteer_server.load import City

NOW_MS = 1_700_000_000_000
"""The time at which all visits are recorded."""


def city(number: int, name: str, *names: str, country: str = "XX", population: int = 0) -> City:
    """Makes a place that is `number` degrees north of the equator."""
    return Place(number, name, country, "Etc/UTC", float(number), 0.0, population), names


CITIES: list[City] = [
    city(1, "Ålborg", "Aalborg", "Ольборг", country="DK", population=100),
    city(2, "Berlin", "", "Berlino", "BERLIN", "ベルリン", country="DE", population=3_000_000),
    city(3, "Bergen", country="NO", population=200_000),
    city(4, "Springfield", country="US", population=500),
    city(5, "Springfield", country="US", population=500),
    city(6, "Springfield", country="US", population=900),
]
