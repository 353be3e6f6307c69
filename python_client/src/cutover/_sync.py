"""The channel for threads: `cutover.channel`, and the interceptor behind it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from cutover import _call
from cutover._config import CallDefaults, Retry, StickyKey, Tls, channel_options

Q = TypeVar("Q")
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741 - what goes into a call: a request, or an iterator of them


def channel(
    target: str,
    *,
    sticky_key: StickyKey | None = None,
    sticky_metadata: str = "x-user-id",
    deadline: float | None = 30.0,
    retry: Retry | None = None,
    tls: Tls | None = None,
    keepalive: float | None = 330.0,
) -> grpc.Channel:
    """Opens a channel whose calls have a deadline, a sticky key and a trace.

    Args:
        target: HOST:PORT, or any other target that gRPC understands.
        sticky_key: Fixes the arm that answers; a string, or a function asked at each call.
        sticky_metadata: Name of the metadata that carries the sticky key.
        deadline: Seconds for each call that brings no timeout of its own; None for no deadline. A
            call with `timeout=math.inf` has none either.
        retry: What to repeat; None repeats nothing.
        tls: TLS towards the server; None for clear text.
        keepalive: Seconds between pings while a call is open; None for none. Servers of gRPC take
            pings more often than every 300 s for abuse and close the connection.

    Returns:
        A channel of grpcio, for any stub. Connects at the first call.

    Raises:
        ValueError: An argument is out of its range.
    """
    defaults = CallDefaults(
        deadline=deadline, sticky_key=sticky_key, sticky_metadata=sticky_metadata
    )
    options = channel_options(retry=retry, tls=tls, keepalive=keepalive)
    if tls is None:
        plain = grpc.insecure_channel(target, options)
    else:
        plain = grpc.secure_channel(target, tls.credentials(), options)
    return grpc.intercept_channel(plain, _Interceptor(defaults))


class _Details(
    namedtuple(
        "_Details",
        ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"),
    ),
    grpc.ClientCallDetails,
):
    """grpcio offers only the abstract class."""


class _Interceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, defaults: CallDefaults) -> None:
        self._defaults = defaults

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Q], grpc._CallFuture[R]],
        client_call_details: grpc.ClientCallDetails,
        request: Q,
    ) -> grpc._CallFuture[R]:
        return self._one_response(continuation, client_call_details, request)

    def intercept_stream_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Iterator[Q]], grpc._CallFuture[R]],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Q],
    ) -> grpc._CallFuture[R]:
        return self._one_response(continuation, client_call_details, request_iterator)

    def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Q], grpc._CallIterator[R]],
        client_call_details: grpc.ClientCallDetails,
        request: Q,
    ) -> grpc._CallIterator[R]:
        return self._many_responses(continuation, client_call_details, request)

    def intercept_stream_stream(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Iterator[Q]], grpc._CallIterator[R]],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Q],
    ) -> grpc._CallIterator[R]:
        return self._many_responses(continuation, client_call_details, request_iterator)

    def _one_response(
        self,
        continuation: Callable[[grpc.ClientCallDetails, I], grpc._CallFuture[R]],
        details: grpc.ClientCallDetails,
        sent: I,
    ) -> grpc._CallFuture[R]:
        prepared = self._prepare(details)
        try:
            call = continuation(_details(details, prepared), sent)
        except BaseException:
            prepared.end(None)
            raise
        call.add_done_callback(lambda _: prepared.end(call.code()))
        return call

    def _many_responses(
        self,
        continuation: Callable[[grpc.ClientCallDetails, I], grpc._CallIterator[R]],
        details: grpc.ClientCallDetails,
        sent: I,
    ) -> grpc._CallIterator[R]:
        prepared = self._prepare(details)
        try:
            call = continuation(_details(details, prepared), sent)
        except BaseException:
            prepared.end(None)
            raise
        if not call.add_callback(lambda: prepared.end(call.code())):
            prepared.end(call.code())
        return call

    def _prepare(self, details: grpc.ClientCallDetails) -> _call.PreparedCall:
        return _call.prepare(
            self._defaults,
            method=details.method,
            timeout=details.timeout,
            metadata=details.metadata,
        )


def _details(
    details: grpc.ClientCallDetails, prepared: _call.PreparedCall
) -> grpc.ClientCallDetails:
    return _Details(
        details.method,
        prepared.timeout,
        prepared.metadata,
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )
