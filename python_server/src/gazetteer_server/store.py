"""The database: what is read and written at call time, and what the indexes are built from.

Each thread reads through a connection of its own, which refuses writes. Visits are written
through one more, one at a time: SQLite has a single writer anyway.
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gazetteer_server import schema
from gazetteer_server.domain.errors import PlaceNotFoundError, StoreUnavailableError
from gazetteer_server.domain.place import Place

BUSY_TIMEOUT_S = 5.0
"""Seconds to wait for a lock that another process holds on the database."""

_PLACE = "id, name, country_code, timezone, latitude, longitude, population"

Row = tuple[int, str, str, str, float, float, int]
Instrument = Callable[[sqlite3.Connection], sqlite3.Connection]


class UnusableDatabaseError(Exception):
    """A file that is not a database of the gazetteer, found before any call is served."""


class Store:
    """The gazetteer's database.

    Args:
        database: The file, made by `gazetteer-load`.
        instrument: Wraps each connection, so that its cursors' statements become spans; or None.
    """

    def __init__(self, database: Path, *, instrument: Instrument | None = None) -> None:
        self._database = database
        self._instrument: Instrument = instrument or (lambda connection: connection)
        self._readers = threading.local()
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None

    def check(self) -> None:
        """Makes sure that the database has the right shape.

        Raises:
            UnusableDatabaseError: It has not, or cannot be read.
        """
        try:
            with closing(self._connect()) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != schema.USER_VERSION:
                    raise UnusableDatabaseError(
                        f"its version is {version}, not {schema.USER_VERSION}"
                    )
                connection.execute(f"SELECT {_PLACE} FROM places LIMIT 1").fetchall()
                connection.execute("SELECT place_id, position, name FROM names LIMIT 1").fetchall()
                connection.execute("SELECT id, place_id, visitor FROM visits LIMIT 1").fetchall()
        except sqlite3.Error as error:
            raise UnusableDatabaseError(str(error)) from error

    def read_all(self) -> tuple[list[Place], dict[int, list[str]]]:
        """Reads all places, and for each id its alternate names in order."""
        with _available(), closing(self._connect()) as connection:
            places = [Place(*row) for row in connection.execute(f"SELECT {_PLACE} FROM places")]
            names: defaultdict[int, list[str]] = defaultdict(list)
            for place_id, name in connection.execute(
                "SELECT place_id, name FROM names ORDER BY place_id, position"
            ):
                names[place_id].append(name)
        return places, names

    def get_place(self, place_id: int) -> tuple[Place, list[str], int]:
        """Reads a place, its alternate names in order, and how many visits it has.

        Raises:
            PlaceNotFoundError: No place has this id.
            StoreUnavailableError: The database failed.
        """
        with _available(), closing(self._reader().cursor()) as cursor:
            place = _select_place(cursor, place_id)
            cursor.execute(
                "SELECT name FROM names WHERE place_id = ? ORDER BY position", (place_id,)
            )
            names = [name for (name,) in cursor.fetchall()]
            return place, names, _count_visits(cursor, place_id)

    def list_places(
        self, *, country_code: str, min_population: int, page_size: int, limit: int | None
    ) -> Iterator[list[Place]]:
        """Reads places in order of id, a page at a time, as the caller asks for the next.

        Args:
            country_code: Only places of this country, or empty for all.
            min_population: Only places with at least so many inhabitants.
            page_size: Places in a page.
            limit: How many places at most in all, or None for no bound.

        Yields:
            Pages of 1 to `page_size` places.

        Raises:
            StoreUnavailableError: The database failed.
        """
        statement = f"SELECT {_PLACE} FROM places WHERE population >= ?"
        values: list[int | str] = [min_population]
        if country_code:
            statement += " AND country_code = ?"
            values.append(country_code)
        statement += " ORDER BY id"
        if limit is not None:
            statement += " LIMIT ?"
            values.append(limit)
        with _available():
            cursor = self._reader().cursor()
        with closing(cursor):
            with _available():
                cursor.execute(statement, values)
            while True:
                with _available():
                    rows = cursor.fetchmany(page_size)
                if not rows:
                    return
                yield [Place(*row) for row in rows]

    def record_visit(self, *, place_id: int, visitor: str, recorded_at_ms: int) -> tuple[int, int]:
        """Writes a visit.

        Args:
            place_id: The place visited.
            visitor: Who visits.
            recorded_at_ms: Milliseconds since 1970.

        Returns:
            The visit's id, and how many visits the place has with it.

        Raises:
            PlaceNotFoundError: No place has this id.
            StoreUnavailableError: The database failed; nothing was written.
        """
        with _available(), self._transaction() as cursor:
            _select_place(cursor, place_id)
            cursor.execute(
                "INSERT INTO visits (place_id, visitor, recorded_at_ms) VALUES (?, ?, ?)",
                (place_id, visitor, recorded_at_ms),
            )
            visit_id = cursor.lastrowid
            if visit_id is None:
                raise StoreUnavailableError("an insert gave no row id")
            return visit_id, _count_visits(cursor, place_id)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        """Holds the writer for one transaction: whole if the block ends, else none of it.

        Its bounds are executed on the connection, not on a cursor: they get no spans.
        """
        with self._writing:
            if self._writer is None:
                self._writer = self._instrument(self._connect())
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                with closing(writer.cursor()) as cursor:
                    yield cursor
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if reader is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            reader = self._readers.connection = self._instrument(connection)
        return reader

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: never create a file, which would be an empty database.
        return sqlite3.connect(
            f"{self._database.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )


def _select_place(cursor: sqlite3.Cursor, place_id: int) -> Place:
    cursor.execute(f"SELECT {_PLACE} FROM places WHERE id = ?", (place_id,))
    row: Row | None = cursor.fetchone()
    if row is None:
        raise PlaceNotFoundError(place_id)
    return Place(*row)


def _count_visits(cursor: sqlite3.Cursor, place_id: int) -> int:
    cursor.execute("SELECT count(*) FROM visits WHERE place_id = ?", (place_id,))
    count: int = cursor.fetchone()[0]
    return count


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailableError(str(error)) from error
