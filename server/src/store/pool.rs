//! A bounded pool of connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{BUSY_TIMEOUT, StoreError};

/// Connections that wait for the next call; the others are closed after use.
const MAX_IDLE: usize = 4;
/// SQLite's page cache of a connection, in KiB.
const CACHE_KIB: i64 = 512;

/// Opens connections as they are needed, at most so many at once for what blocks.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(path: PathBuf, size: usize) -> Self {
        Self {
            path,
            permits: Arc::new(Semaphore::new(size)),
            idle: Mutex::default(),
        }
    }

    /// Does `work` with a connection on a blocking thread. Work that has begun goes on to its end
    /// even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(self);
        let worked = tokio::task::spawn_blocking(move || {
            let connection = pool.take()?;
            let result = work(&connection);
            if result.is_ok() {
                pool.give_back(connection);
            }
            drop(permit);
            result
        });
        worked.await.map_err(|_| StoreError::Closed)?
    }

    /// Does `work` with a connection on this thread. For short reads only: in WAL they don't wait
    /// for the writer, and take less time than the way to a blocking thread and back. As they
    /// never await, there are at most as many connections as threads.
    pub(super) fn run_here<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.take()?;
        let result = work(&connection);
        if result.is_ok() {
            self.give_back(connection);
        }
        result
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(idle.map_or_else(|| connect(&self.path), Ok)?)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }
}

/// Opens the file, which must be there; in WAL readers and the writer don't block each other.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A visit that was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}
