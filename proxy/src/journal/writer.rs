//! The journal's thread: clears, encodes and writes the calls that are handed over.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use cutover_compare::Descriptors;
use cutover_manifest::RouteTable;

use super::entries::entries;
use super::format::write_entry;
use super::tap::Call;
use super::{Handed, JournalCounts};

/// What the thread owns.
pub(super) struct Writer {
    pub(super) out: BufWriter<File>,
    pub(super) max_bytes: u64,
    pub(super) descriptors: Descriptors,
    pub(super) table: RouteTable,
    /// Cleared once nothing more can be written.
    pub(super) open: Arc<AtomicBool>,
    pub(super) counts: JournalCounts,
}

impl Writer {
    /// Writes until the end is handed over. After an error nothing more is written.
    pub(super) fn run(mut self, handed: &Receiver<Handed>) -> io::Result<JournalCounts> {
        let written = self.write_all(handed);
        self.open.store(false, Ordering::Relaxed);
        if let Err(error) = &written {
            tracing::error!(%error, "recording ended: the journal can't be written to");
        }
        written.map(|()| self.counts)
    }

    fn write_all(&mut self, handed: &Receiver<Handed>) -> io::Result<()> {
        loop {
            let next = match handed.try_recv() {
                Err(TryRecvError::Empty) => {
                    // Whoever kills the process loses no call that had its time.
                    self.out.flush()?;
                    handed.recv().ok()
                }
                Err(TryRecvError::Disconnected) => None,
                Ok(next) => Some(next),
            };
            match next {
                Some(Handed::Call(call)) => self.call(&call)?,
                Some(Handed::End) | None => return self.out.flush(),
            }
        }
    }

    fn call(&mut self, call: &Call) -> io::Result<()> {
        if !self.open.load(Ordering::Relaxed) {
            self.counts.calls_dropped_full += 1;
            return Ok(());
        }
        let method = self.descriptors.method(&call.path);
        let rules = &self.table.route(&call.path).compare;
        let mut counts = self.counts;
        let entries = entries(call, counts.calls + 1, method, rules, &mut counts);
        let mut encoded = Vec::new();
        for entry in &entries {
            write_entry(&mut encoded, entry)?;
        }
        if counts.bytes + encoded.len() as u64 > self.max_bytes {
            tracing::warn!(
                max_bytes = self.max_bytes,
                "recording ended: the journal is full; calls pass as before"
            );
            self.counts.calls_dropped_full += 1;
            self.open.store(false, Ordering::Relaxed);
            return self.out.flush();
        }
        self.out.write_all(&encoded)?;
        counts.calls += 1;
        counts.entries += entries.len() as u64;
        counts.bytes += encoded.len() as u64;
        self.counts = counts;
        Ok(())
    }
}
