"""The client for asyncio: the methods of `GazetteerClient`, awaited or with `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import grpc
from grpc import aio
from typing_extensions import Self

import cutover
from gazetteer import _requests, exceptions
from gazetteer._requests import Metadata, Position
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1.gazetteer_pb2_grpc import GazetteerServiceStub


class AsyncGazetteerClient:
    """The gazetteer, from one event loop. Arguments and errors as for `GazetteerClient`."""

    def __init__(self, channel: aio.Channel) -> None:
        """Uses a channel, and closes it at the end; `connect` opens one."""
        self._channel = channel
        self._stub = GazetteerServiceStub(channel)

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        sticky_key: cutover.StickyKey | None = None,
        sticky_metadata: str = "x-user-id",
        deadline: float | None = 30.0,
        retry: cutover.Retry | None = _requests.RETRY,
        tls: cutover.Tls | None = None,
    ) -> Self:
        """Opens a channel to HOST:PORT; arguments as for `cutover.channel`.

        Everything but `record_visit` is repeated on UNAVAILABLE unless `retry` says otherwise.
        """
        return cls(
            cutover.aio.channel(
                target,
                sticky_key=sticky_key,
                sticky_metadata=sticky_metadata,
                deadline=deadline,
                retry=retry,
                tls=tls,
            )
        )

    async def get_place(
        self, place_id: int, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> pb.GetPlaceResponse:
        """Reads one place, its names and how often it was visited.

        Raises:
            PlaceNotFound: No place has this id.
        """
        with _errors():
            request = _requests.get_place(place_id)
            return await self._stub.GetPlace(request, timeout=timeout, metadata=metadata)

    async def search_places(
        self,
        query: str,
        *,
        limit: int = 0,
        country_code: str = "",
        min_similarity: float | None = None,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.SearchPlacesResponse:
        """Fuzzy search over all names in all scripts, best first."""
        with _errors():
            request = _requests.search_places(query, limit, country_code, min_similarity)
            return await self._stub.SearchPlaces(request, timeout=timeout, metadata=metadata)

    async def find_nearest(
        self,
        location: Position,
        *,
        limit: int = 0,
        max_distance_m: float | None = None,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.FindNearestResponse:
        """The nearest places to a position, nearest first."""
        with _errors():
            request = _requests.find_nearest(location, limit, max_distance_m)
            return await self._stub.FindNearest(request, timeout=timeout, metadata=metadata)

    async def list_places(
        self,
        *,
        country_code: str = "",
        min_population: int = 0,
        page_size: int = 0,
        limit: int = 0,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> AsyncGenerator[pb.Place, None]:
        """Streams places in order of id. Begins at the first step; closing it ends the call."""
        request = _requests.list_places(country_code, min_population, page_size, limit)
        with _errors():
            call = self._stub.ListPlaces(request, timeout=timeout, metadata=metadata)
            try:
                async for response in call:
                    for place in response.places:
                        yield place
            finally:
                call.cancel()

    async def measure_route(
        self,
        points: Iterable[Position] | AsyncIterable[Position],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.MeasureRouteResponse:
        """Measures a route of at most 10,000 points."""
        outgoing = _requests.Outgoing(_requests.measure_route)
        with _errors(outgoing):
            requests = outgoing.each_async(points)
            return await self._stub.MeasureRoute(requests, timeout=timeout, metadata=metadata)

    async def suggest(
        self,
        prefixes: Iterable[str] | AsyncIterable[str],
        *,
        limit: int = 0,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> AsyncGenerator[pb.SuggestResponse, None]:
        """Type-ahead: one answer for each prefix, in order, while prefixes may still come.

        Begins at the first step; closing it ends the call.
        """
        outgoing = _requests.Outgoing(partial(_requests.suggest, limit=limit))
        with _errors(outgoing):
            requests = outgoing.each_async(prefixes)
            call = self._stub.Suggest(requests, timeout=timeout, metadata=metadata)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()

    async def record_visit(
        self,
        place_id: int,
        visitor: str,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.RecordVisitResponse:
        """Records a visit. A write: never repeated by itself.

        Raises:
            PlaceNotFound: No place has this id.
        """
        with _errors():
            request = _requests.record_visit(place_id, visitor)
            return await self._stub.RecordVisit(request, timeout=timeout, metadata=metadata)

    async def close(self) -> None:
        """Closes the channel and ends what is open."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


@contextmanager
def _errors(outgoing: _requests.Outgoing[Any, Any] | None = None) -> Iterator[None]:
    try:
        yield
    except (grpc.RpcError, asyncio.CancelledError) as error:
        # grpc.aio cancels a call whose requests fail, which looks like a cancelled task.
        if outgoing is not None and outgoing.error is not None:
            raise outgoing.error from None
        if isinstance(error, asyncio.CancelledError):
            raise
        raise exceptions.from_rpc_error(error) from error
