"""Callers in one thread: a bounded number of calls at a time, bytes in and bytes out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

import grpc
from calls import SERVICE, Call

AT_ONCE = 4
"""Calls under way at most: more would only wait for a core, and times would say how long."""
DEADLINE_S = 20.0
PATIENCE_S = 1.0
"""How long a caller that holds its stream open waits for the answer before it ends it."""

_STREAMS = {
    "ListPlaces": (False, True),
    "MeasureRoute": (True, False),
    "Suggest": (True, True),
}


class Callers:
    """Calls a server; keeps count of the statuses."""

    def __init__(self, target: str) -> None:
        """Connects at the first call."""
        self._loop = asyncio.new_event_loop()
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self.by_status: Counter[str] = Counter()

    def make(self, calls: Iterable[Call]) -> None:
        """Makes the calls, and waits until all have ended."""
        self._loop.run_until_complete(self._make(iter(calls)))

    async def _make(self, calls: Iterable[Call]) -> None:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._target)

        async def caller(channel: grpc.aio.Channel) -> None:
            # All callers share the iterator: each takes the next call when it is free.
            for call in calls:
                self.by_status[await _one(channel, call)] += 1

        await asyncio.gather(*(caller(self._channel) for _ in range(AT_ONCE)))

    def close(self) -> None:
        """Closes the connection."""
        if self._channel is not None:
            self._loop.run_until_complete(self._channel.close())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _one(channel: grpc.aio.Channel, call: Call) -> str:
    path = f"/{SERVICE}/{call.method}"
    options = {"metadata": (("x-user-id", call.user),), "timeout": DEADLINE_S}
    sends_many, gets_many = _STREAMS.get(call.method, (False, False))
    ended = asyncio.Event()

    async def messages() -> AsyncIterator[bytes]:
        for message in call.messages:
            yield message
        if call.holds_open:
            try:
                await asyncio.wait_for(ended.wait(), PATIENCE_S)
            except TimeoutError:
                return

    try:
        if sends_many and gets_many:
            answers = channel.stream_stream(path)(messages(), **options)
            async for _ in answers:
                pass
        elif sends_many:
            answer = channel.stream_unary(path)(messages(), **options)
            answer.add_done_callback(lambda _: ended.set())
            await answer
        elif gets_many:
            async for _ in channel.unary_stream(path)(call.messages[0], **options):
                pass
        else:
            await channel.unary_unary(path)(call.messages[0], **options)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"
