//! One call while it lasts: where its two streams are, how far request and answer have come, and
//! what is done with it at its end: counted, traced, and handed to whoever wanted to see it.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use cutover_manifest::{Arm, Role};
use cutover_wire::{HeaderList, StreamKey};

use crate::grpc::code;
use crate::observe::Stats;
use crate::route::{Method, TraceContext};
use crate::spans::{CallSpan, Spans};
use crate::taps::Taps;

/// Bytes of a request that are kept so that it can be sent again; a longer one is sent only once.
const KEPT_BODY_BYTES: usize = 64 << 10;
/// A request's memory above this is given back, and not used for the next one.
const SPARE_BYTES: usize = 4 << 10;

/// A call, or a copy of one.
pub(crate) struct Call {
    /// Tells calls apart that had the same place one after the other.
    pub(crate) serial: u32,
    pub(crate) client: Place,
    /// None while the call waits for a connection, and once its stream there is over.
    pub(crate) upstream: Option<Place>,
    pub(crate) method: Rc<Method>,
    pub(crate) arm: Arm,
    /// Only a primary call is counted and traced here.
    pub(crate) role: Role,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: TraceContext,
    pub(crate) server_span: [u8; 8],
    pub(crate) client_span: [u8; 8],
    pub(crate) request: Progress,
    pub(crate) answer: Progress,
    /// Known once the arm or the proxy has said it.
    pub(crate) status: Option<u32>,
    /// What the request took from the client's windows and has not left yet.
    pub(crate) owed: u32,
    /// Bytes of the answer that wait for the client, and since when none of them left.
    pub(crate) unsent: usize,
    pub(crate) stuck_since: Instant,
    /// How many bytes went out on the upstream connection before this call's first one.
    pub(crate) sent_behind: u64,
    pub(crate) attempt: Attempt,
    /// The request, until it is certain that it isn't sent again.
    pub(crate) kept: Option<Box<Kept>>,
    pub(crate) taps: Option<Box<Taps>>,
}

/// A stream of one of the core's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) link: usize,
    pub(crate) stream: StreamKey,
}

/// How far one direction of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing yet. A request is never here.
    Awaited,
    Begun,
    Ended,
}

/// Whether a request may be sent again where it was provably not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    Second,
}

/// A request as it goes, or has gone, to an arm.
#[derive(Default)]
pub(crate) struct Kept {
    /// Without what is the proxy's own: trace and time-out are added when it is sent.
    pub(crate) head: HeaderList,
    pub(crate) has_authority: bool,
    pub(crate) body: Vec<u8>,
    /// The body of a copy.
    pub(crate) chunks: Vec<Bytes>,
    /// Whether `body` is all that came so far.
    pub(crate) whole: bool,
}

impl Kept {
    /// Keeps more of the body, within the bound.
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        if self.whole && self.body.len() + chunk.len() <= KEPT_BODY_BYTES {
            self.body.extend_from_slice(chunk);
        } else {
            self.whole = false;
            self.body = Vec::new();
        }
    }

    /// Takes the body to send it; what may be sent once more stays.
    pub(crate) fn take_body(&mut self, attempt: Attempt) -> Vec<u8> {
        if attempt == Attempt::Second || self.body.len() > KEPT_BODY_BYTES {
            self.whole = false;
            return std::mem::take(&mut self.body);
        }
        self.body.clone()
    }

    /// Empties it for another call; false if it isn't worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        let small = self.head.size_bytes() <= SPARE_BYTES && self.body.capacity() <= SPARE_BYTES;
        self.head.clear();
        self.body.clear();
        self.chunks = Vec::new();
        small
    }
}

impl Call {
    /// What is left of the caller's time.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(now))
    }

    /// Whether everything of the answer has gone to the client.
    pub(crate) fn is_over(&self) -> bool {
        self.answer == Progress::Ended && self.unsent == 0
    }

    /// Counts and traces the call; it is over. Without a status the client went away.
    pub(crate) fn end(&mut self, now: Instant, spans: &Spans, stats: &mut Stats) {
        let status = self.status.unwrap_or(code::CANCELLED);
        let duration = now.saturating_duration_since(self.started);
        let primary = self.role == Role::Primary;
        if primary {
            self.method.ended(self.arm, status, duration);
        }
        if primary && self.trace.sampled {
            let span = |id, parent| CallSpan {
                trace: &self.trace,
                id,
                parent,
                method: &self.method.label,
                arm: self.arm,
                role: self.role,
                status,
                started: SystemTime::now() - duration,
                duration,
                // The copies' spans say how long the answer is.
                answer_bytes: None,
            };
            spans.client(&span(self.client_span, Some(self.server_span)));
            spans.server(&span(self.server_span, self.trace.parent));
        }
        if let Some(taps) = self.taps.take() {
            taps.end(self.status, duration, stats);
        }
    }
}
