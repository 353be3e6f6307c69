"""What can be wrong with a request, in the gazetteer's own words."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken constraint.

    Attributes:
        field: Path of the field, such as "location.latitude".
        description: What would be right, such as "must be positive".
    """

    field: str
    description: str


class GazetteerError(Exception):
    """Anything that the gazetteer refuses or fails to do, by its own rules."""


class InvalidRequestError(GazetteerError):
    """A request that breaks at least one constraint."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))


class PlaceNotFoundError(GazetteerError):
    """An id that no place has."""

    def __init__(self, place_id: int) -> None:
        self.place_id = place_id
        super().__init__(f"place {place_id} not found")


class StoreUnavailableError(GazetteerError):
    """A database that did not answer; the cause is chained."""
