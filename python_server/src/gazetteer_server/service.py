"""The seven methods of the contract: parse, ask, answer. Errors are left to the boundary."""

import secrets
from collections.abc import Callable, Iterator

import grpc
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc

from gazetteer_server import requests
from gazetteer_server.domain.gazetteer import Gazetteer
from gazetteer_server.domain.route import Route
from gazetteer_server.messages import (
    match_message,
    neighbour_message,
    place_message,
    suggestion_message,
)
from gazetteer_server.store import Store

SERVICE = pb.DESCRIPTOR.services_by_name["GazetteerService"].full_name
"""The full name of the service."""


class GazetteerService(pb_grpc.GazetteerServiceServicer):
    """The gazetteer behind `gazetteer.v1.GazetteerService`.

    Args:
        gazetteer: What is answered from memory.
        store: What is read and written at call time.
        now_ms: Gives the milliseconds since 1970.
    """

    def __init__(self, gazetteer: Gazetteer, store: Store, *, now_ms: Callable[[], int]) -> None:
        self._gazetteer = gazetteer
        self._store = store
        self._now_ms = now_ms

    def GetPlace(
        self, request: pb.GetPlaceRequest, context: grpc.ServicerContext
    ) -> pb.GetPlaceResponse:
        """Reads one place, its names and how often it was visited."""
        place, names, visits = self._store.get_place(requests.parse_get_place(request))
        return pb.GetPlaceResponse(
            place=place_message(place), alternate_names=names, visit_count=visits
        )

    def SearchPlaces(
        self, request: pb.SearchPlacesRequest, context: grpc.ServicerContext
    ) -> pb.SearchPlacesResponse:
        """Searches over all names in all scripts."""
        search = requests.parse_search(request)
        matches = self._gazetteer.search.search(
            search.form,
            limit=search.limit,
            country_code=search.country_code,
            min_similarity=search.min_similarity,
        )
        return pb.SearchPlacesResponse(
            results=map(match_message, matches), search_id=secrets.token_hex(16)
        )

    def FindNearest(
        self, request: pb.FindNearestRequest, context: grpc.ServicerContext
    ) -> pb.FindNearestResponse:
        """Finds the places nearest to a position."""
        wanted = requests.parse_nearest(request)
        neighbours = self._gazetteer.nearest.nearest(
            wanted.point, limit=wanted.limit, max_distance_m=wanted.max_distance_m
        )
        return pb.FindNearestResponse(results=map(neighbour_message, neighbours))

    def ListPlaces(
        self, request: pb.ListPlacesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListPlacesResponse]:
        """Streams places in order of id; grpcio asks for a page when the last one is sent."""
        listing = requests.parse_listing(request)
        pages = self._store.list_places(
            country_code=listing.country_code,
            min_population=listing.min_population,
            page_size=listing.page_size,
            limit=listing.limit,
        )
        for number, places in enumerate(pages):
            if not context.is_active():
                return
            yield pb.ListPlacesResponse(places=map(place_message, places), page=number)

    def MeasureRoute(
        self, request_iterator: Iterator[pb.MeasureRouteRequest], context: grpc.ServicerContext
    ) -> pb.MeasureRouteResponse:
        """Measures a route; the first bad point ends the call without waiting for the rest."""
        route = Route()
        for request in request_iterator:
            route.extend(requests.parse_route_point(request, index=route.point_count))
        return pb.MeasureRouteResponse(
            distance_m=route.distance_m,
            point_count=route.point_count,
            longest_leg_m=route.longest_leg_m,
        )

    def Suggest(
        self, request_iterator: Iterator[pb.SuggestRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.SuggestResponse]:
        """Answers each request in turn, until the client ends the stream or asks wrongly."""
        for sequence, request in enumerate(request_iterator):
            if not context.is_active():
                return
            typed = requests.parse_typed(request)
            suggestions = self._gazetteer.suggest.suggest(typed.prefix, limit=typed.limit)
            yield pb.SuggestResponse(
                sequence=sequence, suggestions=map(suggestion_message, suggestions)
            )

    def RecordVisit(
        self, request: pb.RecordVisitRequest, context: grpc.ServicerContext
    ) -> pb.RecordVisitResponse:
        """Records a visit."""
        visit = requests.parse_visit(request)
        visit_id, visit_count = self._store.record_visit(
            place_id=visit.place_id, visitor=visit.visitor, recorded_at_ms=self._now_ms()
        )
        return pb.RecordVisitResponse(visit_id=visit_id, visit_count=visit_count)
