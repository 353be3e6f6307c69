//! SQLite: one file, locked to this process. A corrupt one is put aside.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use super::database::{Database, DatabaseError, Dialect, Row, Session, Value};
use super::schema::{self, Unfit};
use super::{Found, OpenError};

/// Marks the file as ours ("CUTO").
const APPLICATION_ID: i64 = 0x4355_544f;
/// How long another process may hold the file before opening gives up.
const BUSY: Duration = Duration::from_millis(500);
/// Statements that are kept prepared.
const PREPARED: usize = 64;
/// `auto_vacuum` of a file that gives its free pages back when told to.
const INCREMENTAL: i64 = 2;

const DIALECT: Dialect = Dialect {
    int: "INTEGER",
    bytes: "BLOB",
    key: "INTEGER PRIMARY KEY AUTOINCREMENT",
    table: "STRICT",
    ordered: "STRICT, WITHOUT ROWID",
};

/// An open file.
pub(super) struct Sqlite(Connection);

impl Sqlite {
    /// Opens a file, or begins one, and brings it to the newest version. It stays locked to this
    /// process: two control planes on one file would each undo what the other decides.
    pub(super) fn open(path: &Path) -> Result<(Sqlite, Found), Unfit> {
        let mut sqlite = Sqlite::raw(path)?;
        let kept = sqlite.has_tables()?;
        if kept && sqlite.pragma("application_id")? != APPLICATION_ID {
            return Err(Unfit::Foreign);
        }
        let version = sqlite.version()?;
        if version > schema::VERSION {
            return Err(Unfit::Newer(version));
        }
        sqlite.settle(kept)?;
        schema::migrate(&mut sqlite)?;
        // A write takes the exclusive lock now, so that a second process is told at its start.
        sqlite.execute("UPDATE state SET writer = ''", &[])?;
        Ok((sqlite, if kept { Found::Kept } else { Found::Fresh }))
    }

    /// Opens a file as it is.
    pub(super) fn raw(path: &Path) -> Result<Sqlite, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Connection::open_with_flags(path, flags)?;
        sqlite.busy_timeout(BUSY)?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        Ok(Sqlite(sqlite))
    }

    fn has_tables(&mut self) -> Result<bool, DatabaseError> {
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = self.0.query_row(tables, [], |row| row.get(0))?;
        Ok(tables > 0)
    }

    /// Looks for damage, and sets how the file is written.
    fn settle(&mut self, kept: bool) -> Result<(), DatabaseError> {
        let sqlite = &self.0;
        sqlite.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        if kept {
            let check = "PRAGMA quick_check(1)";
            let answer: String = sqlite.query_row(check, [], |row| row.get(0))?;
            if answer != "ok" {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                return Err(rusqlite::Error::SqliteFailure(code, Some(answer)).into());
            }
        }
        if self.pragma("auto_vacuum")? != INCREMENTAL {
            sqlite.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
            if kept {
                // Where there are tables, it takes effect by writing the file anew.
                sqlite.execute_batch("VACUUM")?;
            }
        }
        sqlite.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        sqlite.pragma_update(None, "synchronous", "FULL")?;
        Ok(())
    }

    fn pragma(&self, name: &str) -> Result<i64, DatabaseError> {
        Ok(self.0.pragma_query_value(None, name, |row| row.get(0))?)
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
        // SQLite numbers parameters with `?1`; with `$1` it names them.
        self.0.prepare_cached(&sql.replace('$', "?"))
    }
}

impl Session for Sqlite {
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, DatabaseError> {
        let changed = self
            .statement(sql)?
            .execute(rusqlite::params_from_iter(values))?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let mut statement = self.statement(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let cell = |column| match row.get::<_, Cell>(column)? {
                Cell::Integer(value) => Ok(Value::Int(value)),
                Cell::Text(value) => Ok(Value::Text(value)),
                Cell::Blob(value) => Ok(Value::Bytes(value)),
                Cell::Null | Cell::Real(_) => Err(DatabaseError::Shape { column }),
            };
            found.push(Row((0..columns).map(cell).collect::<Result<_, _>>()?));
        }
        Ok(found)
    }

    fn now_ms(&mut self) -> Result<i64, DatabaseError> {
        let now = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
        Ok(self.0.query_row(now, [], |row| row.get(0))?)
    }
}

impl Database for Sqlite {
    fn begin(&mut self) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch("BEGIN")?)
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch("COMMIT")?)
    }

    fn rollback(&mut self) {
        // Where the disk was full, SQLite has done it already.
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be undone");
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch(sql)?)
    }

    fn version(&mut self) -> Result<i64, DatabaseError> {
        self.pragma("user_version")
    }

    fn set_version(&mut self, version: i64) -> Result<(), DatabaseError> {
        self.0
            .pragma_update(None, "application_id", APPLICATION_ID)?;
        Ok(self.0.pragma_update(None, "user_version", version)?)
    }

    fn shrink(&mut self) -> Result<(), DatabaseError> {
        // The pragma frees one page with each row that it gives.
        let mut vacuum = self.0.prepare("PRAGMA incremental_vacuum")?;
        let mut freed = vacuum.query([])?;
        while freed.next()?.is_some() {}
        drop(freed);
        drop(vacuum);
        // The file itself becomes shorter when the log is written back to it.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(self.0.query_row(checkpoint, [], |_| Ok(()))?)
    }

    fn dialect(&self) -> Dialect {
        DIALECT
    }

    fn close(self: Box<Self>) {
        if let Err((_, error)) = self.0.close() {
            tracing::error!(%error, "the store did not close well");
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> DatabaseError {
        DatabaseError::Sqlite(error)
    }
}

impl DatabaseError {
    /// Whether another process has the file open.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, DatabaseError::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        ))
    }

    /// Whether the file is not what it was when it was written.
    pub(super) fn is_corrupt(&self) -> bool {
        match self {
            DatabaseError::Shape { .. } => true,
            DatabaseError::Sqlite(error) => {
                let code = error.sqlite_error_code();
                matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
                    // A table or column that is not there under our own version number.
                    || matches!(error, rusqlite::Error::SqliteFailure(_, Some(message))
                        if message.starts_with("no such"))
                    || matches!(error, rusqlite::Error::SqlInputError { msg, .. }
                        if msg.starts_with("no such"))
                    || matches!(error, rusqlite::Error::FromSqlConversionFailure(..))
            }
            _ => false,
        }
    }
}

/// Puts a corrupt file and its log aside; gives the new name.
pub(super) fn quarantine(path: &Path, unix_ms: i64) -> Result<PathBuf, OpenError> {
    let named = |base: &Path, suffix: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = named(path, &format!(".corrupt-{unix_ms}"));
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::rename(named(path, suffix), named(&aside, suffix)) {
            Err(source) if suffix.is_empty() || source.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Io {
                    store: path.display().to_string(),
                    action: "put the corrupt store aside",
                    source,
                });
            }
            _ => {}
        }
    }
    Ok(aside)
}
