//! The store: one SQLite file or one Postgres, one thread that owns it, one bounded queue of jobs
//! before it. Each job is one transaction. Routing never waits for it: a job that finds the queue
//! full is refused, and the next snapshot saves the state again. What is in the tables, and how it
//! gets there, is in the modules below.

mod database;
mod decisions;
mod examples;
mod health;
mod location;
mod postgres;
mod replicas;
mod retention;
mod schema;
mod sqlite;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread::JoinHandle;

use cutover_proto::cutover::v1 as wire;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use database::{Database, Row, Value};
use postgres::Postgres;
use schema::Unfit;
use sqlite::Sqlite;

pub(crate) use database::{DatabaseError, Session, chain};
pub(crate) use decisions::{Sought, find_decision, list_decisions, save_decisions};
pub(crate) use examples::{Which, list_samples, list_trace_pairs, save_sample, save_trace_pair};
pub(crate) use health::{Health, Outage};
pub(crate) use location::Location;
pub(crate) use replicas::{Others, Polled, ReadingRow, TraceRow, leave, load_others, poll};
pub(crate) use retention::prune;
pub(crate) use state::{
    Change, Committed, EvidenceRow, ProxyRow, RampRow, Saved, Snapshot, load, save_change,
    save_snapshot,
};

/// Most jobs that wait for the store's thread.
const QUEUE: usize = 1_024;

type Job = Box<dyn FnOnce(&mut dyn Database) + Send>;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL can't be read.
    #[error(
        "the store's URL is wrong: {why}: write it as postgres://USER@HOST:PORT/DATABASE, with \
         the password in PGPASSWORD or in the file that CUTOVER_STORE_PASSWORD_FILE names"
    )]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a newer version.
    #[error(
        "{store}: the store has version {found}, this cutover reads up to {known}: use the newer \
         cutover, or another store with --store"
    )]
    Newer {
        /// The file, or the URL without its password.
        store: String,
        /// Its version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// There is something else in it.
    #[error("{store}: this database is not a store of cutover: name another one with --store")]
    Foreign {
        /// The file, or the URL without its password.
        store: String,
    },
    /// Another process has the file open.
    #[error(
        "{store}: another process has the store open: stop it, or name another file with --store"
    )]
    InUse {
        /// The file.
        store: String,
    },
    /// Postgres can't be reached, or doesn't let us in.
    #[error(
        "{store}: cannot connect to Postgres ({why}): start it, or correct spec.control.store or \
         --store; nothing was started, no call is routed by this process"
    )]
    Unreachable {
        /// The URL without its password.
        store: String,
        /// What went wrong.
        why: String,
    },
    /// The database refused what it was asked.
    #[error("{store}: cannot open the store: {why}")]
    Database {
        /// The file, or the URL without its password.
        store: String,
        /// What the database said.
        why: String,
    },
    /// A corrupt file can't be put aside, or the thread can't be started.
    #[error("{store}: cannot {action}")]
    Io {
        /// The file, or the URL without its password.
        store: String,
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
    /// Another control plane has changed the state in the meantime.
    #[error("another control plane has changed the state in the meantime")]
    Overtaken,
    /// The database refused, or is away.
    #[error("the store failed: {}", chain(.0))]
    Failed(DatabaseError),
}

/// What [`Store::open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, or an empty file.
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
    health: Arc<Health>,
    location: Location,
}

/// The answer to a job, later.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, DatabaseError>>;

impl Store {
    /// Opens a store, puts a corrupt file aside, migrates an old one, and loads what it holds.
    /// Blocks.
    pub(crate) fn open(
        location: &Location,
        clock: Clock,
    ) -> Result<(Store, Saved, Found), OpenError> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (tell, opened) = blocking::channel();
        let health = Arc::new(Health::new(clock));
        let place = location.clone();
        let failed = |action, source| OpenError::Io {
            store: location.to_string(),
            action,
            source,
        };
        let thread = std::thread::Builder::new()
            .name("cutover-store".into())
            .spawn(move || {
                // A connection stays with the thread that made it.
                match open(&place, clock) {
                    Ok((database, saved, found)) => {
                        if tell.send(Ok((saved, found))).is_ok() {
                            work(database, waiting);
                        }
                    }
                    // Whoever opens it waits for this.
                    Err(error) => _ = tell.send(Err(error)),
                }
            })
            .map_err(|source| failed("start the store's thread", source))?;
        let died = || failed("run the store's thread", io::ErrorKind::BrokenPipe.into());
        let (saved, found) = opened.recv().map_err(|_| died())??;
        let store = Store {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            health,
            location: location.clone(),
        };
        Ok((store, saved, found))
    }

    /// Since when the database does not do what it is asked, if so.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.health.outage()
    }

    /// Where it is, and since when it does not do what it is asked, if so.
    pub(crate) fn status(&self) -> wire::StoreStatus {
        let outage = self.outage();
        wire::StoreStatus {
            location: self.location.to_string(),
            unavailable_since_unix_ms: outage.as_ref().map_or(0, |o| o.since_unix_ms),
            error: outage.map_or_else(String::new, |o| o.why),
            ..wire::StoreStatus::default()
        }
    }

    /// Hands a job over without waiting; jobs are done in the order of the calls. What a job
    /// changes is there for good when its answer says so; where it fails, it has changed nothing.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Session) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<Answer<T>, StoreError> {
        let (tell, answer) = oneshot::channel();
        let health = self.health.clone();
        let job: Job = Box::new(move |database| {
            let mut watched = Watched {
                database,
                wrote: false,
            };
            let done = watched.transact(job);
            match &done {
                Ok(_) if watched.wrote => health.good(),
                Ok(_) => {}
                Err(error) => health.bad(error),
            }
            // Whoever doesn't wait for the answer has said so by dropping it.
            let _ = tell.send(done);
        });
        self.hand_over(job)?;
        Ok(answer)
    }

    fn hand_over(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let sent = jobs.ok_or(StoreError::Closed)?.try_send(job);
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    /// Does a job and waits for its answer.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Session) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, StoreError> {
        Store::answer(self.submit(job)).await
    }

    /// Waits for the answer to a job that was handed over, or was not.
    pub(crate) async fn answer<T>(
        submitted: Result<Answer<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = submitted?.await.map_err(|_| StoreError::Closed)?;
        answer.map_err(StoreError::Failed)
    }

    /// Lets the database give back the space of rows that have gone, when it comes to that.
    pub(crate) fn shrink(&self) {
        let shrink: Job = Box::new(|database| {
            if let Err(error) = database.shrink() {
                tracing::warn!(error = chain(&error), "the store can't be made smaller");
            }
        });
        // With a full queue there is more urgent work; it is tried again after the next pruning.
        let _ = self.hand_over(shrink);
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

fn work(mut database: Box<dyn Database>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(&mut *database);
    }
    database.close();
}

/// A database, watched for whether it was written to: reading is no sign that a disk has space.
struct Watched<'a> {
    database: &'a mut dyn Database,
    wrote: bool,
}

impl Watched<'_> {
    /// Does a job in a transaction of its own.
    fn transact<T>(
        &mut self,
        job: impl FnOnce(&mut dyn Session) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        self.database.begin()?;
        let done = job(self).and_then(|done| self.database.commit().map(|()| done));
        if done.is_err() {
            self.database.rollback();
        }
        done
    }
}

impl Session for Watched<'_> {
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, DatabaseError> {
        self.wrote = true;
        self.database.execute(sql, values)
    }

    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        self.database.query(sql, values)
    }

    fn now_ms(&mut self) -> Result<i64, DatabaseError> {
        self.database.now_ms()
    }
}

type Opened = (Box<dyn Database>, Saved, Found);

fn open(location: &Location, clock: Clock) -> Result<Opened, OpenError> {
    let explained = |unfit| explained(location, unfit);
    match location {
        Location::Postgres(postgres) => {
            let (postgres, found) = Postgres::open(postgres.clone(), clock).map_err(explained)?;
            loaded(Box::new(postgres), found).map_err(explained)
        }
        Location::File(path) => {
            let opened = || {
                let (sqlite, found) = Sqlite::open(path)?;
                loaded(Box::new(sqlite), found)
            };
            match opened() {
                Err(Unfit::Database(error)) if error.is_corrupt() => {
                    let aside = sqlite::quarantine(path, clock.unix_ms())?;
                    tracing::error!(
                        store = %path.display(),
                        aside = %aside.display(),
                        error = chain(&error),
                        "the store was corrupt: put aside, going on with a fresh one"
                    );
                    let (database, saved, _) = opened().map_err(explained)?;
                    Ok((database, saved, Found::Quarantined(aside)))
                }
                opened => opened.map_err(explained),
            }
        }
    }
}

fn loaded(mut database: Box<dyn Database>, found: Found) -> Result<Opened, Unfit> {
    let saved = load(&mut *database)?;
    Ok((database, saved, found))
}

fn explained(location: &Location, unfit: Unfit) -> OpenError {
    let store = location.to_string();
    match unfit {
        Unfit::Foreign => OpenError::Foreign { store },
        Unfit::Newer(found) => OpenError::Newer {
            store,
            found,
            known: schema::VERSION,
        },
        Unfit::Unreachable(error) => OpenError::Unreachable {
            store,
            why: chain(&error),
        },
        Unfit::Thread(source) => OpenError::Io {
            store,
            action: "start the store's thread",
            source,
        },
        Unfit::Database(error) if error.is_busy() => OpenError::InUse { store },
        Unfit::Database(error) => OpenError::Database {
            store,
            why: chain(&error),
        },
    }
}

#[cfg(test)]
mod tests;
