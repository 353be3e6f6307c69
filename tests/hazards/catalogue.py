"""The hazards, and by what name the comparison has to call each.

A name is where the difference is: the path of a field, the key of an operation, or a gate of the
ramp. Where one mistake shows in several places, each of them is a right name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import flags


class Setup(Enum):
    """What the hazard needs to show itself."""

    PAIRS = "pairs"
    """Weight 0: every call is answered by the legacy and mirrored to the candidate."""
    WRITES = "writes"
    """Likewise, with visits recorded by both arms."""
    ROUTED = "routed"
    """Weight 50: the candidate answers every second caller."""


@dataclass(frozen=True)
class Name:
    """A right name for a hazard; the path is a regular expression for all of it."""

    subject: str
    methods: str
    path: str
    kinds: str = ".*"

    def fits(self, flag: flags.Flag) -> bool:
        """Whether a flag says this."""
        return flag.subject == self.subject and all(
            re.fullmatch(pattern, text)
            for pattern, text in (
                (self.methods, flag.method),
                (self.path, flag.path),
                (self.kinds, flag.kind),
            )
        )

    def __str__(self) -> str:
        if self.subject == "gate":
            return f"{self.methods}: gate {self.path.replace('|', ' or ')}"
        path = self.path.replace("\\", "").replace(".*", "…")
        kinds = "" if self.kinds == ".*" else f" ({self.kinds.replace('|', ' or ')})"
        return f"{self.methods.replace('|', ' or ')}: {path}{kinds}"


@dataclass(frozen=True)
class Hazard:
    """One broken candidate, and what it has to be caught by."""

    name: str
    expected: Sequence[Name]
    setup: Setup = Setup.PAIRS
    limit: str = ""
    """Why the comparison does not see it, where that is known; told only if it is missed."""

    @property
    def words(self) -> str:
        """The right names, for a table."""
        return "; ".join(map(str, self.expected))


def _field(methods: str, path: str, kinds: str = ".*") -> Name:
    return Name("field", methods, path, kinds)


def _operation(method: str, path: str, kinds: str) -> Name:
    return Name("operation", method, path, kinds)


def _gate(method: str, path: str) -> Name:
    return Name("gate", method, path)


_SEARCHED = _field("SearchPlaces", r"results.*")
_SUGGESTED = _field("Suggest", r"suggestions.*")
_NEAR = _field("FindNearest", r"results.*")
_STATUS = r"grpc_status"
_DETAILS = r"grpc_details.*"

_RARE = "it takes more calls to prove what only one call in a hundred shows"

HAZARDS = (
    # Numbers.
    Hazard("score-rounding", [_field("SearchPlaces", r"results\[\]\.score", "value")]),
    Hazard("natural-logarithm", [_field("SearchPlaces", r"results\[\]\.score", "value")]),
    Hazard("single-precision", [_field("FindNearest", r"results\[\]\.distance_m", "value")]),
    Hazard(
        "round-radius",
        [
            _field("FindNearest", r"results\[\]\.distance_m", "value"),
            _field("MeasureRoute", r"distance_m|longest_leg_m", "value"),
        ],
    ),
    Hazard("sum-backwards", [_field("MeasureRoute", r"distance_m", "value")]),
    Hazard(
        "remainder-sign",
        [_field("GetPlace", r"place\.location\.(latitude|longitude)", "value")],
    ),
    Hazard(
        "narrow-population", [_field("SearchPlaces", r"results\[\]\.place\.population", "value")]
    ),
    # Texts.
    Hazard("lower-casing", [_SEARCHED, _SUGGESTED]),
    Hazard("marks-kept", [_SEARCHED, _SUGGESTED]),
    Hazard("length-in-bytes", [_field("SearchPlaces|Suggest|RecordVisit", _STATUS)]),
    Hazard("country-in-any-case", [_field("SearchPlaces|ListPlaces", _STATUS)]),
    # Order.
    Hazard("ties-by-id-falling", [_SEARCHED, _NEAR, _SUGGESTED]),
    Hazard("cut-before-sort", [_SEARCHED, _NEAR, _SUGGESTED]),
    Hazard(
        "one-too-few",
        [
            _field("SearchPlaces|FindNearest", r"results", "length|missing"),
            _field("Suggest", r"suggestions", "length|missing"),
        ],
    ),
    Hazard("names-sorted", [_field("GetPlace", r"alternate_names(\[\])?", "order")]),
    Hazard("names-from-a-set", [_field("GetPlace", r"alternate_names(\[\])?")]),
    # Fields.
    Hazard("unset-is-least", [_field("SearchPlaces", r"results", "length|extra")]),
    Hazard("other-default-limit", [_field("SearchPlaces|FindNearest", r"results", "length|extra")]),
    Hazard("main-name-matched", [_field("SearchPlaces", r"results\[\]\.matched_name", "value")]),
    Hazard("names-distinct", [_field("GetPlace", r"alternate_names(\[\])?")]),
    Hazard("visits-forgotten", [_field("GetPlace", r"visit_count", "value|missing")]),
    Hazard("distance-in-kilometres", [_field("FindNearest", r"results", "length|extra")]),
    # Streams.
    Hazard("last-page-missing", [_field("ListPlaces", r"messages", "message_count")]),
    Hazard("pages-from-one", [_field("ListPlaces", r"page", "value")]),
    Hazard("empty-page", [_field("ListPlaces", r"messages", "message_count")]),
    Hazard("page-size-ignored", [_field("ListPlaces", r"messages|places")]),
    Hazard("empty-prefix-unanswered", [_field("Suggest", r"messages|sequence")]),
    Hazard("error-swallowed", [_field("Suggest", _STATUS)]),
    Hazard("late-error", [_field("MeasureRoute", _STATUS)]),
    # Statuses.
    Hazard("not-found-as-unknown", [_field("GetPlace", _STATUS)]),
    Hazard("invalid-as-out-of-range", [_field(".*", _STATUS)]),
    Hazard("details-missing", [_field(".*", _DETAILS)]),
    Hazard("first-violation-only", [_field(".*", _DETAILS), _field(".*", "grpc_message")]),
    # Effects.
    Hazard("names-one-by-one", [_operation("GetPlace", ".* SELECT names", "n_plus_one|count")]),
    Hazard(
        "visits-read-to-count",
        [_operation("GetPlace", ".* SELECT (count )?visits", ".*")],
    ),
    Hazard("double-write", [_operation("RecordVisit", ".* INSERT visits", "count")], Setup.WRITES),
    Hazard(
        "write-missing", [_operation("RecordVisit", ".* INSERT visits", "missing")], Setup.WRITES
    ),
    Hazard(
        "flaky",
        [_gate("GetPlace", "error_rate|paired_errors"), _field("GetPlace", _STATUS)],
        Setup.ROUTED,
    ),
    Hazard(
        "seldom-flaky",
        [_gate("GetPlace", "error_rate|paired_errors"), _field("GetPlace", _STATUS)],
        Setup.ROUTED,
    ),
    Hazard("slow", [_gate("FindNearest", "latency")], Setup.ROUTED),
    Hazard("slow-tail", [_gate("FindNearest", "latency")], Setup.ROUTED, limit=_RARE),
    Hazard("leak", [_gate(".*", "memory")], Setup.ROUTED),
)
