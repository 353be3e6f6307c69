"""A place, as the data set has it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A populated place.

    Attributes:
        id: GeoNames' id, positive.
        name: The main name, in its own spelling.
        country_code: ISO 3166-1 alpha-2, upper case.
        timezone: IANA time zone.
        latitude: Degrees north, -90 to 90.
        longitude: Degrees east, -180 to 180.
        population: Inhabitants; 0 where unknown.
    """

    id: int
    name: str
    country_code: str
    timezone: str
    latitude: float
    longitude: float
    population: int
