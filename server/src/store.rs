//! The database: places, their names, and visits in one SQLite file.
//!
//! SQLite blocks, so streams and writes work on the runtime's blocking threads, and bounded pools
//! of connections bound those; reads of a few rows are shorter than the way there and back, and
//! run where they are asked for: a client that reads a stream slowly can't hold them up.

/// What every statement that reads places begins with.
macro_rules! select_places {
    () => {
        "SELECT id, name, country_code, timezone, latitude, longitude, population FROM places"
    };
}

mod load;
mod pool;
mod statement;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Row, Transaction, TransactionBehavior};
use tokio::sync::mpsc;
use tracing::Span;

use crate::domain::index::Index;
use crate::domain::place::{CountryCode, Place, PlaceId};
use crate::domain::sphere::Position;
use pool::Pool;
pub use statement::{Session, Statement};

/// `PRAGMA user_version` of a database that this program can use.
pub const SCHEMA_VERSION: i64 = 1;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A list of at most so many places is read at once, where it is asked for.
const MAX_SHORT_LIST: u32 = 256;
/// Longer lists that run at once; others wait.
const MAX_LISTS: usize = 16;
/// SQLite has one writer at a time.
const MAX_WRITERS: usize = 1;
/// Pages read ahead of a client of a stream.
const PAGES_AHEAD: usize = 2;

/// Reads one place.
pub const SELECT_PLACE: Statement = Statement::new(
    "SELECT",
    "places",
    concat!(select_places!(), " WHERE id = ?"),
);
/// Reads the alternate names of a place.
pub const SELECT_NAMES: Statement = Statement::new(
    "SELECT",
    "names",
    "SELECT name FROM names WHERE place_id = ? ORDER BY position",
);
/// Counts the visits of a place.
pub const COUNT_VISITS: Statement = Statement::new(
    "SELECT",
    "visits",
    "SELECT count(*) FROM visits WHERE place_id = ?",
);
const INSERT_VISIT: Statement = Statement::new(
    "INSERT",
    "visits",
    "INSERT INTO visits (place_id, visitor, recorded_at_ms) VALUES (?, ?, ?)",
);

/// The statements of a stream of places: all places, or one country's; all rows, or the first.
const LIST: [[Statement; 2]; 2] = [
    [
        Statement::new(
            "SELECT",
            "places",
            concat!(select_places!(), " WHERE population >= ? ORDER BY id"),
        ),
        Statement::new(
            "SELECT",
            "places",
            concat!(
                select_places!(),
                " WHERE population >= ? ORDER BY id LIMIT ?"
            ),
        ),
    ],
    [
        Statement::new(
            "SELECT",
            "places",
            concat!(
                select_places!(),
                " WHERE population >= ? AND country_code = ? ORDER BY id"
            ),
        ),
        Statement::new(
            "SELECT",
            "places",
            concat!(
                select_places!(),
                " WHERE population >= ? AND country_code = ? ORDER BY id LIMIT ?"
            ),
        ),
    ],
];

/// Why a database can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file.
    #[error(
        "there is no database at {}; run gazetteer-load --database {}",
        .0.display(), .0.display()
    )]
    Missing(PathBuf),
    /// It has another schema.
    #[error(
        "the database {} has version {found} instead of {SCHEMA_VERSION}; \
         run gazetteer-load --database {}",
        .path.display(), .path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// It can't be read, or holds what no gazetteer has.
    #[error(
        "the database {} cannot be read; run gazetteer-load --database {}",
        .path.display(), .path.display()
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// Why a call on the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("a statement failed")]
    Statement(#[from] rusqlite::Error),
    /// A row holds what no place has.
    #[error("the row of place {0} holds an invalid id, country or position")]
    Row(i64),
    /// Places make no index.
    #[error("the places make no index")]
    Index(#[from] crate::domain::index::IndexError),
    /// The runtime is going down.
    #[error("the database is closed")]
    Closed,
}

/// A place read from the database, with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceRecord {
    /// The place.
    pub place: Place,
    /// Its alternate names, in order.
    pub alternate_names: Vec<String>,
    /// How many visits were recorded.
    pub visit_count: i64,
}

/// Which places a stream holds.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery {
    /// Only places of this country.
    pub country: Option<CountryCode>,
    /// Only places with at least so many inhabitants.
    pub min_population: i64,
    /// Places in a page.
    pub page_size: usize,
    /// How many places at most.
    pub limit: Option<u32>,
}

/// A visit as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The visit's own id.
    pub id: i64,
    /// How many visits the place has, this one included.
    pub count: i64,
}

/// The open database.
#[derive(Clone, Debug)]
pub struct Store {
    readers: Arc<Pool>,
    writers: Arc<Pool>,
}

impl Store {
    /// Opens the database at `path` and reads the index out of it. Blocks.
    pub fn open(path: &Path) -> Result<(Self, Index), OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let unreadable = |source| OpenError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let connection = pool::connect(path).map_err(|e| unreadable(e.into()))?;
        let found = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|e| unreadable(e.into()))?;
        if found != SCHEMA_VERSION {
            return Err(OpenError::Version {
                path: path.to_owned(),
                found,
            });
        }
        let index = load::index(&connection).map_err(unreadable)?;
        let pool = |size| Arc::new(Pool::new(path.to_owned(), size));
        let store = Self {
            readers: pool(MAX_LISTS),
            writers: pool(MAX_WRITERS),
        };
        Ok((store, index))
    }

    /// Reads a few rows on this thread, as one snapshot of the database; statements get spans below
    /// the current one.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let parent = Span::current();
        self.readers.run_here(|connection| {
            // One transaction for all statements: SQLite's locks are system calls.
            let snapshot = connection.unchecked_transaction()?;
            let read = work(&Session::new(&snapshot, parent))?;
            snapshot.commit()?;
            Ok(read)
        })
    }

    /// A place, its names and its visits; `None` if there is no such place.
    pub fn place(&self, id: PlaceId) -> Result<Option<PlaceRecord>, StoreError> {
        self.read(|session| {
            let Some(place) = session.place(id)? else {
                return Ok(None);
            };
            let alternate_names =
                session.rows(&SELECT_NAMES, (id.get(),), |row| Ok(row.get(0)?))?;
            let visit_count = session.visit_count(id)?;
            Ok(Some(PlaceRecord {
                place,
                alternate_names,
                visit_count,
            }))
        })
    }

    /// Streams pages of places; the reading stops when the receiver is dropped, and waits while
    /// it is full.
    pub fn list(&self, query: ListQuery) -> mpsc::Receiver<Result<Vec<Place>, StoreError>> {
        let (pages, receiver) = mpsc::channel(PAGES_AHEAD);
        if query.limit.is_some_and(|limit| limit <= MAX_SHORT_LIST) {
            return self.short_list(&query);
        }
        let parent = Span::current();
        let readers = Arc::clone(&self.readers);
        tokio::spawn(async move {
            let sender = pages.clone();
            let read = readers.run(move |connection| {
                let session = Session::new(connection, parent);
                list(&session, &query, |page| {
                    sender.blocking_send(Ok(page)).is_ok()
                })
            });
            tokio::select! {
                // Nobody waits for a connection for a client that has gone.
                biased;
                () = pages.closed() => {}
                result = read => {
                    if let Err(error) = result {
                        // A closed channel means that nobody wants to know.
                        let _ = pages.send(Err(error)).await;
                    }
                }
            }
        });
        receiver
    }

    /// The pages of a list that is short enough to be read at once, on this thread.
    fn short_list(&self, query: &ListQuery) -> mpsc::Receiver<Result<Vec<Place>, StoreError>> {
        let mut places = Vec::new();
        let read = self.read(|session| {
            list(session, query, |page| {
                places.push(page);
                true
            })
        });
        let pages: Vec<_> = places
            .into_iter()
            .map(Ok)
            .chain(read.err().map(Err))
            .collect();
        let (sender, receiver) = mpsc::channel(pages.len().max(1));
        for page in pages {
            sender
                .try_send(page)
                .expect("the channel was made as wide as the pages");
        }
        receiver
    }

    /// Records a visit at `recorded_at_ms` (Unix time); `None` if there is no such place.
    pub async fn record_visit(
        &self,
        id: PlaceId,
        visitor: String,
        recorded_at_ms: i64,
    ) -> Result<Option<Visit>, StoreError> {
        let parent = Span::current();
        let record = move |connection: &rusqlite::Connection| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(connection, behavior)?;
            let session = Session::new(&transaction, parent);
            if session.place(id)?.is_none() {
                return Ok(None);
            }
            session.execute(&INSERT_VISIT, (id.get(), visitor, recorded_at_ms))?;
            let visit = Visit {
                id: transaction.last_insert_rowid(),
                count: session.visit_count(id)?,
            };
            drop(session);
            transaction.commit()?;
            Ok(Some(visit))
        };
        self.writers.run(record).await
    }
}

impl Session<'_> {
    /// One place.
    pub fn place(&self, id: PlaceId) -> Result<Option<Place>, StoreError> {
        Ok(self.rows(&SELECT_PLACE, (id.get(),), place)?.pop())
    }

    /// How many visits a place has.
    pub fn visit_count(&self, id: PlaceId) -> Result<i64, StoreError> {
        let counts = self.rows(&COUNT_VISITS, (id.get(),), |row| Ok(row.get(0)?))?;
        Ok(counts.first().copied().unwrap_or(0))
    }
}

/// Reads page by page while `take` says `true`.
fn list(
    session: &Session<'_>,
    query: &ListQuery,
    mut take: impl FnMut(Vec<Place>) -> bool,
) -> Result<(), StoreError> {
    let statement = &LIST[usize::from(query.country.is_some())][usize::from(query.limit.is_some())];
    let mut parameters: Vec<&dyn rusqlite::ToSql> = vec![&query.min_population];
    let country = query.country.as_ref().map(CountryCode::as_str);
    if let Some(country) = &country {
        parameters.push(country);
    }
    if let Some(limit) = &query.limit {
        parameters.push(limit);
    }
    let mut page = Vec::new();
    session.each_row(statement, parameters.as_slice(), |row| {
        page.push(place(row)?);
        let full = page.len() == query.page_size;
        Ok(!full || take(std::mem::take(&mut page)))
    })?;
    if !page.is_empty() {
        // A client that has gone wants no last page.
        take(page);
    }
    Ok(())
}

/// A place out of the columns of a statement that begins with [`select_places!`].
fn place(row: &Row<'_>) -> Result<Place, StoreError> {
    let place = borrowed_place(row)?;
    Ok(Place {
        id: place.id,
        name: place.name.to_owned(),
        country: place.country,
        timezone: place.timezone.to_owned(),
        position: place.position,
        population: place.population,
    })
}

fn borrowed_place<'r>(row: &'r Row<'_>) -> Result<Place<&'r str>, StoreError> {
    let text = |column| -> Result<&'r str, StoreError> {
        Ok(row
            .get_ref(column)?
            .as_str()
            .map_err(rusqlite::Error::from)?)
    };
    let id = row.get(0)?;
    Ok(Place {
        id: PlaceId::new(id).ok_or(StoreError::Row(id))?,
        name: text(1)?,
        country: CountryCode::new(text(2)?).ok_or(StoreError::Row(id))?,
        timezone: text(3)?,
        position: Position::new(row.get(4)?, row.get(5)?).map_err(|_| StoreError::Row(id))?,
        population: row.get(6)?,
    })
}
