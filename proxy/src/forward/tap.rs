//! What sees the bodies of a call as they pass: the collectors of mirrored calls, and the journal.
//! They keep references, not bytes, and never hold a frame back.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::journal::CallTap;
use crate::mirror::Reason;
use crate::shared::Taken;

/// A later chunk below this size is copied: a reference to it would keep the whole read buffer
/// that it came in, for as long as the stream lives.
const SMALL_BYTES: usize = 1 << 10;
/// What it takes to keep such a chunk, beside its bytes.
const CHUNK_BYTES: usize = 64;

/// Chunks of a body, within bounds on their bytes and on the memory of all mirrored calls.
pub(crate) struct Chunks {
    chunks: Vec<Bytes>,
    taken: Taken,
    limit: usize,
}

/// A request, and the memory it holds.
pub(crate) struct Collected {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) _taken: Taken,
    pub(crate) end: RequestEnd,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestEnd {
    /// The client had said all.
    HalfClosed,
    /// The arm's answer ended first: the client might have had more to say.
    Cut,
}

/// Collects the request of a mirrored call and hands it over once, or says why not: when the
/// request has ended, or, where it is a stream, when the answer has.
pub(crate) struct RequestTap(Option<Open>);

struct Open {
    request: Chunks,
    done: Box<dyn FnOnce(Result<Collected, Reason>)>,
}

/// A tap that the request's body and the answer's share: whichever ends first ends it.
pub(crate) type SharedTap = Rc<RefCell<RequestTap>>;

/// What wants to see a request as it passes.
pub(crate) struct RequestTaps {
    pub(crate) mirror: Option<SharedTap>,
    pub(crate) journal: Option<CallTap>,
}

/// Collects the answer of a mirrored call for the comparison.
pub(crate) struct AnswerTap {
    answer: Chunks,
    overflow: bool,
}

impl Chunks {
    /// Nothing yet; `limit` is in bytes.
    pub(crate) fn new(taken: Taken, limit: usize) -> Chunks {
        let chunks = Vec::new();
        Chunks {
            chunks,
            taken,
            limit,
        }
    }

    /// Keeps a chunk; false where it doesn't fit, and then it isn't kept.
    fn add(&mut self, chunk: &Bytes) -> bool {
        let small = chunk.len() < SMALL_BYTES && !self.chunks.is_empty();
        let bytes = chunk.len() + if small { CHUNK_BYTES } else { 0 };
        let fits = self.taken.bytes() + bytes <= self.limit && self.taken.take(bytes);
        if fits {
            self.chunks.push(match small {
                true => Bytes::copy_from_slice(chunk),
                false => chunk.clone(),
            });
        }
        fits
    }
}

impl RequestTap {
    /// `done` is called once, at the latest when the tap is dropped.
    pub(crate) fn new(
        request: Chunks,
        done: impl FnOnce(Result<Collected, Reason>) + 'static,
    ) -> RequestTap {
        let done = Box::new(done);
        RequestTap(Some(Open { request, done }))
    }

    fn chunk(&mut self, chunk: &Bytes) {
        if let Some(open) = &mut self.0
            && !open.request.add(chunk)
        {
            self.end(Err("over_bound"));
        }
    }

    /// Ends the tap; only the first end counts.
    pub(crate) fn end(&mut self, end: Result<RequestEnd, Reason>) {
        let Some(Open { request, done }) = self.0.take() else {
            return;
        };
        done(end.map(|end| Collected {
            chunks: request.chunks,
            _taken: request.taken,
            end,
        }));
    }
}

impl Drop for RequestTap {
    fn drop(&mut self) {
        self.end(Err("cancelled"));
    }
}

impl RequestTaps {
    /// Nothing at all where nobody wants to see it.
    pub(crate) fn boxed(self) -> Option<Box<RequestTaps>> {
        (self.mirror.is_some() || self.journal.is_some()).then(|| Box::new(self))
    }

    /// A chunk of the request's body.
    pub(crate) fn chunk(&self, chunk: &Bytes) {
        if let Some(journal) = &self.journal {
            journal.request(chunk);
        }
        if let Some(mirror) = &self.mirror {
            mirror.borrow_mut().chunk(chunk);
        }
    }

    /// The client has said all.
    pub(crate) fn half_close(&self) {
        if let Some(journal) = &self.journal {
            journal.half_close();
        }
        if let Some(mirror) = &self.mirror {
            mirror.borrow_mut().end(Ok(RequestEnd::HalfClosed));
        }
    }

    /// The client went away: nothing is mirrored.
    pub(crate) fn gone(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.borrow_mut().end(Err("cancelled"));
        }
    }
}

impl AnswerTap {
    pub(crate) fn new(answer: Chunks) -> AnswerTap {
        AnswerTap {
            answer,
            overflow: false,
        }
    }

    pub(crate) fn chunk(&mut self, chunk: &Bytes) {
        self.overflow = self.overflow || !self.answer.add(chunk);
    }

    /// The chunks, the memory they hold, and whether some are missing.
    pub(crate) fn into_parts(self) -> (Vec<Bytes>, Taken, bool) {
        (self.answer.chunks, self.answer.taken, self.overflow)
    }
}
