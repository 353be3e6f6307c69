"""The shape of the database that both arms share."""

USER_VERSION = 1
"""What `PRAGMA user_version` says in a database of this shape."""

CREATE = f"""
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country_code TEXT NOT NULL,
    timezone TEXT NOT NULL,
    latitude REAL NOT NULL,
    longitude REAL NOT NULL,
    population INTEGER NOT NULL
) STRICT;
CREATE INDEX places_by_country ON places(country_code, id, population);
CREATE TABLE names (
    place_id INTEGER NOT NULL REFERENCES places(id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (place_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE visits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    place_id INTEGER NOT NULL REFERENCES places(id),
    visitor TEXT NOT NULL,
    recorded_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX visits_by_place ON visits(place_id);
PRAGMA user_version = {USER_VERSION};
"""
