//! The store: one SQLite file, one thread that owns it, one bounded queue of jobs before it.
//! Routing never waits for it: a job that finds the queue full is refused, and the next snapshot
//! saves the state again. What is in the tables, and how it gets there, is in the modules below.

mod decisions;
mod examples;
mod schema;
mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

pub(crate) use decisions::{Sought, find_decision, list_decisions};
pub(crate) use examples::{Which, list_samples, list_trace_pairs, save_sample, save_trace_pair};
pub(crate) use state::{
    Change, EvidenceRow, ProxyRow, RampRow, Saved, Snapshot, load, save_change, save_snapshot,
};

/// Most jobs that wait for the store's thread.
const QUEUE: usize = 1_024;
/// How long another process may hold the file before opening gives up.
const BUSY: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file was written by a newer version.
    #[error(
        "{}: the store has version {found}, this cutover reads up to {known}: use the newer \
         cutover, or another file with --store",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// The file is a database of something else.
    #[error(
        "{}: this SQLite file is not a store of cutover: name another file with --store",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error(
        "{}: another process has the store open: stop it, or name another file with --store",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder can't be used.
    #[error("{}: cannot open the store", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A corrupt file can't be put aside, or the thread can't be started.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Too many jobs wait: the disk is too slow, or stalled.
    #[error("the store's queue of {QUEUE} jobs is full")]
    Full,
    /// It was not done within the time that its caller had.
    #[error("the store did not save it in time; it goes on trying")]
    Slow,
    /// The thread has ended.
    #[error("the store is closed")]
    Closed,
    /// SQLite refused.
    #[error("the store failed")]
    Sqlite(#[source] rusqlite::Error),
}

/// What [`Store::open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file, or an empty one.
    Fresh,
    /// A good store.
    Kept,
    /// A corrupt file, put aside under this name; the store is a fresh one.
    Quarantined(PathBuf),
}

/// A handle on the store's thread.
pub(crate) struct Store {
    /// `None` once it is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The answer to a job, later.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, rusqlite::Error>>;

impl Store {
    /// Opens the file, puts a corrupt one aside, migrates an old one, and loads what it holds.
    pub(crate) fn open(path: &Path, unix_ms: i64) -> Result<(Store, Saved, Found), OpenError> {
        let (connection, saved, found) = match open_and_load(path) {
            Ok((connection, saved, found)) => (connection, saved, found),
            Err(OpenError::Sqlite { source, .. }) if is_corrupt(&source) => {
                let aside = quarantine(path, unix_ms)?;
                tracing::error!(
                    store = %path.display(),
                    aside = %aside.display(),
                    error = %source,
                    "the store was corrupt: put aside, going on with a fresh one; the ramps \
                     begin at weight 0"
                );
                let (connection, saved, _) = open_and_load(path)?;
                (connection, saved, Found::Quarantined(aside))
            }
            Err(error) => return Err(error),
        };
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("cutover-store".into())
            .spawn(move || work(connection, waiting))
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                action: "start the store's thread",
                source,
            })?;
        Ok((
            Store {
                jobs: Mutex::new(Some(jobs)),
                thread: Mutex::new(Some(thread)),
            },
            saved,
            found,
        ))
    }

    /// Hands a job over without waiting; jobs are done in the order of the calls.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Answer<T>, StoreError> {
        let (tell, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = job(connection);
            if let Err(error) = &done {
                tracing::error!(%error, "the store failed");
            }
            // Whoever doesn't wait for the answer has said so by dropping it.
            let _ = tell.send(done);
        });
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match jobs.ok_or(StoreError::Closed)?.try_send(job) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StoreError::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::Closed),
        }
    }

    /// Does a job and waits for its answer.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.submit(job)?;
        answer
            .await
            .map_err(|_| StoreError::Closed)?
            .map_err(StoreError::Sqlite)
    }

    /// Takes no more jobs, lets the thread finish those it has, and waits for it. Blocks.
    pub(crate) fn close(&self) {
        drop(
            self.jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn work(mut connection: Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(&mut connection);
    }
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "the store did not close well");
    }
}

fn open_and_load(path: &Path) -> Result<(Connection, Saved, Found), OpenError> {
    let sqlite = |source| OpenError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    let prepared = connection
        .busy_timeout(BUSY)
        .map_err(schema::PrepareError::Sqlite)
        .and_then(|()| schema::prepare(&mut connection));
    let found = match prepared {
        Ok(found) => found,
        Err(schema::PrepareError::Newer(found)) => {
            let known = schema::VERSION;
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known,
            });
        }
        Err(schema::PrepareError::Foreign) => {
            return Err(OpenError::Foreign {
                path: path.to_owned(),
            });
        }
        Err(schema::PrepareError::Sqlite(source)) => {
            return Err(match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse {
                    path: path.to_owned(),
                },
                _ => sqlite(source),
            });
        }
    };
    let saved = load(&connection).map_err(sqlite)?;
    Ok((connection, saved, found))
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        // A table that is not there, or a column of the wrong type, under our own version number.
        || matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        )
        || matches!(error, rusqlite::Error::SqliteFailure(_, Some(message))
            if message.starts_with("no such"))
}

fn quarantine(path: &Path, unix_ms: i64) -> Result<PathBuf, OpenError> {
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
                    path: path.to_owned(),
                    action: "put the corrupt store aside",
                    source,
                });
            }
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_fresh_store_is_kept_when_opened_again() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        assert_eq!(Store::open(&path, 1).unwrap().2, Found::Fresh);
        assert_eq!(Store::open(&path, 2).unwrap().2, Found::Kept);
    }

    #[test]
    fn a_corrupt_file_is_put_aside_and_a_fresh_store_begins() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        std::fs::write(&path, vec![0x5a; 8_192]).unwrap();
        let (_store, saved, found) = Store::open(&path, 7).unwrap();
        let aside = folder.path().join("cutover.db.corrupt-7");
        assert_eq!(found, Found::Quarantined(aside.clone()));
        assert_eq!(std::fs::read(aside).unwrap(), vec![0x5a; 8_192]);
        assert!(saved.ramps.is_empty());
    }

    #[test]
    fn flipped_bytes_in_a_page_are_found_at_the_start() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        drop(Store::open(&path, 1).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(4_096).take(4_096) {
            *byte ^= 0xff;
        }
        std::fs::write(&path, bytes).unwrap();
        let found = Store::open(&path, 9).unwrap().2;
        assert!(matches!(found, Found::Quarantined(_)), "{found:?}");
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_left_alone() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        drop(Store::open(&path, 1).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        drop(connection);
        let error = Store::open(&path, 2).err().unwrap();
        assert!(
            matches!(error, OpenError::Newer { found: 999, .. }),
            "{error}"
        );
        assert!(path.exists());
    }

    #[test]
    fn a_database_of_something_else_is_refused_and_left_alone() {
        let folder = folder();
        let path = folder.path().join("gazetteer.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE places (id INTEGER)")
            .unwrap();
        drop(connection);
        let error = Store::open(&path, 2).err().unwrap();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_a_kill() {
        let folder = folder();
        let (path, copy) = (
            folder.path().join("cutover.db"),
            folder.path().join("copy.db"),
        );
        let (store, _, _) = Store::open(&path, 1).unwrap();
        for generation in 1..=20 {
            let change = Change {
                generation,
                epoch: 1,
                ..Change::default()
            };
            store.call(move |c| save_change(c, &change)).await.unwrap();
            // The files as they are at this moment are all that a killed process leaves behind.
            for suffix in ["", "-wal"] {
                let named = |base: &Path| format!("{}{suffix}", base.display());
                std::fs::copy(named(&path), named(&copy)).unwrap();
            }
            let (_, saved, found) = Store::open(&copy, 2).unwrap();
            assert_eq!((saved.generation, found), (generation, Found::Kept));
        }
    }

    #[tokio::test]
    async fn a_closed_store_says_so() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        let (store, _, _) = Store::open(&path, 1).unwrap();
        store.close();
        assert!(matches!(
            store.call(|_| Ok(())).await,
            Err(StoreError::Closed)
        ));
        assert_eq!(Store::open(&path, 1).unwrap().2, Found::Kept);
    }

    #[test]
    fn two_processes_cannot_have_it_open() {
        let folder = folder();
        let path = folder.path().join("cutover.db");
        let _first = Store::open(&path, 1).unwrap();
        let error = Store::open(&path, 2).err().unwrap();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    }
}
