import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small import CITIES

from gazetteer_server.domain.errors import PlaceNotFoundError, StoreUnavailableError
from gazetteer_server.load import load, main
from gazetteer_server.store import Store, UnusableDatabaseError


def _execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def _visits(database: Path) -> list[tuple[int, str, int]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT place_id, visitor, recorded_at_ms FROM visits").fetchall()


def test_reads_what_was_written(database: Path) -> None:
    places, names = Store(database).read_all()
    assert places == [place for place, _ in CITIES]
    assert names == {place.id: list(given) for place, given in CITIES if given}


def test_gets_a_place_with_names_in_order_and_visits(database: Path) -> None:
    store = Store(database)
    store.record_visit(place_id=2, visitor="ada", recorded_at_ms=5)
    assert store.get_place(2) == (CITIES[1][0], list(CITIES[1][1]), 1)
    assert store.get_place(3) == (CITIES[2][0], [], 0)


def test_a_place_that_is_not_there_is_not_found(database: Path) -> None:
    with pytest.raises(PlaceNotFoundError):
        Store(database).get_place(99)


def test_records_visits_under_rising_ids(database: Path) -> None:
    store = Store(database)
    assert store.record_visit(place_id=2, visitor="ada", recorded_at_ms=5) == (1, 1)
    assert store.record_visit(place_id=3, visitor="ada", recorded_at_ms=6) == (2, 1)
    assert store.record_visit(place_id=2, visitor="bob", recorded_at_ms=7) == (3, 2)
    assert _visits(database) == [(2, "ada", 5), (3, "ada", 6), (2, "bob", 7)]


def test_a_refused_visit_leaves_nothing_and_holds_no_lock(database: Path) -> None:
    store = Store(database)
    with pytest.raises(PlaceNotFoundError):
        store.record_visit(place_id=99, visitor="ada", recorded_at_ms=5)
    assert _visits(database) == []
    _execute(database, "INSERT INTO visits (place_id, visitor, recorded_at_ms) VALUES (1, 'x', 0)")
    assert store.record_visit(place_id=1, visitor="ada", recorded_at_ms=5) == (2, 2)


@pytest.mark.parametrize(
    ("country_code", "min_population", "page_size", "limit", "expected"),
    [
        ("", 0, 4, None, [[1, 2, 3, 4], [5, 6]]),
        ("", 0, 3, None, [[1, 2, 3], [4, 5, 6]]),
        ("", 500, 2, None, [[2, 3], [4, 5], [6]]),
        ("US", 0, 2, 3, [[4, 5], [6]]),
        ("US", 501, 2, None, [[6]]),
        ("", 0, 9, 1, [[1]]),
        ("ZZ", 0, 9, None, []),
    ],
)
def test_lists_pages(
    database: Path,
    country_code: str,
    min_population: int,
    page_size: int,
    limit: int | None,
    expected: list[list[int]],
) -> None:
    pages = Store(database).list_places(
        country_code=country_code, min_population=min_population, page_size=page_size, limit=limit
    )
    assert [[place.id for place in page] for page in pages] == expected


def test_reads_no_further_than_asked(database: Path) -> None:
    pages = Store(database).list_places(country_code="", min_population=0, page_size=2, limit=None)
    assert [place.id for place in next(pages)] == [1, 2]
    pages.close()  # type: ignore[attr-defined]  # A generator has it.
    _execute(database, "DELETE FROM visits")


def test_a_failing_database_is_unavailable(database: Path) -> None:
    store = Store(database)
    _execute(database, "DROP TABLE visits")
    with pytest.raises(StoreUnavailableError):
        store.get_place(2)
    with pytest.raises(StoreUnavailableError):
        store.record_visit(place_id=2, visitor="ada", recorded_at_ms=5)
    _execute(database, "ALTER TABLE places RENAME TO gone")
    with pytest.raises(StoreUnavailableError):
        list(store.list_places(country_code="", min_population=0, page_size=1, limit=None))


def test_takes_a_database_of_the_right_shape(database: Path) -> None:
    Store(database).check()
    assert Store(database).get_place(1)[2] == 0


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("PRAGMA user_version = 7", "version is 7, not 1"),
        ("DROP TABLE names", "no such table: names"),
        ("ALTER TABLE places RENAME COLUMN timezone TO zone", "no such column: timezone"),
    ],
)
def test_refuses_a_database_of_another_shape(
    database: Path, statement: str, complaint: str
) -> None:
    _execute(database, statement)
    with pytest.raises(UnusableDatabaseError, match=complaint):
        Store(database).check()


def test_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(UnusableDatabaseError, match="not a database"):
        Store(path).check()


def test_never_makes_a_database_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnusableDatabaseError):
        Store(tmp_path / "none.db").check()
    assert list(tmp_path.iterdir()) == []


def test_loads_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    assert load(path) == (34_006, 349_197)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.db"]
    place, names, visits = Store(path).get_place(2950159)
    assert (place.name, place.country_code, visits) == ("Berlin", "DE", 0)
    assert "Берлин" in names
    assert "" not in names


def test_does_not_overwrite_unless_told_to(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = database.read_bytes()
    assert main(["--database", str(database)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert database.read_bytes() == before
    assert main(["--database", str(database), "--replace"]) == 0
    assert len(Store(database).read_all()[0]) == 34_006


def test_says_where_there_is_no_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--database", str(tmp_path / "none" / "g.db")]) == 2
    assert "there is no directory" in capsys.readouterr().err
