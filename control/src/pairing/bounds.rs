//! The named bounds of pairing.

use std::time::Duration;

use cutover_manifest::Tracing;

use super::finished;

/// What pairing may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How long a trace must have been quiet.
    pub(crate) quiet: Duration,
    /// How long a trace may wait for what is missing.
    pub(crate) longest: Duration,
    /// Most spans held.
    pub(crate) max_spans: usize,
    /// Most bytes held.
    pub(crate) max_bytes: usize,
    /// Most spans of one trace.
    pub(crate) max_spans_per_trace: usize,
}

impl Bounds {
    /// Bytes for traces: what is left beside what is held in any case.
    pub(super) fn room(&self) -> usize {
        self.max_bytes.saturating_sub(finished::MAX_BYTES)
    }
}

impl From<&Tracing> for Bounds {
    fn from(tracing: &Tracing) -> Bounds {
        Bounds {
            quiet: tracing.quiet,
            longest: tracing.longest,
            max_spans: tracing.max_spans,
            max_bytes: tracing.memory_bytes,
            max_spans_per_trace: tracing.max_spans_per_trace,
        }
    }
}
