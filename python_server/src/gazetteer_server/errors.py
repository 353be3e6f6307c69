"""The one place where errors become gRPC statuses."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from gazetteer_server.domain.errors import (
    InvalidRequestError,
    PlaceNotFoundError,
    StoreUnavailableError,
)


class MalformedRequestError(Exception):
    """Request bytes that are not a message of the method's type."""


def status_of(error: Exception) -> grpc.Status:
    """Gives the status that tells a client of an error, with its details if it has any.

    What is not the gazetteer's own error says nothing of itself: its text may hold anything.
    """
    match error:
        case InvalidRequestError():
            violations = [
                BadRequest.FieldViolation(field=v.field, description=v.description)
                for v in error.violations
            ]
            return _rich(
                grpc.StatusCode.INVALID_ARGUMENT,
                str(error),
                BadRequest(field_violations=violations),
            )
        case PlaceNotFoundError():
            return _rich(
                grpc.StatusCode.NOT_FOUND,
                str(error),
                ResourceInfo(
                    resource_type="gazetteer.v1.Place",
                    resource_name=str(error.place_id),
                    description="no place has this id",
                ),
            )
        case StoreUnavailableError():
            return _plain(grpc.StatusCode.UNAVAILABLE, "database unavailable")
        case MalformedRequestError():
            return _plain(grpc.StatusCode.INTERNAL, "malformed request")
        case _:
            return _plain(grpc.StatusCode.INTERNAL, "internal error")


class _PlainStatus(grpc.Status):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = ()


def _plain(code: grpc.StatusCode, message: str) -> grpc.Status:
    return _PlainStatus(code, message)


def _rich(code: grpc.StatusCode, message: str, detail: Message) -> grpc.Status:
    packed = Any()
    packed.Pack(detail)
    number: int = code.value[0]
    return rpc_status.to_status(Status(code=number, message=message, details=[packed]))
