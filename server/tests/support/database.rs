//! A small database.

use rusqlite::Connection;
use tempfile::TempDir;

const SCHEMA: &str = "
CREATE TABLE places (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country_code TEXT NOT NULL,
    timezone TEXT NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL,
    population INTEGER NOT NULL) STRICT;
CREATE TABLE names (place_id INTEGER NOT NULL REFERENCES places(id), position INTEGER NOT NULL,
    name TEXT NOT NULL, PRIMARY KEY (place_id, position)) STRICT, WITHOUT ROWID;
CREATE TABLE visits (id INTEGER PRIMARY KEY AUTOINCREMENT,
    place_id INTEGER NOT NULL REFERENCES places(id), visitor TEXT NOT NULL,
    recorded_at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX visits_by_place ON visits(place_id);
PRAGMA user_version = 1;
";

/// Places 1 to `places`, each with one alternate name.
pub(crate) fn database(places: i64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(directory.path().join("gazetteer.db")).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for id in 1..=places {
        connection
            .execute(
                "INSERT INTO places VALUES (?1, 'Place ' || ?1, 'AD', 'Europe/Andorra', 42, 1, ?1)",
                (id,),
            )
            .unwrap();
        connection
            .execute("INSERT INTO names VALUES (?1, 0, 'Lloc ' || ?1)", (id,))
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    directory
}
