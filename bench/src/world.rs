//! The gazetteer's data as far as calls are made from it: ids, positions and names.

use std::path::Path;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};

/// One place of the database.
pub(crate) struct Place {
    /// GeoNames' id.
    pub(crate) id: i64,
    /// ISO 3166-1 alpha-2.
    pub(crate) country_code: String,
    /// Degrees north.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
    /// All its names, the main one first, in every script.
    pub(crate) names: Vec<String>,
}

/// Every place, in order of id.
pub(crate) fn read(database: &Path) -> anyhow::Result<Vec<Place>> {
    let doing = || {
        format!(
            "database {}: run gazetteer-load --database PATH",
            database.display()
        )
    };
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(doing)?;
    let mut places = places(&connection).with_context(doing)?;
    add_names(&connection, &mut places).with_context(doing)?;
    anyhow::ensure!(
        !places.is_empty(),
        "database {}: it has no places",
        database.display()
    );
    Ok(places)
}

fn places(connection: &Connection) -> rusqlite::Result<Vec<Place>> {
    let mut statement = connection
        .prepare("SELECT id, country_code, latitude, longitude, name FROM places ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Place {
            id: row.get(0)?,
            country_code: row.get(1)?,
            latitude: row.get(2)?,
            longitude: row.get(3)?,
            names: vec![row.get(4)?],
        })
    })?;
    rows.collect()
}

fn add_names(connection: &Connection, places: &mut [Place]) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT place_id, name FROM names ORDER BY place_id, position")?;
    let mut rows = statement.query([])?;
    let mut at = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        // Both queries are in order of id, so one walk joins them.
        while places.get(at).is_some_and(|place| place.id < id) {
            at += 1;
        }
        if let Some(place) = places.get_mut(at).filter(|place| place.id == id) {
            place.names.push(row.get(1)?);
        }
    }
    Ok(())
}
