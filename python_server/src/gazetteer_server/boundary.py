"""The layer around every method: whatever goes wrong inside leaves as one defined status.

Handlers raise; here is the only place that aborts a call. Requests that cannot be decoded come
in as errors too: grpcio on its own would answer them before any layer sees them.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import grpc

from gazetteer_server.domain.errors import GazetteerError, StoreUnavailableError
from gazetteer_server.errors import MalformedRequestError, status_of

_log = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, grpc.ServicerContext], Any]
Decode = Callable[[bytes], Any]


class ErrorBoundary(grpc.ServerInterceptor):
    """Turns errors of the methods of one service into statuses; other services pass through."""

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Handler | None"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wraps the handler of one method."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        decode = _never_failing(handler.request_deserializer)
        encode = handler.response_serializer
        if handler.response_streaming:
            if handler.request_streaming:
                guarded = _guard_stream(method, _checked_each(handler.stream_stream))
                return grpc.stream_stream_rpc_method_handler(guarded, decode, encode)
            guarded = _guard_stream(method, _checked(handler.unary_stream))
            return grpc.unary_stream_rpc_method_handler(guarded, decode, encode)
        if handler.request_streaming:
            guarded = _guard(method, _checked_each(handler.stream_unary))
            return grpc.stream_unary_rpc_method_handler(guarded, decode, encode)
        guarded = _guard(method, _checked(handler.unary_unary))
        return grpc.unary_unary_rpc_method_handler(guarded, decode, encode)


class _Malformed:
    """Stands for a request that could not be decoded."""


def _never_failing(decode: Decode | None) -> Decode:
    if decode is None:
        raise ValueError("a method of the service has no deserializer")

    def decode_or_mark(encoded: bytes) -> object:
        try:
            return decode(encoded)
        except Exception:
            return _Malformed()

    return decode_or_mark


def _check(request: object) -> object:
    if isinstance(request, _Malformed):
        raise MalformedRequestError
    return request


def _checked(behavior: Behavior | None) -> Behavior:
    called = _present(behavior)
    return lambda request, context: called(_check(request), context)


def _checked_each(behavior: Behavior | None) -> Behavior:
    called = _present(behavior)
    return lambda requests, context: called(map(_check, requests), context)


def _present(behavior: Behavior | None) -> Behavior:
    if behavior is None:
        raise ValueError("a method of the service has no behavior of its own kind")
    return behavior


def _guard(method: str, behavior: Behavior) -> Behavior:
    def guarded(request: object, context: grpc.ServicerContext) -> object:
        try:
            return behavior(request, context)
        except Exception as error:
            _end(method, context, error)

    return guarded


def _guard_stream(method: str, behavior: Behavior) -> Behavior:
    def guarded(request: object, context: grpc.ServicerContext) -> Iterator[object]:
        try:
            yield from behavior(request, context)
        except Exception as error:
            _end(method, context, error)

    return guarded


def _end(method: str, context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """Ends a call with the status of an error, and logs what an operator should see."""
    if isinstance(error, grpc.RpcError):
        # The requests ended because the client is gone or its deadline has passed.
        raise error
    if isinstance(error, StoreUnavailableError):
        _log.error("database unavailable", extra={"method": method}, exc_info=error)
    elif not isinstance(error, GazetteerError | MalformedRequestError):
        _log.error("unexpected error", extra={"method": method}, exc_info=error)
    status = status_of(error)
    context.set_trailing_metadata(status.trailing_metadata or ())
    # Not abort_with_status: tracing sees the code only through abort.
    context.abort(status.code, status.details)
