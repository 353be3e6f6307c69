"""What can go wrong when talking to the control plane.

CutoverError
├── Refused            the control plane understood and said no
├── Unavailable        it cannot be reached
└── DeadlineExceeded   it did not answer in time
"""

from __future__ import annotations

import grpc


class CutoverError(Exception):
    """An operator's call failed.

    Attributes:
        code: The gRPC status code.
        message: What the control plane, or gRPC, said.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class Refused(CutoverError):
    """The control plane refused: no such method, no such weight, nobody named, not allowed."""


class Unavailable(CutoverError):
    """The control plane cannot be reached."""


class DeadlineExceeded(CutoverError):
    """The control plane did not answer in time; a change may have been made all the same."""


_BY_CODE: dict[grpc.StatusCode, type[CutoverError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Refused,
    grpc.StatusCode.NOT_FOUND: Refused,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.ABORTED: Refused,
    grpc.StatusCode.OUT_OF_RANGE: Refused,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Refused,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc_error(error: grpc.RpcError) -> CutoverError:
    """The exception for a failed call, sync or aio."""
    code = error.code()
    return _BY_CODE.get(code, CutoverError)(code, error.details() or "")
