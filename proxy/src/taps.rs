//! What sees the bodies of a call as they pass: the collectors of mirrored calls, and the journal.
//! They never hold a frame back, and a call without them pays one branch for each event.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover_wire::{End, HeaderList};
use http::HeaderMap;
use tokio::sync::oneshot;

use crate::call::Call;
use crate::grpc;
use crate::journal::CallTap;
use crate::mirror::{Answer, MirrorCall, Reason};
use crate::observe::Stats;
use crate::route::Copying;
use crate::shared::{Shared, Taken};

/// What it takes to keep a chunk, beside its bytes.
const CHUNK_BYTES: usize = 64;

/// All that want to see one call.
pub(crate) struct Taps {
    mirror: Option<RequestTap>,
    answer: Option<AnswerTap>,
    journal: Option<CallTap>,
    headers: HeaderMap,
    trailers: HeaderMap,
}

/// Chunks of a body, within bounds on their bytes and on the memory of all mirrored calls.
pub(crate) struct Chunks {
    pub(crate) chunks: Vec<Bytes>,
    taken: Taken,
    limit: usize,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestEnd {
    /// The client had said all.
    HalfClosed,
    /// The arm's answer ended first: the client might have had more to say.
    Cut,
}

/// Collects the request of a mirrored call and hands it over once, or counts why not: when the
/// request has ended, or, where it is a stream, when the answer has.
struct RequestTap {
    call: Box<MirrorCall>,
    shared: Arc<Shared>,
}

/// Collects an answer for the comparison.
struct AnswerTap {
    answer: Chunks,
    overflow: bool,
    to: oneshot::Sender<Result<Answer, Reason>>,
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

    /// Keeps a copy of a chunk; false where it doesn't fit, and then it isn't kept. A reference
    /// would keep the whole read buffer that it came in, many times its size, for as long as the
    /// copy of the call lives, and no bound would know of it.
    fn add(&mut self, chunk: &Bytes) -> bool {
        if chunk.is_empty() {
            return true;
        }
        let bytes = chunk.len() + CHUNK_BYTES;
        let fits = self.taken.bytes() + bytes <= self.limit && self.taken.take(bytes);
        if fits {
            self.chunks.push(Bytes::copy_from_slice(chunk));
        }
        fits
    }
}

impl RequestTap {
    fn end(self, end: Result<RequestEnd, Reason>, stats: &mut Stats) {
        let RequestTap { mut call, shared } = self;
        let (epoch, label) = (call.table.epoch, call.label.clone());
        let handed_over = end.and_then(|end| {
            call.end = end;
            shared.mirror.try_send(call).map_err(|_| "queue_full")
        });
        if let Err(reason) = handed_over {
            stats.pairs(epoch, &label).not_compared(reason);
        }
    }
}

impl Taps {
    /// The taps of a primary call; none where nobody wants to see it.
    pub(crate) fn primary(
        shared: &Arc<Shared>,
        call: &Call,
        timeout: Option<Duration>,
        copying: Option<Copying>,
        headers: &HeaderList,
    ) -> Option<Box<Taps>> {
        let journal = shared.journal.as_ref();
        let journal = journal.and_then(|journal| journal.sample(headers, call.started));
        if copying.is_none() && journal.is_none() {
            return None;
        }
        let mut taps = Taps {
            mirror: None,
            answer: None,
            journal,
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
        };
        if let Some(copying) = copying {
            let (to, answer) = oneshot::channel();
            let table = &call.method.table;
            let limit = table.manifest.limits.max_compared_message_bytes;
            let chunks = || Chunks::new(shared.mirror_memory.empty(), limit);
            taps.answer = Some(AnswerTap::new(chunks(), to));
            taps.mirror = Some(RequestTap {
                call: Box::new(MirrorCall::new(call, timeout, copying, chunks(), answer)),
                shared: shared.clone(),
            });
        }
        Some(Box::new(taps))
    }

    /// The tap of a copy: its answer.
    pub(crate) fn copy(answer: Chunks, to: oneshot::Sender<Result<Answer, Reason>>) -> Box<Taps> {
        Box::new(Taps {
            mirror: None,
            answer: Some(AnswerTap::new(answer, to)),
            journal: None,
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
        })
    }

    /// A part of the request.
    pub(crate) fn request(&mut self, chunk: &Bytes, end: End, stats: &mut Stats) {
        if let Some(journal) = &self.journal {
            if !chunk.is_empty() {
                journal.request(chunk);
            }
            if end == End::Last {
                journal.half_close();
            }
        }
        let Some(mut mirror) = self.mirror.take() else {
            return;
        };
        if !mirror.call.request.add(chunk) {
            mirror.end(Err("over_bound"), stats);
        } else if end == End::Last {
            mirror.end(Ok(RequestEnd::HalfClosed), stats);
        } else {
            self.mirror = Some(mirror);
        }
    }

    /// The answer's headers; `status` if they say it.
    pub(crate) fn headers(&mut self, headers: &HeaderList, status: Option<u32>) {
        self.headers = grpc::header_map(headers);
        if let Some(journal) = self.journal.as_ref().filter(|_| status.is_none()) {
            journal.headers(&self.headers);
        }
    }

    /// A part of the answer.
    pub(crate) fn answer(&mut self, chunk: &Bytes) {
        if let Some(journal) = self.journal.as_ref().filter(|_| !chunk.is_empty()) {
            journal.answer(chunk);
        }
        if let Some(tap) = &mut self.answer {
            tap.overflow = tap.overflow || !tap.answer.add(chunk);
        }
    }

    /// The answer's trailers: the arm's, or of the proxy's own.
    pub(crate) fn trailers(&mut self, trailers: &HeaderList) {
        self.trailers = grpc::header_map(trailers);
    }

    /// The call goes to the other arm than was meant: it isn't mirrored.
    pub(crate) fn fell_over(&mut self) {
        self.mirror = None;
        self.answer = None;
    }

    /// A copy reached no arm.
    pub(crate) fn not_connected(&mut self) {
        if let Some(tap) = self.answer.take() {
            // Whoever waited has given up.
            let _ = tap.to.send(Err("connect"));
        }
    }

    /// The call is over; `status` is none where the client went away.
    pub(crate) fn end(self, status: Option<u32>, duration: Duration, stats: &mut Stats) {
        if let Some(journal) = self.journal {
            let end = match self.trailers.contains_key(grpc::STATUS) {
                true => &self.trailers,
                false => &self.headers,
            };
            match status {
                Some(status) => journal.end(status, end),
                None => journal.cancel(),
            }
        }
        if let Some(mirror) = self.mirror {
            let cut = status.filter(|_| mirror.call.copying.streams);
            mirror.end(cut.map(|_| RequestEnd::Cut).ok_or("cancelled"), stats);
        }
        if let (Some(tap), Some(status)) = (self.answer, status) {
            // The comparison may have given up already; it has counted that itself.
            let _ = tap.to.send(Ok(Answer {
                status,
                headers: self.headers,
                trailers: self.trailers,
                chunks: tap.answer.chunks,
                _taken: tap.answer.taken,
                overflow: tap.overflow,
                duration,
            }));
        }
    }
}

impl AnswerTap {
    fn new(answer: Chunks, to: oneshot::Sender<Result<Answer, Reason>>) -> AnswerTap {
        AnswerTap {
            answer,
            overflow: false,
            to,
        }
    }
}
