"""Distance on the sphere."""

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from typing_extensions import Self

EARTH_RADIUS_M = 6371008.8
"""The mean radius of the Earth in metres."""

MAX_LATITUDE = 90.0
"""Degrees from the equator to a pole."""

MAX_LONGITUDE = 180.0
"""Degrees from the prime meridian to the antimeridian."""


@dataclass(frozen=True, slots=True)
class Point:
    """A position in radians, with the cosine of its latitude, which every distance needs."""

    latitude: float
    longitude: float
    cos_latitude: float

    @classmethod
    def from_degrees(cls, latitude: float, longitude: float) -> Self:
        """Makes a point of degrees north (-90 to 90) and degrees east (-180 to 180)."""
        return cls(radians(latitude), radians(longitude), cos(radians(latitude)))

    def distance_m(self, other: "Point") -> float:
        """Measures the great circle to another point, in metres, by the haversine formula.

        The order of the operations is part of the contract: both arms give the same float.
        """
        sin_lat = sin((other.latitude - self.latitude) / 2)
        sin_lng = sin((other.longitude - self.longitude) / 2)
        a = sin_lat * sin_lat + self.cos_latitude * other.cos_latitude * (sin_lng * sin_lng)
        return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(a)))

    def unit_vector(self) -> tuple[float, float, float]:
        """Gives the same point on the unit sphere in three dimensions."""
        return (
            self.cos_latitude * cos(self.longitude),
            self.cos_latitude * sin(self.longitude),
            sin(self.latitude),
        )
