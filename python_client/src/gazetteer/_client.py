"""The client for threads."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import grpc
from typing_extensions import Self

import cutover
from gazetteer import _requests, exceptions
from gazetteer._requests import Metadata, Position
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1.gazetteer_pb2_grpc import GazetteerServiceStub


class GazetteerClient:
    """The gazetteer, from any thread.

    Every method takes `timeout`, seconds in place of the channel's deadline, and `metadata` to
    send along, and raises `GazetteerError`. Answers are the messages of `gazetteer.v1`.
    """

    def __init__(self, channel: grpc.Channel) -> None:
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
            cutover.channel(
                target,
                sticky_key=sticky_key,
                sticky_metadata=sticky_metadata,
                deadline=deadline,
                retry=retry,
                tls=tls,
            )
        )

    def get_place(
        self, place_id: int, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> pb.GetPlaceResponse:
        """Reads one place, its names and how often it was visited.

        Raises:
            PlaceNotFound: No place has this id.
        """
        with _errors():
            request = _requests.get_place(place_id)
            return self._stub.GetPlace(request, timeout=timeout, metadata=metadata)

    def search_places(
        self,
        query: str,
        *,
        limit: int = 0,
        country_code: str = "",
        min_similarity: float | None = None,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.SearchPlacesResponse:
        """Fuzzy search over all names in all scripts, best first.

        Args:
            query: 1 to 200 characters.
            limit: At most so many results, up to 100; 0 means 10.
            country_code: Only places of this country, such as "CH"; empty for all.
            min_similarity: 0.1 to 1; None means 0.3.
            timeout: Seconds.
            metadata: To send along.
        """
        with _errors():
            request = _requests.search_places(query, limit, country_code, min_similarity)
            return self._stub.SearchPlaces(request, timeout=timeout, metadata=metadata)

    def find_nearest(
        self,
        location: Position,
        *,
        limit: int = 0,
        max_distance_m: float | None = None,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.FindNearestResponse:
        """The nearest places to a position, nearest first.

        Args:
            location: Degrees north and degrees east.
            limit: At most so many results, up to 100; 0 means 10.
            max_distance_m: Only places at most so many metres away; None for no bound.
            timeout: Seconds.
            metadata: To send along.
        """
        with _errors():
            request = _requests.find_nearest(location, limit, max_distance_m)
            return self._stub.FindNearest(request, timeout=timeout, metadata=metadata)

    def list_places(
        self,
        *,
        country_code: str = "",
        min_population: int = 0,
        page_size: int = 0,
        limit: int = 0,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Generator[pb.Place, None, None]:
        """Streams places in order of id. Begins at the first `next`; closing it ends the call.

        Args:
            country_code: Only places of this country, such as "CH"; empty for all.
            min_population: Only places with at least so many inhabitants.
            page_size: Places in a message, up to 1,000; 0 means 50.
            limit: How many places at most in all; 0 means no bound.
            timeout: Seconds, for the whole stream.
            metadata: To send along.
        """
        request = _requests.list_places(country_code, min_population, page_size, limit)
        with _errors():
            call = self._stub.ListPlaces(request, timeout=timeout, metadata=metadata)
            try:
                for response in call:
                    yield from response.places
            finally:
                call.cancel()

    def measure_route(
        self,
        points: Iterable[Position],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> pb.MeasureRouteResponse:
        """Measures a route of at most 10,000 points. `points` is read in another thread."""
        outgoing = _requests.Outgoing(_requests.measure_route)
        with _errors(outgoing):
            requests = outgoing.each(points)
            return self._stub.MeasureRoute(requests, timeout=timeout, metadata=metadata)

    def suggest(
        self,
        prefixes: Iterable[str],
        *,
        limit: int = 0,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Generator[pb.SuggestResponse, None, None]:
        """Type-ahead: one answer for each prefix, in order, while prefixes may still come.

        Begins at the first `next`; closing it ends the call. `prefixes` is read in another thread.

        Args:
            prefixes: What was typed so far, again and again.
            limit: At most so many suggestions each, up to 20; 0 means 5.
            timeout: Seconds, for the whole stream.
            metadata: To send along.
        """
        outgoing = _requests.Outgoing(partial(_requests.suggest, limit=limit))
        with _errors(outgoing):
            requests = outgoing.each(prefixes)
            call = self._stub.Suggest(requests, timeout=timeout, metadata=metadata)
            try:
                yield from call
            finally:
                call.cancel()

    def record_visit(
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
            return self._stub.RecordVisit(request, timeout=timeout, metadata=metadata)

    def close(self) -> None:
        """Closes the channel and ends what is open."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _errors(outgoing: _requests.Outgoing[Any, Any] | None = None) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        if outgoing is not None and outgoing.error is not None:
            raise outgoing.error from None
        raise exceptions.from_rpc_error(error) from error
