//! The tap of one recorded call: shared by its two bodies, and handed over when both are done
//! with it. On the call's path: keeps references, decodes nothing, waits for nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use cutover_wire::HeaderList;
use http::HeaderMap;

use super::Journal;
use crate::grpc;
use crate::shared::Taken;

/// What an event costs beside its payload.
const EVENT_BYTES: usize = 64;

/// One recorded call, as it passes.
#[derive(Clone)]
pub(crate) struct CallTap(Rc<RefCell<Seen>>);

/// What has passed so far.
pub(super) struct Seen {
    journal: Journal,
    started: Instant,
    /// None once it is over a bound.
    call: Option<Box<Call>>,
}

/// A call to be written.
pub(super) struct Call {
    /// By the wall clock; all times in the journal go on from here by the monotonic one.
    pub(super) at: SystemTime,
    pub(super) path: String,
    pub(super) authority: String,
    pub(super) headers: HeaderMap,
    pub(super) events: Vec<(Duration, Event)>,
    /// Holds the memory until the call is written.
    taken: Taken,
    /// Payload bytes of request and answer.
    bytes: [usize; 2],
}

/// What happened in a call, undecoded.
pub(super) enum Event {
    Request(Bytes),
    HalfClose,
    Headers(HeaderMap),
    Answer(Bytes),
    /// Status and the headers or trailers that hold it.
    End(u32, HeaderMap),
    Cancel,
}

impl Seen {
    pub(super) fn begin(journal: Journal, headers: &HeaderList, started: Instant) -> Seen {
        let text = |value: Option<&[u8]>| {
            let text = std::str::from_utf8(value.unwrap_or_default());
            text.unwrap_or_default().to_owned()
        };
        let authority = headers.get(b":authority").or_else(|| headers.get(b"host"));
        let mut call = Call {
            at: SystemTime::now(),
            path: text(headers.path()),
            authority: text(authority),
            headers: grpc::header_map(headers),
            events: Vec::new(),
            taken: journal.inner.budget.empty(),
            bytes: [0; 2],
        };
        let fits = call.taken.take(header_bytes(&call.headers));
        let mut seen = Seen {
            journal,
            started,
            call: Some(Box::new(call)),
        };
        if !fits {
            seen.behind();
        }
        seen
    }

    fn event(&mut self, event: Event) {
        let Some(call) = &mut self.call else { return };
        let (way, payload, other) = match &event {
            Event::Request(chunk) => (0, chunk.len(), 0),
            Event::Answer(chunk) => (1, chunk.len(), 0),
            Event::Headers(headers) | Event::End(_, headers) => (1, 0, header_bytes(headers)),
            Event::HalfClose | Event::Cancel => (0, 0, 0),
        };
        call.bytes[way] += payload;
        if call.bytes[way] > self.journal.inner.call_limit {
            self.call = None;
            let counter = &self.journal.inner.dropped_over_bound;
            counter.fetch_add(1, Ordering::Relaxed);
        } else if call.taken.take(payload + other + EVENT_BYTES) {
            call.events.push((self.started.elapsed(), event));
        } else {
            self.behind();
        }
    }

    fn behind(&mut self) {
        self.call = None;
        let counter = &self.journal.inner.dropped_behind;
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.journal.hand_over(call);
        }
    }
}

impl CallTap {
    pub(super) fn new(seen: Seen) -> CallTap {
        CallTap(Rc::new(RefCell::new(seen)))
    }

    /// A piece of the request's body.
    pub(crate) fn request(&self, chunk: &Bytes) {
        self.0.borrow_mut().event(Event::Request(chunk.clone()));
    }

    /// The request's end.
    pub(crate) fn half_close(&self) {
        self.0.borrow_mut().event(Event::HalfClose);
    }

    /// The answer's headers, unless they are its trailers too.
    pub(crate) fn headers(&self, headers: &HeaderMap) {
        self.0.borrow_mut().event(Event::Headers(headers.clone()));
    }

    /// A piece of the answer's body.
    pub(crate) fn answer(&self, chunk: &Bytes) {
        self.0.borrow_mut().event(Event::Answer(chunk.clone()));
    }

    /// The call's status, with the headers or trailers that hold it.
    pub(crate) fn end(&self, status: u32, trailers: &HeaderMap) {
        self.0
            .borrow_mut()
            .event(Event::End(status, trailers.clone()));
    }

    /// The client went away.
    pub(crate) fn cancel(&self) {
        self.0.borrow_mut().event(Event::Cancel);
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + EVENT_BYTES
    };
    headers.iter().map(pair).sum()
}
