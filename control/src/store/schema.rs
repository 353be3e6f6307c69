//! The tables, and how an older file becomes the newest. Each entry of `MIGRATIONS` is applied
//! once, in its own transaction with the new version number; entries are only ever added.

use rusqlite::Connection;

use super::Found;

/// Marks the file as ours ("CUTO").
const APPLICATION_ID: i64 = 0x4355_544f;
/// The newest version.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

const MIGRATIONS: [&str; 1] = ["
    -- generation, epoch, fingerprint of what evidence depends on
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE ramps (
        scope TEXT PRIMARY KEY, phase INTEGER NOT NULL, step INTEGER NOT NULL,
        weight_bp INTEGER NOT NULL, entered_unix_ms INTEGER NOT NULL,
        held_ms INTEGER NOT NULL, windows INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
    CREATE TABLE overrides (
        scope TEXT PRIMARY KEY, weight_bp INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
        at_unix_ms INTEGER NOT NULL) STRICT;
    -- body: cutover.v1.Decision without its id
    CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL) STRICT;
    -- one row for each proxy instance of the epoch; retired: its evidence is in instance ''
    CREATE TABLE proxies (
        instance TEXT PRIMARY KEY, sequence INTEGER NOT NULL, host TEXT NOT NULL,
        version TEXT NOT NULL, retired INTEGER NOT NULL) STRICT;
    -- body: cutover.v1.MethodReport
    CREATE TABLE evidence (
        epoch INTEGER NOT NULL, instance TEXT NOT NULL, method TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (epoch, instance, method)) STRICT, WITHOUT ROWID;
    -- body: cutover.v1.TraceStatus
    CREATE TABLE trace_evidence (
        epoch INTEGER NOT NULL, method TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (epoch, method)) STRICT, WITHOUT ROWID;
    -- body: cutover.v1.Sample; one row for each path that differed
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, sample INTEGER NOT NULL,
        method TEXT NOT NULL, path TEXT NOT NULL, body BLOB NOT NULL,
        UNIQUE (instance, sample, path)) STRICT;
    CREATE INDEX samples_by_path ON samples (method, path, id);
    -- body: cutover.v1.TracePair
    CREATE TABLE trace_pairs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, mismatched INTEGER NOT NULL,
        body BLOB NOT NULL) STRICT;
    CREATE INDEX trace_pairs_by_method ON trace_pairs (method, mismatched, id);
"];

/// Why a file can't become a store.
pub(super) enum PrepareError {
    Newer(i64),
    Foreign,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        PrepareError::Sqlite(error)
    }
}

/// Checks the file and brings it to the newest version. The file stays locked to this process:
/// two control planes on one store would each undo what the other decides.
pub(super) fn prepare(connection: &mut Connection) -> Result<Found, PrepareError> {
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let application = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(PrepareError::Foreign);
    }
    if version > VERSION {
        return Err(PrepareError::Newer(version));
    }
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if tables > 0 {
        let answer: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if answer != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(code, Some(answer)).into());
        }
    }
    for (from, statements) in MIGRATIONS.iter().enumerate() {
        let from = from as i64;
        if from < version {
            continue;
        }
        let transaction = connection.transaction()?;
        transaction.execute_batch(statements)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", from + 1)?;
        transaction.commit()?;
    }
    // A write takes the exclusive lock now, so that a second process is told at its start.
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('opened', '1')", [])?;
    Ok(if tables > 0 {
        Found::Kept
    } else {
        Found::Fresh
    })
}
