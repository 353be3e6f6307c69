//! The journal: calls written to a file in gRPC's own binary log format, and read back from it.
//!
//! A sampled call is tapped like a mirrored one: references to its frames are kept as they pass,
//! and the whole call is handed over with `try_send` when both its bodies have ended. A thread of
//! its own clears what must not be stored and writes. A full queue or a spent memory budget means
//! that the call is left out and counted; calls pass untouched whatever happens here.

mod calls;
mod entries;
mod format;
mod tap;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use cutover_compare::Descriptors;
use cutover_manifest::{Manifest, Percent, RouteTable, Weights};
use cutover_wire::HeaderList;
use rand::RngCore;

use crate::shared::Budget;
use tap::{Call, Seen};
use writer::Writer;

pub use calls::{Calls, Incomplete, RecordedCall};
pub use format::{Entries, Entry, ReadError, write_entry};
pub(crate) use tap::CallTap;

/// Calls that wait for the writer.
const QUEUE: usize = 1_024;
/// Memory of all calls that are under way or wait for the writer.
const MEMORY_BYTES: usize = 64 << 20;

/// What is recorded, and where to.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The file; it must not be there yet.
    pub file: PathBuf,
    /// Share of calls that are recorded.
    pub share: Percent,
    /// Most bytes of the file; a call that would pass it ends the recording.
    pub max_bytes: u64,
    /// The methods and their messages. Calls of other methods are written without messages.
    pub descriptors: Descriptors,
    /// Says by method which fields are cleared.
    pub manifest: Arc<Manifest>,
}

/// Why there is no journal, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be made.
    #[error("can't make {file}")]
    Create {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be written on. What was written before is good.
    #[error("can't write to {file}: recording ended there")]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer is gone.
    #[error("the journal's thread ended early")]
    Thread,
}

/// What was recorded, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Calls written.
    pub calls: u64,
    /// Entries written.
    pub entries: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Fields cleared because they are marked `debug_redact` or listed under `redact`.
    pub fields_cleared: u64,
    /// Messages left out because they don't decode, so that nothing in them can be cleared.
    pub messages_dropped: u64,
    /// Calls left out because the writer was behind, or the memory was spent.
    pub calls_dropped_behind: u64,
    /// Calls left out because they were larger than `limits.maxComparedMessageBytes`.
    pub calls_dropped_over_bound: u64,
    /// Calls left out because the file was full, or could not be written to.
    pub calls_dropped_full: u64,
}

/// A recording: what the proxy hands calls to. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    sender: SyncSender<Handed>,
    share: Percent,
    budget: Arc<Budget>,
    /// Bytes of one call, each way.
    call_limit: usize,
    /// False once the file is full or broken.
    open: Arc<AtomicBool>,
    dropped_behind: AtomicU64,
    dropped_over_bound: AtomicU64,
    dropped_full: AtomicU64,
    thread: Mutex<Option<JoinHandle<Result<JournalCounts, JournalError>>>>,
}

/// What is handed to the writer.
enum Handed {
    Call(Box<Call>),
    End,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("share", &self.inner.share)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Makes the file, readable by its owner only, and starts the writer.
    ///
    /// # Errors
    /// The file is there already, or can't be made.
    pub fn create(options: JournalOptions) -> Result<Journal, JournalError> {
        let JournalOptions {
            file,
            share,
            max_bytes,
            descriptors,
            manifest,
        } = options;
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file);
        let out = opened.map_err(|source| JournalError::Create {
            file: file.clone(),
            source,
        })?;
        let (sender, handed) = sync_channel(QUEUE);
        let open = Arc::new(AtomicBool::new(true));
        let call_limit = manifest.limits.max_compared_message_bytes;
        let writer = Writer {
            out: io::BufWriter::new(out),
            max_bytes,
            descriptors,
            table: RouteTable::build(manifest, &Weights::default(), 0, 0),
            open: open.clone(),
            counts: JournalCounts::default(),
        };
        let name = file.clone();
        let thread = std::thread::Builder::new()
            .name("cutover-journal".to_owned())
            .spawn(move || {
                let written = writer.run(&handed);
                written.map_err(|source| JournalError::Write { file: name, source })
            })
            .map_err(|source| JournalError::Create { file, source })?;
        Ok(Journal {
            inner: Arc::new(Inner {
                sender,
                share,
                budget: Budget::new(MEMORY_BYTES),
                call_limit,
                open,
                dropped_behind: AtomicU64::new(0),
                dropped_over_bound: AtomicU64::new(0),
                dropped_full: AtomicU64::new(0),
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Writes what waits, and tells what was recorded. Blocks; for after the proxy's shutdown.
    ///
    /// # Errors
    /// Writing failed at some moment, or this was called before.
    pub fn finish(&self) -> Result<JournalCounts, JournalError> {
        let mut slot = self
            .inner
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let thread = slot.take().ok_or(JournalError::Thread)?;
        // A writer that is gone has left its reason behind.
        let _ = self.inner.sender.send(Handed::End);
        let written = thread.join().map_err(|_| JournalError::Thread)??;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(JournalCounts {
            calls_dropped_behind: count(&self.inner.dropped_behind),
            calls_dropped_over_bound: count(&self.inner.dropped_over_bound),
            calls_dropped_full: written.calls_dropped_full + count(&self.inner.dropped_full),
            ..written
        })
    }

    /// A tap for this call, if it is one of those to record.
    pub(crate) fn sample(&self, headers: &HeaderList, started: Instant) -> Option<CallTap> {
        let share = self.inner.share;
        let chosen = share == Percent::FULL
            || (share != Percent::ZERO && rand::rng().next_u64() % 10_000 < u64::from(share.bp()));
        if !chosen {
            return None;
        }
        if !self.inner.open.load(Ordering::Relaxed) {
            self.inner.dropped_full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(CallTap::new(Seen::begin(self.clone(), headers, started)))
    }

    fn hand_over(&self, call: Box<Call>) {
        let counter = match self.inner.sender.try_send(Handed::Call(call)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => &self.inner.dropped_behind,
            Err(TrySendError::Disconnected(_)) => &self.inner.dropped_full,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
