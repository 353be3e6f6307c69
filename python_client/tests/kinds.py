"""One call of each kind, and one of each method, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gazetteer import AsyncGazetteerClient, GazetteerClient

KINDS = ("SearchPlaces", "ListPlaces", "MeasureRoute", "Suggest")
"""A unary call, a server stream, a client stream and a bidirectional one."""

SYNC: dict[str, Callable[[GazetteerClient], object]] = {
    "GetPlace": lambda client: client.get_place(1),
    "SearchPlaces": lambda client: client.search_places("zurich"),
    "FindNearest": lambda client: client.find_nearest((47.0, 8.0)),
    "ListPlaces": lambda client: list(client.list_places(limit=4)),
    "MeasureRoute": lambda client: client.measure_route([(1.0, 2.0), (3.0, 4.0)]),
    "Suggest": lambda client: list(client.suggest(["z", "zu"])),
    "RecordVisit": lambda client: client.record_visit(1, "ada"),
}


async def _list(client: AsyncGazetteerClient) -> object:
    return [place async for place in client.list_places(limit=4)]


async def _suggest(client: AsyncGazetteerClient) -> object:
    return [response async for response in client.suggest(["z", "zu"])]


AIO: dict[str, Callable[[AsyncGazetteerClient], Awaitable[object]]] = {
    "GetPlace": lambda client: client.get_place(1),
    "SearchPlaces": lambda client: client.search_places("zurich"),
    "FindNearest": lambda client: client.find_nearest((47.0, 8.0)),
    "ListPlaces": _list,
    "MeasureRoute": lambda client: client.measure_route([(1.0, 2.0), (3.0, 4.0)]),
    "Suggest": _suggest,
    "RecordVisit": lambda client: client.record_visit(1, "ada"),
}
