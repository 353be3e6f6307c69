"""How a case is written down, and the expectations that are known by the contract alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Rule = Callable[[list[Json]], bool]


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: Unique among the cases of its method.
        requests: The requests as proto-JSON, or as bytes.
        expect: Code, message and details, where they are known by the contract: an error.
        rule: What must hold of the recorded responses, where a person could say it beforehand.
        half_close: False to leave the request stream open.
        brief: True to keep only the first and the last response.
    """

    name: str
    requests: Sequence[Json] | Sequence[bytes]
    expect: Json | None = None
    rule: Rule | None = None
    half_close: bool = True
    brief: bool = False


def invalid(*violations: tuple[str, str]) -> Json:
    """Expects INVALID_ARGUMENT with these fields and descriptions."""
    return {
        "code": "INVALID_ARGUMENT",
        "message": "; ".join(f"{field}: {description}" for field, description in violations),
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {"field": field, "description": description}
                    for field, description in violations
                ],
            }
        ],
    }


def not_found(place_id: int) -> Json:
    """Expects NOT_FOUND for an id."""
    return {
        "code": "NOT_FOUND",
        "message": f"place {place_id} not found",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                "resourceType": "gazetteer.v1.Place",
                "resourceName": str(place_id),
                "description": "no place has this id",
            }
        ],
    }


MALFORMED: Json = {"code": "INTERNAL", "message": "malformed request", "details": []}
"""Expects the answer to bytes that are not a message."""


def text_field(number: int, encoded: bytes) -> bytes:
    """Encodes a field of up to 127 bytes, which need not be well-formed UTF-8."""
    return bytes([number << 3 | 2, len(encoded)]) + encoded


def first_name(name: str) -> Rule:
    """Holds if the first result of the only response is a place of this name."""
    return lambda responses: responses[0]["results"][0]["place"]["name"] == name


def result_count(count: int) -> Rule:
    """Holds if the only response has so many results."""
    return lambda responses: len(responses[0].get("results", [])) == count


BAD_UTF8: dict[str, bytes] = {
    "a lone continuation byte": b"Berlin\x80",
    "a truncated sequence": b"Z\xc3",
    "an overlong NUL": b"\xc0\x80",
    "an overlong slash": b"\xe0\x80\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "a code point above U+10FFFF": b"\xf4\x90\x80\x80",
    "Latin-1": "Zürich".encode("latin-1"),
    "a byte that never occurs": b"\xff",
}
"""Byte strings that are not UTF-8, by what they are."""
