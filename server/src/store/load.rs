//! Reads the index out of the database, once at start.

use rusqlite::Connection;

use super::{StoreError, borrowed_place};
use crate::domain::index::{Index, IndexBuilder};

/// Places and names both come in order of the place's id, so one pass over each is enough.
pub(super) fn index(connection: &Connection) -> Result<Index, StoreError> {
    let sql = concat!(select_places!(), " ORDER BY id");
    let mut places = connection.prepare(sql)?;
    let sql = "SELECT place_id, name FROM names ORDER BY place_id, position";
    let mut names = connection.prepare(sql)?;
    let mut places = places.query(())?;
    let mut names = names.query(())?;

    let mut index = IndexBuilder::default();
    let mut name = names.next()?;
    while let Some(row) = places.next()? {
        let place = borrowed_place(row)?;
        index.push_place(&place)?;
        while let Some(row) = name {
            let place_id: i64 = row.get(0)?;
            if place_id > place.id.get() {
                break;
            }
            index.push_name(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
            name = names.next()?;
        }
    }
    Ok(index.finish())
}
