"""Calls of the gazetteer as hazards need them: the same seed, the same calls in the same order.

Most are those of the agreement tests: names in all scripts with typing errors, real positions, one
value in sixteen at or beyond a limit. The rest is what certain hazards need and chance brings
seldom: letters that fold in their own way, ties, cities of many millions, places in the south and
west, names that a place has twice, routes that end in a bad point while the caller goes on.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gazetteer.v1 import gazetteer_pb2 as pb
from generated import Maker

SERVICE = "gazetteer.v1.GazetteerService"
SHARES = {
    "GetPlace": 30,
    "SearchPlaces": 22,
    "FindNearest": 16,
    "Suggest": 12,
    "ListPlaces": 10,
    "MeasureRoute": 10,
}
"""Shares of methods where nothing is written."""
WRITES_SHARE = 10
"""The share of RecordVisit where something is."""
SPECIAL_SHARE = 0.2
"""The share of a method's calls that are made for certain hazards."""
USERS = 3_000

_FOLDING = "ßẞςİıŉǰΐẖﬁﬂſ"
_BIG = 16_000_000
_LONG = ("名" * 70, "ü" * 101, "Ж" * 120)
"""Within a limit of 200 code points, beyond it in bytes."""


@dataclass(frozen=True)
class Call:
    """One call, encoded."""

    method: str
    messages: Sequence[bytes]
    user: str
    holds_open: bool = False
    """Whether the caller keeps its side of the stream open until the answer is there."""


class Calls:
    """Calls without an end, of all methods that are asked for."""

    def __init__(self, database: Path, *, seed: int, writes: bool) -> None:
        """Reads what is needed from the database.

        Args:
            database: The gazetteer's.
            seed: The same one makes the same calls.
            writes: Whether visits are recorded.
        """
        self._random = random.Random(seed)
        self._maker = Maker(database, seed)
        self._shares = SHARES | ({"RecordVisit": WRITES_SHARE} if writes else {})
        with closing(sqlite3.connect(database)) as connection:
            names = connection.execute(
                "SELECT name FROM places UNION ALL SELECT name FROM names"
            ).fetchall()
            self._folding = [name for (name,) in names if set(name) & set(_FOLDING)]
            self._big = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM places WHERE population > ?", (_BIG,)
                )
            ]
            self._southwest = connection.execute(
                "SELECT id FROM places WHERE latitude < 0 OR longitude < 0"
            ).fetchall()
            self._twice = connection.execute(
                "SELECT DISTINCT place_id FROM names "
                "GROUP BY place_id, name HAVING count(*) > 1 ORDER BY place_id"
            ).fetchall()
            self._visited = connection.execute(
                "SELECT DISTINCT place_id FROM visits ORDER BY place_id"
            ).fetchall()

    def __iter__(self) -> Iterator[Call]:
        """Makes one after the other."""
        usual: dict[str, Callable[[], list[bytes]]] = {
            "GetPlace": self._maker.get_place,
            "SearchPlaces": self._maker.search_places,
            "FindNearest": self._maker.find_nearest,
            "Suggest": self._maker.suggest,
            "ListPlaces": self._maker.list_places,
            "MeasureRoute": self._maker.measure_route,
            "RecordVisit": self._maker.record_visit,
        }
        special: dict[str, Callable[[], list[bytes]]] = {
            "GetPlace": self._get,
            "SearchPlaces": self._search,
            "Suggest": self._suggest,
            "MeasureRoute": self._route,
        }
        methods, shares = list(self._shares), list(self._shares.values())
        while True:
            (method,) = self._random.choices(methods, shares)
            user = f"user-{self._random.randrange(USERS)}"
            if method in special and self._random.random() < SPECIAL_SHARE:
                messages = special[method]()
                yield Call(method, messages, user, holds_open=method == "MeasureRoute")
            else:
                yield Call(method, usual[method](), user)

    def _get(self) -> list[bytes]:
        pools = [pool for pool in (self._visited, self._southwest, self._twice) if pool]
        (place,) = self._random.choice(self._random.choice(pools))
        return [pb.GetPlaceRequest(id=place).SerializeToString()]

    def _search(self) -> list[bytes]:
        query = self._random.choice(
            (
                self._random.choice(self._folding),
                self._random.choice(self._folding).upper(),
                self._random.choice(_LONG),
                self._random.choice(self._big),
                # Short, so that many places reach the same similarity.
                self._maker.name()[:2],
            )
        )
        return [pb.SearchPlacesRequest(query=query).SerializeToString()]

    def _suggest(self) -> list[bytes]:
        text = self._random.choice((self._random.choice(self._folding), *self._big, ""))
        prefixes = [text[:typed] for typed in range(min(len(text), 6) + 1)]
        return [pb.SuggestRequest(prefix=prefix).SerializeToString() for prefix in prefixes]

    def _route(self) -> list[bytes]:
        good = [
            pb.MeasureRouteRequest(
                point=pb.LatLng(
                    latitude=self._random.uniform(-90, 90),
                    longitude=self._random.uniform(-180, 180),
                )
            )
            for _ in range(self._random.randrange(12))
        ]
        bad = pb.MeasureRouteRequest(point=pb.LatLng(latitude=91))
        return [request.SerializeToString() for request in (*good, bad)]
