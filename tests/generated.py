"""Calls of the gazetteer made by chance from its own data: the same seed, the same calls.

Queries are names in all scripts with typing errors; one in eight calls is hostile: values at and
beyond each limit, bytes that are no message, texts that are no UTF-8.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gazetteer.v1 import gazetteer_pb2 as pb
from google.protobuf.message import Message
from runner import Case

HOSTILE_SHARE = 1 / 8

_INT32 = (0, 1, 2, 5, 10, 20, 21, 100, 101, 1000, 1001, -1, -(2**31), 2**31 - 1)
_INT64 = (0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 10**12)
_DOUBLE = (0.0, -0.0, 90.0, -90.0, 90.0000001, 180.0, -180.0, 180.5, math.nan, math.inf, -math.inf)
_DOUBLE_MORE = (0.1, 0.099, 1.0, 1.01, 1e-300, 5e-324, 1e308, -1.0)
_TEXTS = (
    *("", " ", "\t\n", "a", "aa", "\u0301", "ß", "İstanbul", "ΣΑΣ", "ﬁ", "Å", "A\u030a", "Ⅷ"),
    *(
        "\u200b",
        "e\u0301" * 200,
        "x" * 200,
        "x" * 201,
        "ﷺ" * 20,
        "𝔘𝔫𝔦",
        "한국",
        "\u1112\u1161\u11ab\u1100\u116e\u11a8",
        "💥",
        "\x00",
    ),
    *("  New   York  ", "NEW YORK", "'; DROP TABLE places; --", "%", "_", "*", "\ufdfa", "\u00a0"),
)
_COUNTRIES = ("", "", "", "CH", "CN", "US", "ch", "C", "CHE", "ÇH", "ZZ", "  ", "C\u0301")
# A text or number that ends too soon, a group left open, a field number of 0, a varint without end.
# Not among them: a known field with a wire type that is not its own, which every protobuf library
# takes in its own way (an unknown field to some, an error to others).
_NO_MESSAGES = (b"\x0a\x05ab", b"\x0b", b"\x00\x01", b"\xff" * 11, b"\x09\x00")
_UNKNOWN_FIELDS = (b"\xf8\x7f\x01", b"\xfa\x7f\x02ok")
# A text that is no UTF-8, in the field that is a text.
_NO_UTF8 = {
    "search_places": b"\x0a\x02\xff\xfe",
    "list_places": b"\x0a\x02\xc3(",
    "suggest": b"\x0a\x03\xed\xa0\x80",
    "record_visit": b"\x08\x01\x12\x02\xff\xfe",
}


@dataclass(frozen=True)
class City:
    """A place of the database."""

    id: int
    country_code: str
    latitude: float
    longitude: float


class Maker:
    """Makes calls from a database and a seed."""

    def __init__(self, database: Path, seed: int) -> None:
        """Reads the places; their names are read when needed."""
        self._random = random.Random(seed)
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(
                "SELECT id, country_code, latitude, longitude FROM places ORDER BY id"
            )
            self._cities = [City(*row) for row in rows]
            self._names: dict[int, list[str]] = {}
            names = "SELECT id, name FROM places UNION ALL SELECT place_id, name FROM names"
            for place, name in connection.execute(names):
                self._names.setdefault(place, []).append(name)

    def cases(self, method: str, count: int) -> Iterator[Case]:
        """Calls of a method, named as the corpus names it."""
        make = _MAKERS[method]
        odd = [*_NO_MESSAGES, *_UNKNOWN_FIELDS, _NO_UTF8.get(method, b"")]
        for _ in range(count):
            requests = make(self)
            if self._random.random() < HOSTILE_SHARE / 4:
                requests = [*requests[:-1], self._random.choice(odd)]
            yield {"method": method, "raw_hex": [request.hex() for request in requests]}

    def query(self) -> str:
        """A name with up to three typing errors, or a hostile text."""
        if self._hostile():
            return self._random.choice(_TEXTS)
        text = self.name()
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 3))):
            text = self._mistype(text)
        return text

    def name(self) -> str:
        """Any name of any place."""
        return self._random.choice(self._names[self.city().id])

    def city(self) -> City:
        """Any place."""
        return self._random.choice(self._cities)

    def get_place(self) -> list[bytes]:
        """An id that is there, or near one that is, or hostile."""
        near = self.city().id + self._random.choice((0, 0, 0, 1))
        return [_encode(pb.GetPlaceRequest(id=self._number(near, _INT64)))]

    def search_places(self) -> list[bytes]:
        """A query with and without its options."""
        request = pb.SearchPlacesRequest(
            query=self.query(),
            limit=self._number(self._random.choice((0, 1, 3, 10, 50, 100)), _INT32),
            country_code=self._country(),
        )
        if self._random.random() < 0.4:
            least = self._random.choice((0.1, 0.2, 0.3, 0.5, 0.75, 1.0, self._random.random()))
            request.min_similarity = self._float(least)
        return [_encode(request)]

    def find_nearest(self) -> list[bytes]:
        """A position near a place, anywhere, or nowhere."""
        request = pb.FindNearestRequest(
            limit=self._number(self._random.choice((0, 1, 7, 100)), _INT32)
        )
        if self._random.random() < 0.98:
            request.location.CopyFrom(self._position())
        if self._random.random() < 0.4:
            request.max_distance_m = self._float(10 ** self._random.uniform(0, 7.5))
        return [_encode(request)]

    def list_places(self) -> list[bytes]:
        """A filter, and pages of all sizes."""
        request = pb.ListPlacesRequest(
            country_code=self._country(),
            min_population=self._number(int(10 ** self._random.uniform(0, 7)), _INT64),
            page_size=self._number(self._random.choice((0, 1, 7, 50, 1000)), _INT32),
            limit=self._random.choice((1, 2, 49, 50, 51, 100, 300)),
        )
        if self._hostile():
            request.limit = self._random.choice((-1, -(2**31)))
        return [_encode(request)]

    def measure_route(self) -> list[bytes]:
        """No point, one, or many; sometimes a bad one among them."""
        count = self._random.choice((0, 1, 2, 3, 10, 60))
        requests = [pb.MeasureRouteRequest(point=self._position()) for _ in range(count)]
        if count and self._random.random() < 0.05:
            requests[self._random.randrange(count)] = pb.MeasureRouteRequest()
        return [_encode(request) for request in requests]

    def suggest(self) -> list[bytes]:
        """What a person types, key by key."""
        text = self.query()
        return [
            _encode(
                pb.SuggestRequest(
                    prefix=text[:typed],
                    limit=self._number(self._random.choice((0, 1, 5, 20)), _INT32),
                )
            )
            for typed in range(self._random.choice((0, 1)), min(len(text), 6) + 1)
        ]

    def record_visit(self) -> list[bytes]:
        """A visit by somebody to a place."""
        request = pb.RecordVisitRequest(place_id=self._number(self.city().id, _INT64))
        request.visitor = self._random.choice(_TEXTS) if self._hostile() else self.name()
        if self._hostile():
            request.visitor = "💥" * self._random.choice((127, 128, 129))
        return [_encode(request)]

    def _position(self) -> pb.LatLng:
        city = self.city()
        if self._random.random() < 0.3:
            # Anywhere, poles and the antimeridian included.
            latitude = self._random.choice((self._random.uniform(-90, 90), 90.0, -90.0))
            longitude = self._random.choice((self._random.uniform(-180, 180), 180.0, -180.0))
        else:
            latitude = max(-90.0, min(90.0, city.latitude + self._random.gauss(0, 0.5)))
            longitude = max(-180.0, min(180.0, city.longitude + self._random.gauss(0, 0.5)))
        return pb.LatLng(latitude=self._float(latitude), longitude=self._float(longitude))

    def _country(self) -> str:
        if self._hostile():
            return self._random.choice(_COUNTRIES)
        return self.city().country_code if self._random.random() < 0.3 else ""

    def _number(self, usual: int, hostile: tuple[int, ...]) -> int:
        return self._random.choice(hostile) if self._hostile() else usual

    def _float(self, usual: float) -> float:
        if self._random.random() < HOSTILE_SHARE / 8:
            return self._random.choice(_DOUBLE + _DOUBLE_MORE)
        return usual

    def _hostile(self) -> bool:
        return self._random.random() < HOSTILE_SHARE / 2

    def _mistype(self, text: str) -> str:
        if len(text) < 2:
            return text
        at = self._random.randrange(len(text) - 1)
        before, here, after = text[:at], text[at], text[at + 1 :]
        match self._random.randrange(5):
            case 0:
                return before + after
            case 1:
                return before + here + here + after
            case 2:
                return before + after[:1] + here + after[1:]
            case 3:
                return before + self._random.choice(self.name()) + after
            case _:
                return before + here.swapcase() + after


def _encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


_MAKERS: dict[str, Callable[[Maker], list[bytes]]] = {
    "get_place": Maker.get_place,
    "search_places": Maker.search_places,
    "find_nearest": Maker.find_nearest,
    "list_places": Maker.list_places,
    "measure_route": Maker.measure_route,
    "suggest": Maker.suggest,
    "record_visit": Maker.record_visit,
}
