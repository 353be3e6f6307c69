//! Trace diff: what did each arm *do* to answer the same call? The proxy's two CLIENT spans
//! (primary and shadow) of one trace are the roots; below each hangs what that arm did. Outbound
//! operations are compared as a contract: which, how often, with which errors, and writes in which
//! order. INTERNAL spans never match across languages, so they are looked through.

mod diff;
mod growth;
mod key;
mod label;
mod over_pairs;
mod run;
mod sql;
mod subtree;
mod timing;
mod writes;

use std::sync::Arc;

pub use diff::{Alignment, OpStats, OperationDiff, TraceDiff, diff_pair};
pub use growth::{Twos, grows_with_answer};
pub use key::{ATTRIBUTES, Effect, Operation, is_read_key, is_write_key};
pub use label::Label;
pub use over_pairs::{OperationEvidence, stands_out};
pub use subtree::Subtree;

/// Attribute of the proxy's CLIENT spans for copies: bytes of the answer's messages on the wire.
pub const ANSWER_BYTES: &str = "cutover.answer.bytes";

/// What a span stands for, as in OTLP; UNSPECIFIED counts as internal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Work inside a process.
    #[default]
    Internal,
    /// The handling of a request.
    Server,
    /// A request to somewhere else.
    Client,
    /// A message sent.
    Producer,
    /// A message received.
    Consumer,
}

impl SpanKind {
    /// From OTLP's number.
    #[must_use]
    pub fn from_otlp(number: i32) -> SpanKind {
        match number {
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        }
    }
}

/// A span, as far as the comparison needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Id of the trace.
    pub trace_id: [u8; 16],
    /// Id of the span, unique in its trace.
    pub span_id: [u8; 8],
    /// Id of the span above; `None` for the first of a trace.
    pub parent_id: Option<[u8; 8]>,
    /// Start, ns since the Unix epoch by its own process's clock.
    pub start_ns: u64,
    /// End, likewise; taken as the start where it lies before it.
    pub end_ns: u64,
    /// Whether it ended in an error.
    pub error: bool,
    /// What it has in common with others of its sort, and shares with them.
    pub label: Arc<Label>,
}

impl Span {
    /// From start to end, ns.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

#[cfg(test)]
mod tests;
