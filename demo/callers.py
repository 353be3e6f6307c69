"""Callers of the gazetteer: one process of them, until SIGTERM.

Each caller is a thread that makes one call after the other through the Python client: all seven
methods, all four kinds, names in all scripts with typing errors, each call for one of many users.
Once a second, and at the end, the process prints its counts so far as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from gazetteer import GazetteerClient, GazetteerError, Position
from gazetteer.exceptions import PlaceNotFound

USERS = 3_000
"""Enough that a weight of 1 % finds some of them."""
SHARES = {
    "search": 34,
    "get": 22,
    "nearest": 18,
    "list": 6,
    "route": 7,
    "suggest": 9,
    "visit": 4,
}


class World:
    """Places with their names, as callers know them."""

    def __init__(self, database: str, size: int, seed: int) -> None:
        """Reads a sample of places."""
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT id, name, country_code, latitude, longitude FROM places ORDER BY id"
            ).fetchall()
            self.places = random.Random(seed).sample(rows, size)
            self.names = {
                place[0]: [place[1]]
                + [
                    name
                    for (name,) in connection.execute(
                        "SELECT name FROM names WHERE place_id = ?", (place[0],)
                    )
                ]
                for place in self.places
            }


class Caller:
    """One thread's worth of calls."""

    def __init__(self, target: str, world: World, pace: float, seed: int) -> None:
        """Connects; makes `pace` calls a second at most."""
        self._random = random.Random(seed)
        self._world = world
        self._gap = 1 / pace
        self._user = ""
        self._client = GazetteerClient.connect(target, sticky_key=lambda: self._user, deadline=10)
        self.counts: Counter[str] = Counter()

    def run(self, ended: threading.Event) -> None:
        """Calls until the end."""
        calls: dict[str, Callable[[], object]] = {
            "search": self._search,
            "get": lambda: self._client.get_place(self._place()[0]),
            "nearest": lambda: self._client.find_nearest(self._near(), limit=10),
            "list": self._list,
            "route": lambda: self._client.measure_route([self._near() for _ in range(8)]),
            "suggest": lambda: list(self._client.suggest(self._typed())),
            "visit": lambda: self._client.record_visit(self._place()[0], self._user),
        }
        words, shares = list(SHARES), list(SHARES.values())
        due = time.monotonic() + self._random.random() * self._gap
        while not ended.wait(max(0.0, due - time.monotonic())):
            # Late calls are not caught up on: people wait for the answer before they ask again.
            due = max(due, time.monotonic()) + self._gap
            self._user = f"user-{self._random.randrange(USERS)}"
            (word,) = self._random.choices(words, shares)
            try:
                calls[word]()
            except PlaceNotFound:
                self.counts["expected errors"] += 1
            except GazetteerError as error:
                if not ended.is_set():
                    self.counts[f"{word}: {type(error).__name__}"] += 1
            self.counts["calls"] += 1
        self._client.close()

    def _search(self) -> object:
        place = self._place()
        country = place[2] if self._random.random() < 0.25 else ""
        return self._client.search_places(self._mistyped(self._name(place)), country_code=country)

    def _list(self) -> object:
        country = self._place()[2]
        return list(
            self._client.list_places(
                country_code=country, min_population=200_000, page_size=25, limit=50
            )
        )

    def _typed(self) -> list[str]:
        name = self._name(self._place())
        return [name[:end] for end in range(1, min(len(name), 4) + 1)]

    def _place(self) -> tuple[int, str, str, float, float]:
        place: tuple[int, str, str, float, float] = self._random.choice(self._world.places)
        if self._random.random() < 0.02:
            # An id that no place has: an error, but not the arm's.
            return (2**40 + place[0], *place[1:])
        return place

    def _near(self) -> Position:
        _, _, _, latitude, longitude = self._place()
        return (
            max(-90.0, min(90.0, latitude + self._random.gauss(0, 0.2))),
            max(-180.0, min(180.0, longitude + self._random.gauss(0, 0.2))),
        )

    def _name(self, place: tuple[int, str, str, float, float]) -> str:
        return self._random.choice(self._world.names.get(place[0], [place[1]]))

    def _mistyped(self, name: str) -> str:
        if len(name) < 3 or self._random.random() < 0.3:
            return name
        at = self._random.randrange(len(name) - 1)
        return self._random.choice(
            (
                name[:at] + name[at + 1 :],
                name[:at] + name[at] + name[at:],
                name[:at] + name[at + 1] + name[at] + name[at + 2 :],
            )
        )


def main() -> None:
    """Parses, calls, counts."""
    parser = argparse.ArgumentParser(prog="callers", description=__doc__)
    parser.add_argument("--target", required=True, metavar="HOST:PORT")
    parser.add_argument("--database", required=True)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rate", type=float, default=100, help="calls a second, all together")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    world = World(options.database, 4_000, options.seed)
    callers = [
        Caller(options.target, world, options.rate / options.threads, options.seed * 1_000 + index)
        for index in range(options.threads)
    ]
    threads = [threading.Thread(target=caller.run, args=(ended,)) for caller in callers]
    for thread in threads:
        thread.start()
    while not ended.wait(1):
        _tell(callers)
    for thread in threads:
        thread.join()
    _tell(callers)


def _tell(callers: list[Caller]) -> None:
    total: Counter[str] = Counter()
    for caller in callers:
        total.update(caller.counts)
    print(json.dumps(total), flush=True)


if __name__ == "__main__":
    main()
