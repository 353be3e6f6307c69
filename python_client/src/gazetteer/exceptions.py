"""What can go wrong in a call to the gazetteer.

GazetteerError
├── PlaceNotFound      no place has this id
├── InvalidRequest     the request breaks constraints; `violations` says which
├── Unavailable        the server or its database cannot be reached
├── DeadlineExceeded   no answer in time
├── Overloaded         the server refuses more work
└── Cancelled          the call was cancelled
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken constraint of a request.

    Attributes:
        field: Path of the field, such as "location.latitude".
        description: What would be right, such as "must be between -90 and 90".
    """

    field: str
    description: str


class GazetteerError(Exception):
    """A call failed.

    Attributes:
        code: The gRPC status code.
        message: What the server, or gRPC, said.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class PlaceNotFound(GazetteerError):
    """No place has this id.

    Attributes:
        place_id: The id, where the server said it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, place_id: int | None = None) -> None:
        super().__init__(code, message)
        self.place_id = place_id


class InvalidRequest(GazetteerError):
    """The request breaks constraints.

    Attributes:
        violations: Which, in order of the fields' numbers; empty where the server said none.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, violations: tuple[Violation, ...] = ()
    ) -> None:
        super().__init__(code, message)
        self.violations = violations


class Unavailable(GazetteerError):
    """The server or its database cannot be reached."""


class DeadlineExceeded(GazetteerError):
    """No answer in time; a visit may have been recorded all the same."""


class Overloaded(GazetteerError):
    """The server refuses more work, or the message is too large."""


class Cancelled(GazetteerError):
    """The call was cancelled."""


_BY_CODE: dict[grpc.StatusCode, type[GazetteerError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def from_rpc_error(error: grpc.RpcError) -> GazetteerError:
    """The exception for a failed call, sync or aio, with its details decoded."""
    code, message = error.code(), error.details() or ""
    if code is grpc.StatusCode.NOT_FOUND:
        return PlaceNotFound(code, message, _place_id(error))
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidRequest(code, message, tuple(_violations(error)))
    return _BY_CODE.get(code, GazetteerError)(code, message)


def _violations(error: grpc.RpcError) -> Iterator[Violation]:
    for detail in _details(error):
        bad_request = BadRequest()
        if detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                yield Violation(violation.field, violation.description)


def _place_id(error: grpc.RpcError) -> int | None:
    for detail in _details(error):
        resource = ResourceInfo()
        if detail.Unpack(resource) and resource.resource_name.isdecimal():
            return int(resource.resource_name)
    return None


def _details(error: grpc.RpcError) -> list[Any]:
    # The details come from whoever answered, perhaps a broken middleman: what cannot be decoded
    # counts as absent, and the status itself stands.
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    raw = dict(pairs).get(_DETAILS)
    if not isinstance(raw, bytes):
        return []
    try:
        return list(Status.FromString(raw).details)
    except DecodeError:
        return []
