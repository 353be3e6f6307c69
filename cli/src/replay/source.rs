//! The recording: read on a thread of its own, a few calls ahead.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use cutover_proxy::journal::{Calls, Entries, Entry, ReadError, RecordedCall};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Calls read ahead.
const READ_AHEAD: usize = 64;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A recording that is being read.
#[derive(Debug)]
pub(super) struct Source {
    bytes: u64,
    position: Arc<AtomicU64>,
    calls: mpsc::Receiver<RecordedCall>,
    thread: JoinHandle<End>,
}

/// How reading ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Places in the file that hold no entry, though their lengths fit.
    pub(super) undecodable: u64,
    /// Why reading ended before the file did.
    pub(super) error: Option<ReadError>,
}

impl Source {
    /// Opens a recording and begins to read it.
    pub(super) fn open(file: &Path) -> Result<Source, Failure> {
        let name = file.display();
        let opened = File::open(file).and_then(|f| f.metadata().map(|about| (f, about)));
        let (mut opened, about) = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::usage(format!("there is no recording at {name}"))
                .help("make one with `cutover record --out FILE`"),
            _ => Failure::failed(format!("can't read {name}: {error}")),
        })?;
        if !about.is_file() {
            return Err(Failure::usage(format!("{name} is not a file")));
        }
        begins_well(file, &mut opened)?;
        let position = Arc::new(AtomicU64::new(0));
        let (sender, calls) = mpsc::channel(READ_AHEAD);
        let reached = position.clone();
        let read = move || {
            let mut calls = Calls::new(BufReader::with_capacity(BUFFER_BYTES, opened));
            while let Some(call) = calls.read() {
                reached.store(calls.position(), Ordering::Relaxed);
                if sender.blocking_send(call).is_err() {
                    break;
                }
            }
            End {
                undecodable: calls.undecodable(),
                error: calls.into_error(),
            }
        };
        let thread = std::thread::Builder::new()
            .name("cutover-replay".to_owned())
            .spawn(read)
            .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
        Ok(Source {
            bytes: about.len(),
            position,
            calls,
            thread,
        })
    }

    /// The file's size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How far reading is.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// The next call.
    pub(super) async fn next(&mut self) -> Option<RecordedCall> {
        self.calls.recv().await
    }

    /// Ends reading, wherever it is.
    pub(super) fn end(self) -> End {
        drop(self.calls);
        self.thread.join().unwrap_or_default()
    }
}

/// What doesn't begin with an entry is something else: told before anything is sent.
fn begins_well(name: &Path, file: &mut File) -> Result<(), Failure> {
    let wrong = |reason: String| {
        Failure::usage(format!("{} is not a binary log", name.display()))
            .at(reason)
            .help("give a file that `cutover record` or gRPC's binary logging has written")
    };
    match Entries::new(&mut *file).read() {
        Ok(None) => {}
        Ok(Some(Entry::Good(entry))) if entry.call_id != 0 => {}
        Ok(Some(_)) => return Err(wrong("it doesn't begin with an entry".to_owned())),
        Err(error) => return Err(wrong(error.to_string())),
    }
    file.rewind()
        .map_err(|error| Failure::failed(format!("can't read {}: {error}", name.display())))
}

impl End {
    /// What a person should know of the file, if anything.
    pub(super) fn note(&self) -> Option<String> {
        match (&self.error, self.undecodable) {
            (Some(error), _) => Some(format!("{error}; what stands before it was used")),
            (None, 0) => None,
            (None, n) => Some(format!(
                "{n} of its entries don't decode; the rest was used"
            )),
        }
    }

    /// Whether calls may be missing without anybody having cut the file off.
    pub(super) fn is_damaged(&self) -> bool {
        let cut_off = matches!(self.error, None | Some(ReadError::Truncated { .. }));
        !cut_off || self.undecodable > 0
    }
}
