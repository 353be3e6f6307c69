"""Fakes of the gazetteer and of the control plane, served by a real grpcio server.

They answer with made-up values and remember what each call brought along. The real services are
elsewhere; these only let the tests see what a client sends.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from cutover.v1 import operator_pb2 as op
from cutover.v1.control_plane_pb2 import Sample
from cutover.v1.operator_pb2_grpc import (
    OperatorServiceServicer,
    add_OperatorServiceServicer_to_server,
)
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1.gazetteer_pb2_grpc import (
    GazetteerServiceServicer,
    add_GazetteerServiceServicer_to_server,
)

ZURICH = pb.Place(
    id=2657896,
    name="Zürich",
    country_code="CH",
    timezone="Europe/Zurich",
    location=pb.LatLng(latitude=47.36667, longitude=8.55),
    population=341730,
)
WAIT_S = 20.0


@dataclass(frozen=True)
class Seen:
    """What one attempt of a call brought along."""

    method: str
    metadata: dict[str, str | bytes]
    time_remaining: float | None
    request: Message | None


@dataclass
class Recorder:
    """What a fake has seen, and how it is to fail."""

    seen: list[Seen] = field(default_factory=list)
    arrived: queue.Queue[str] = field(default_factory=queue.Queue)
    ended: queue.Queue[str] = field(default_factory=queue.Queue)
    failures: dict[str, list[tuple[grpc.StatusCode, str, tuple[Message, ...]]]] = field(
        default_factory=dict
    )
    hanging: set[str] = field(default_factory=set)

    def fail(
        self,
        method: str,
        code: grpc.StatusCode,
        message: str = "made up",
        details: tuple[Message, ...] = (),
        times: int = 1,
    ) -> None:
        """Lets the next attempts of a method fail."""
        self.failures.setdefault(method, []).extend([(code, message, details)] * times)

    def attempts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(seen.method for seen in self.seen)

    def arrive(self, method: str, context: Any, request: Message | None) -> None:
        """Remembers an attempt, then fails or hangs as told."""
        metadata: dict[str, str | bytes] = {}
        for name, value in context.invocation_metadata():
            assert name not in metadata, f"{name} was sent twice"
            metadata[name] = value
        self.seen.append(Seen(method, metadata, context.time_remaining(), request))
        self.arrived.put(method)
        over = threading.Event()

        def end() -> None:
            self.ended.put(method)
            over.set()

        assert context.add_callback(end)
        if method in self.hanging:
            assert over.wait(WAIT_S), f"nobody ended {method}"
        if self.failures.get(method):
            code, message, details = self.failures[method].pop(0)
            status = Status(code=code.value[0], message=message)
            for detail in details:
                packed = AnyMessage()
                packed.Pack(detail)
                status.details.append(packed)
            context.abort_with_status(rpc_status.to_status(status))


class FakeGazetteer(Recorder, GazetteerServiceServicer):
    def GetPlace(self, request: pb.GetPlaceRequest, context: Any) -> pb.GetPlaceResponse:
        self.arrive("GetPlace", context, request)
        return pb.GetPlaceResponse(place=ZURICH, alternate_names=["Zurigo"], visit_count=7)

    def SearchPlaces(
        self, request: pb.SearchPlacesRequest, context: Any
    ) -> pb.SearchPlacesResponse:
        self.arrive("SearchPlaces", context, request)
        result = pb.SearchResult(place=ZURICH, score=1.0553, matched_name="Zürich")
        return pb.SearchPlacesResponse(results=[result], search_id="0" * 32)

    def FindNearest(self, request: pb.FindNearestRequest, context: Any) -> pb.FindNearestResponse:
        self.arrive("FindNearest", context, request)
        return pb.FindNearestResponse(results=[pb.NearPlace(place=ZURICH, distance_m=1234.5)])

    def ListPlaces(
        self, request: pb.ListPlacesRequest, context: Any
    ) -> Iterator[pb.ListPlacesResponse]:
        self.arrive("ListPlaces", context, request)
        page = 0
        while context.is_active() and (request.limit == 0 or page * 2 < request.limit):
            yield pb.ListPlacesResponse(places=[ZURICH, ZURICH], page=page)
            page += 1

    def MeasureRoute(
        self, request_iterator: Iterator[pb.MeasureRouteRequest], context: Any
    ) -> pb.MeasureRouteResponse:
        self.arrive("MeasureRoute", context, None)
        points = [request.point for request in request_iterator]
        return pb.MeasureRouteResponse(
            distance_m=sum(point.latitude for point in points), point_count=len(points)
        )

    def Suggest(
        self, request_iterator: Iterator[pb.SuggestRequest], context: Any
    ) -> Iterator[pb.SuggestResponse]:
        self.arrive("Suggest", context, None)
        for sequence, request in enumerate(request_iterator):
            suggestion = pb.Suggestion(place_id=ZURICH.id, name=request.prefix, country_code="CH")
            yield pb.SuggestResponse(sequence=sequence, suggestions=[suggestion])

    def RecordVisit(self, request: pb.RecordVisitRequest, context: Any) -> pb.RecordVisitResponse:
        self.arrive("RecordVisit", context, request)
        return pb.RecordVisitResponse(visit_id=1, visit_count=8)


class FakeOperator(Recorder, OperatorServiceServicer):
    def GetStatus(self, request: op.GetStatusRequest, context: Any) -> op.GetStatusResponse:
        self.arrive("GetStatus", context, request)
        return op.GetStatusResponse(status=op.Status(name="fake", generation=41))

    def WatchStatus(
        self, request: op.WatchStatusRequest, context: Any
    ) -> Iterator[op.WatchStatusResponse]:
        self.arrive("WatchStatus", context, request)
        generation = 0
        while context.is_active():
            yield op.WatchStatusResponse(status=op.Status(name="fake", generation=generation))
            generation += 1

    def SetWeight(self, request: op.SetWeightRequest, context: Any) -> op.SetWeightResponse:
        self.arrive("SetWeight", context, request)
        return op.SetWeightResponse(status=op.Status(name="fake"))

    def MoveRamp(self, request: op.MoveRampRequest, context: Any) -> op.MoveRampResponse:
        self.arrive("MoveRamp", context, request)
        return op.MoveRampResponse(status=op.Status(name="fake"))

    def ListDifferences(
        self, request: op.ListDifferencesRequest, context: Any
    ) -> op.ListDifferencesResponse:
        self.arrive("ListDifferences", context, request)
        return op.ListDifferencesResponse(samples=[Sample(id=3), Sample(id=2)])

    def ListTracePairs(
        self, request: op.ListTracePairsRequest, context: Any
    ) -> op.ListTracePairsResponse:
        self.arrive("ListTracePairs", context, request)
        return op.ListTracePairsResponse(pairs=[op.TracePair(trace_id="1" * 32)])

    def ListDecisions(
        self, request: op.ListDecisionsRequest, context: Any
    ) -> op.ListDecisionsResponse:
        self.arrive("ListDecisions", context, request)
        return op.ListDecisionsResponse(decisions=[op.Decision(id=9, action="pause")])

    def GetReport(self, request: op.GetReportRequest, context: Any) -> op.GetReportResponse:
        self.arrive("GetReport", context, request)
        return op.GetReportResponse(compared=1000, mismatched=1)


@contextmanager
def serve(*fakes: FakeGazetteer | FakeOperator) -> Iterator[str]:
    """Serves fakes on a port of the kernel's choice; gives HOST:PORT."""
    # One port belongs to one server: a shared one would answer another test's calls.
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)]
    )
    for fake in fakes:
        if isinstance(fake, FakeGazetteer):
            add_GazetteerServiceServicer_to_server(fake, server)
        else:
            add_OperatorServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
