//! Trace diff: what did each arm *do* to answer the same call? The proxy's two CLIENT spans
//! (primary and shadow) of one trace are the roots; below each hangs what that arm did. Outbound
//! operations are compared as a contract: which, how often, with which errors, and writes in which
//! order. INTERNAL spans never match across languages, so they are looked through.

mod diff;
mod growth;
mod key;
mod over_pairs;
mod run;
mod sql;
mod subtree;
mod timing;
mod writes;

pub use diff::{Alignment, OpStats, OperationDiff, TraceDiff, diff_pair};
pub use growth::Growth;
pub use key::{is_read_key, is_write_key, operation_key};
pub use over_pairs::{OperationEvidence, stands_out};
pub use subtree::Subtree;

/// Attribute of the proxy's CLIENT spans for copies: bytes of the answer's messages on the wire.
pub const ANSWER_BYTES: &str = "cutover.answer.bytes";
/// Most attributes of a span that are looked at.
pub const MAX_ATTRIBUTES: usize = 128;

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
    /// The span's own name.
    pub name: String,
    /// What it stands for.
    pub kind: SpanKind,
    /// Start, ns since the Unix epoch by its own process's clock.
    pub start_ns: u64,
    /// End, likewise; taken as the start where it lies before it.
    pub end_ns: u64,
    /// Whether it ended in an error.
    pub error: bool,
    /// Attributes as text, at most [`MAX_ATTRIBUTES`].
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// From start to end, ns.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// The first of these attributes that is there and not empty.
    #[must_use]
    pub fn attribute(&self, names: &[&str]) -> Option<&str> {
        let bounded = || self.attributes.iter().take(MAX_ATTRIBUTES);
        names.iter().find_map(|name| {
            let found = bounded().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        })
    }
}

#[cfg(test)]
mod tests;
