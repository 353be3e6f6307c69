"""The channel for asyncio: `cutover.aio.channel`, and the interceptors behind it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeAlias, TypeVar

import grpc
from grpc import aio

from cutover import _call
from cutover._config import CallDefaults, Retry, StickyKey, Tls, channel_options

Q = TypeVar("Q")
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741 - what goes into a call: a request, or an iterator of them
C = TypeVar("C", bound=aio.Call)
Requests: TypeAlias = AsyncIterable[Q] | Iterable[Q]


def channel(
    target: str,
    *,
    sticky_key: StickyKey | None = None,
    sticky_metadata: str = "x-user-id",
    deadline: float | None = 30.0,
    retry: Retry | None = None,
    tls: Tls | None = None,
    keepalive: float | None = 330.0,
) -> aio.Channel:
    """Opens a channel of `grpc.aio`; arguments and errors are those of `cutover.channel`."""
    defaults = CallDefaults(
        deadline=deadline, sticky_key=sticky_key, sticky_metadata=sticky_metadata
    )
    options = channel_options(retry=retry, tls=tls, keepalive=keepalive)
    # grpc.aio sorts an interceptor under the first kind that it is an instance of, hence four.
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    interceptors = [kind(defaults) for kind in kinds]
    if tls is None:
        return aio.insecure_channel(target, options, interceptors=interceptors)
    return aio.secure_channel(target, tls.credentials(), options, interceptors=interceptors)


class _Interceptor:
    def __init__(self, defaults: CallDefaults) -> None:
        self._defaults = defaults

    async def _intercept(
        self,
        continuation: Callable[[aio.ClientCallDetails, I], Awaitable[C]],
        details: aio.ClientCallDetails,
        sent: I,
    ) -> C:
        prepared = _call.prepare(
            self._defaults,
            method=details.method,
            timeout=details.timeout,
            metadata=details.metadata,
        )
        try:
            call = await continuation(_details(details, prepared), sent)
        except BaseException:
            prepared.end(None)
            raise
        # The call is under way, not done: to await its end here would hold it back from cancel().
        call.add_done_callback(lambda _: prepared.end(_code_of_done(call)))
        return call


class _UnaryUnary(_Interceptor, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Q], Awaitable[aio.UnaryUnaryCall[Q, R]]],
        client_call_details: aio.ClientCallDetails,
        request: Q,
    ) -> aio.UnaryUnaryCall[Q, R]:
        return await self._intercept(continuation, client_call_details, request)


class _UnaryStream(_Interceptor, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Q], Awaitable[aio.UnaryStreamCall[Q, R]]],
        client_call_details: aio.ClientCallDetails,
        request: Q,
    ) -> aio.UnaryStreamCall[Q, R]:
        return await self._intercept(continuation, client_call_details, request)


class _StreamUnary(_Interceptor, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Callable[
            [aio.ClientCallDetails, Requests[Q]], Awaitable[aio.StreamUnaryCall[Q, R]]
        ],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Requests[Q],
    ) -> aio.StreamUnaryCall[Q, R]:
        return await self._intercept(continuation, client_call_details, request_iterator)


class _StreamStream(_Interceptor, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[
            [aio.ClientCallDetails, Requests[Q]], Awaitable[aio.StreamStreamCall[Q, R]]
        ],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Requests[Q],
    ) -> aio.StreamStreamCall[Q, R]:
        return await self._intercept(continuation, client_call_details, request_iterator)


def _details(details: aio.ClientCallDetails, prepared: _call.PreparedCall) -> aio.ClientCallDetails:
    return aio.ClientCallDetails(
        details.method,
        prepared.timeout,
        aio.Metadata(*prepared.metadata),
        details.credentials,
        details.wait_for_ready,
    )


def _code_of_done(call: aio.Call) -> grpc.StatusCode | None:
    # The code of a call that is done needs no waiting: its coroutine ends at the first step.
    coroutine = call.code()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        code: grpc.StatusCode = stop.value
        return code
    coroutine.close()
    return None
