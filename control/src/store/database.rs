//! What the store asks of a database, SQLite or Postgres: numbered placeholders, whole numbers,
//! text and bytes. The SQL is the same for both; nothing in the tables is ever NULL.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// One value of a row or of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row of an answer.
#[derive(Debug)]
pub(crate) struct Row(pub(super) Vec<Value>);

/// Why a database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// SQLite refused.
    #[error("SQLite refused")]
    Sqlite(#[source] rusqlite::Error),
    /// Postgres refused, or the connection broke.
    #[error("Postgres refused")]
    Postgres(#[source] tokio_postgres::Error),
    /// Postgres did not answer in time; the connection was given up.
    #[error("Postgres did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// There is no connection; when the pause is over, the next job tries again.
    #[error("there is no connection to Postgres: {0}")]
    Away(String),
    /// The file with the password can't be read.
    #[error("{path}: cannot read the password of Postgres")]
    Password {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file with Postgres's authorities can't be read.
    #[error("{path}: cannot read the authorities of Postgres's certificate: {reason}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A row has another shape than the schema gives it.
    #[error("column {column} of a row has the wrong type")]
    Shape {
        /// Index of the column.
        column: usize,
    },
}

/// The inside of one transaction: what a job sees.
pub(crate) trait Session {
    /// Changes rows; gives their number.
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, DatabaseError>;
    /// Reads rows.
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, DatabaseError>;
    /// The database's own clock, which all its clients share: ms since the Unix epoch.
    fn now_ms(&mut self) -> Result<i64, DatabaseError>;
}

/// A database, owned by the store's thread.
pub(super) trait Database: Session + Send {
    /// Begins a transaction; connects again where that is needed and due.
    fn begin(&mut self) -> Result<(), DatabaseError>;
    /// Ends the transaction: what it did is there for good.
    fn commit(&mut self) -> Result<(), DatabaseError>;
    /// Ends the transaction: what it did never was.
    fn rollback(&mut self);
    /// Runs several statements of the schema.
    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError>;
    /// The version of the schema; 0 where there is none.
    fn version(&mut self) -> Result<i64, DatabaseError>;
    /// Notes the version of the schema.
    fn set_version(&mut self, version: i64) -> Result<(), DatabaseError>;
    /// Gives space that deleted rows have left back to the disk, where that is possible. Not
    /// within a transaction.
    fn shrink(&mut self) -> Result<(), DatabaseError>;
    /// How this database names its types.
    fn dialect(&self) -> Dialect;
    /// Lets go of it.
    fn close(self: Box<Self>);
}

/// How a database names its types in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// A whole number of 64 bits.
    pub(super) int: &'static str,
    /// Bytes.
    pub(super) bytes: &'static str,
    /// A key that rises with each row.
    pub(super) key: &'static str,
    /// What stands after a table's columns.
    pub(super) table: &'static str,
    /// The same for a table that is kept in the order of its key.
    pub(super) ordered: &'static str,
}

impl Dialect {
    /// The schema's text with this database's words.
    pub(super) fn render(&self, text: &'static str) -> Cow<'static, str> {
        let words = [
            ("{int}", self.int),
            ("{bytes}", self.bytes),
            ("{key}", self.key),
            ("{table}", self.table),
            ("{ordered}", self.ordered),
        ];
        let text = Cow::Borrowed(text);
        words.iter().fold(text, |text, (mark, word)| {
            Cow::Owned(text.replace(mark, word))
        })
    }
}

impl Row {
    /// A whole number.
    pub(crate) fn int(&self, column: usize) -> Result<i64, DatabaseError> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(DatabaseError::Shape { column }),
        }
    }

    /// A whole number of another type; what doesn't fit has the wrong shape.
    pub(crate) fn number<N: TryFrom<i64>>(&self, column: usize) -> Result<N, DatabaseError> {
        N::try_from(self.int(column)?).map_err(|_| DatabaseError::Shape { column })
    }

    /// A text, taken out of the row.
    pub(crate) fn text(&mut self, column: usize) -> Result<String, DatabaseError> {
        match self.0.get_mut(column) {
            Some(Value::Text(value)) => Ok(std::mem::take(value)),
            _ => Err(DatabaseError::Shape { column }),
        }
    }

    /// Bytes, taken out of the row.
    pub(crate) fn bytes(&mut self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        match self.0.get_mut(column) {
            Some(Value::Bytes(value)) => Ok(std::mem::take(value)),
            _ => Err(DatabaseError::Shape { column }),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Int(value.into())
    }
}

/// Numbers above what the databases hold stay at their largest.
impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Int(value.into())
    }
}

impl From<&str> for Value {
    /// Postgres holds no NUL in text.
    fn from(value: &str) -> Value {
        Value::Text(value.replace('\0', "\u{fffd}"))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        value.as_str().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Value {
        Value::Bytes(value)
    }
}

/// An error with all that led to it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// The values of a statement's parameters, `$1` first.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::database::Value::from($value)),*]
    };
}
pub(crate) use values;
