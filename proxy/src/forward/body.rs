//! The bodies of a call on their way through: request to the arm, answer to the client. Frames
//! pass untouched; the taps that mirroring needs copy references, not bytes, and cost one branch
//! when off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::Lease;
use crate::grpc::{self, Failure, code};
use crate::journal::CallTap;
use crate::mirror::Answer;
use crate::record::Record;
use crate::shared::Taken;

/// What goes to an arm.
pub(crate) enum RequestBody {
    /// The client's body, as it comes, with taps where the call is mirrored or recorded.
    Client(Incoming, Option<Box<RequestTaps>>),
    /// A copy.
    Copy(std::vec::IntoIter<Bytes>),
}

/// What wants to see a request as it passes.
pub(crate) struct RequestTaps {
    pub(crate) mirror: Option<RequestTap>,
    pub(crate) journal: Option<CallTap>,
}

/// Collects the request of a mirrored call; `done` is called once the request has ended, unless
/// memory ran out before.
pub(crate) struct RequestTap {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) taken: Taken,
    pub(crate) limit: usize,
    pub(crate) done: Box<dyn FnOnce(Result<Collected, Overflow>)>,
}

/// A whole request, and the memory it holds.
pub(crate) type Collected = (Vec<Bytes>, Taken);

/// A mirrored call was larger than the bounds on messages or memory.
#[derive(Debug)]
pub(crate) struct Overflow;

impl RequestTaps {
    /// Nothing at all where nobody wants to see it.
    pub(crate) fn boxed(self) -> Option<Box<RequestTaps>> {
        (self.mirror.is_some() || self.journal.is_some()).then(|| Box::new(self))
    }

    fn chunk(&mut self, chunk: &Bytes) {
        if let Some(journal) = &self.journal {
            journal.request(chunk);
        }
        if let Some(mut mirror) = self.mirror.take() {
            match mirror.chunk(chunk) {
                true => self.mirror = Some(mirror),
                false => (mirror.done)(Err(Overflow)),
            }
        }
    }

    fn finish(self) {
        if let Some(journal) = &self.journal {
            journal.half_close();
        }
        if let Some(mirror) = self.mirror {
            mirror.finish();
        }
    }
}

impl RequestTap {
    /// Takes a chunk; false when the tap is done with.
    fn chunk(&mut self, chunk: &Bytes) -> bool {
        let fits = self.taken.bytes() + chunk.len() <= self.limit && self.taken.take(chunk.len());
        if fits {
            self.chunks.push(chunk.clone());
        }
        fits
    }

    fn finish(self) {
        (self.done)(Ok((self.chunks, self.taken)));
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (body, taps) = match self.get_mut() {
            RequestBody::Copy(chunks) => {
                return Poll::Ready(chunks.next().map(|chunk| Ok(Frame::data(chunk))));
            }
            RequestBody::Client(body, taps) => (body, taps),
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if taps.is_some()
            && let Poll::Ready(frame) = &polled
        {
            observe_request(body, taps, frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Client(body, _) => body.is_end_stream(),
            RequestBody::Copy(chunks) => chunks.len() == 0,
        }
    }
}

fn observe_request(
    body: &Incoming,
    taps: &mut Option<Box<RequestTaps>>,
    frame: &Option<Result<Frame<Bytes>, hyper::Error>>,
) {
    let Some(mut open) = taps.take() else { return };
    match frame {
        Some(Ok(frame)) => {
            if let Some(chunk) = frame.data_ref() {
                open.chunk(chunk);
            }
            if body.is_end_stream() {
                open.finish();
            } else {
                *taps = Some(open);
            }
        }
        None => open.finish(),
        // The client went away: nothing is mirrored.
        Some(Err(_)) => {}
    }
}

/// Collects the answer of a mirrored call for the comparison.
pub(crate) struct AnswerTap {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) taken: Taken,
    pub(crate) limit: usize,
    pub(crate) overflow: bool,
}

impl AnswerTap {
    pub(crate) fn chunk(&mut self, chunk: &Bytes) {
        if self.overflow {
            return;
        }
        self.overflow =
            self.taken.bytes() + chunk.len() > self.limit || !self.taken.take(chunk.len());
        if !self.overflow {
            self.chunks.push(chunk.clone());
        }
    }
}

/// Sees a primary call to its end: the status that the client gets, the tap, and on drop the
/// record. Made before the request is sent, so that a client that goes away early is counted too.
pub(crate) struct Watch {
    pub(crate) status: Option<u32>,
    /// Kept only for a tap.
    pub(crate) headers: HeaderMap,
    /// Kept only for a tap.
    pub(crate) trailers: HeaderMap,
    pub(crate) tap: Option<AnswerTap>,
    pub(crate) journal: Option<CallTap>,
    /// The call's place on its connection, held until the answer's end.
    pub(crate) lease: Option<Lease>,
    pub(crate) record: Record,
}

impl Watch {
    /// Whether headers and trailers are kept until the end.
    pub(crate) fn keeps(&self) -> bool {
        self.tap.is_some() || self.journal.is_some()
    }

    /// Notes that the proxy itself ends the call.
    pub(crate) fn failed(&mut self, failure: &Failure) -> HeaderMap {
        self.status = Some(failure.code);
        let trailers = failure.trailers();
        if self.keeps() {
            self.trailers = trailers.clone();
        }
        trailers
    }

    fn data(&mut self, chunk: &Bytes) {
        if let Some(tap) = &mut self.tap {
            tap.chunk(chunk);
        }
        if let Some(journal) = &self.journal {
            journal.answer(chunk);
        }
    }

    fn journal_end(&mut self) {
        let Some(journal) = self.journal.take() else {
            return;
        };
        let end = match self.trailers.contains_key(grpc::STATUS) {
            true => &self.trailers,
            false => &self.headers,
        };
        match self.status {
            Some(status) => journal.end(status, end),
            None => journal.cancel(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.journal_end();
        let status = self.status.unwrap_or(code::CANCELLED);
        let answer = self
            .tap
            .take()
            .filter(|_| self.status.is_some())
            .map(|tap| Answer {
                status,
                headers: std::mem::take(&mut self.headers),
                trailers: std::mem::take(&mut self.trailers),
                chunks: tap.chunks,
                _taken: tap.taken,
                overflow: tap.overflow,
                duration: self.record.started.elapsed(),
            });
        self.record.end(status, answer);
    }
}

/// What goes to the client.
pub(crate) struct AnswerBody {
    source: Source,
    watch: Option<Box<Watch>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Source {
    Upstream(Incoming),
    Ended,
}

impl AnswerBody {
    /// No body at all: the status is in the headers.
    pub(crate) fn empty() -> AnswerBody {
        AnswerBody {
            source: Source::Ended,
            watch: None,
            deadline: None,
        }
    }

    /// The arm's body. `watch` has the headers' status already, where they hold one.
    pub(crate) fn upstream(
        body: Incoming,
        watch: Box<Watch>,
        deadline: Option<Pin<Box<Sleep>>>,
    ) -> AnswerBody {
        AnswerBody {
            source: Source::Upstream(body),
            watch: Some(watch),
            deadline,
        }
    }

    /// Ends the answer with trailers of the proxy's own; the arm's stream is reset.
    fn fail(&mut self, failure: &Failure) -> Frame<Bytes> {
        self.source = Source::Ended;
        let trailers = match &mut self.watch {
            Some(watch) => watch.failed(failure),
            None => failure.trailers(),
        };
        self.watch = None;
        Frame::trailers(trailers)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Source::Upstream(body) = &mut this.source else {
            return Poll::Ready(None);
        };
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let failure = Failure::new(code::DEADLINE_EXCEEDED, "deadline exceeded");
            return Poll::Ready(Some(Ok(this.fail(&failure))));
        }
        let polled = match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(polled) => polled,
        };
        let watch = this.watch.as_mut();
        match polled {
            Some(Ok(frame)) => {
                if let Some(watch) = watch {
                    if let Some(trailers) = frame.trailers_ref() {
                        watch.status = Some(grpc::status(trailers).unwrap_or(code::UNKNOWN));
                        if watch.keeps() {
                            watch.trailers = trailers.clone();
                        }
                    } else if watch.keeps()
                        && let Some(data) = frame.data_ref()
                    {
                        watch.data(data);
                    }
                }
                if frame.is_trailers() {
                    this.watch = None;
                    this.source = Source::Ended;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // A clean end without a status would make a truncated answer look whole.
            None if watch.is_some_and(|watch| watch.status.is_none()) => {
                let failure =
                    Failure::new(code::UNKNOWN, "the arm ended its answer without a status");
                Poll::Ready(Some(Ok(this.fail(&failure))))
            }
            None => {
                this.watch = None;
                this.source = Source::Ended;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Ok(this.fail(&upstream_failure(&error))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ended => true,
            // A trailers-only answer stays one.
            Source::Upstream(body) => {
                body.is_end_stream() && self.watch.as_ref().is_none_or(|w| w.status.is_some())
            }
        }
    }
}

/// An arm's stream or connection that broke, as gRPC maps HTTP/2 error codes.
pub(crate) fn upstream_failure(error: &hyper::Error) -> Failure {
    use std::error::Error;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>()
            && let Some(reason) = h2.reason()
            && h2.is_reset()
        {
            let code = match reason {
                h2::Reason::CANCEL => code::CANCELLED,
                h2::Reason::REFUSED_STREAM => code::UNAVAILABLE,
                h2::Reason::ENHANCE_YOUR_CALM => code::RESOURCE_EXHAUSTED,
                h2::Reason::INADEQUATE_SECURITY => code::PERMISSION_DENIED,
                _ => code::INTERNAL,
            };
            return Failure::new(code, format!("the arm reset the stream: {reason:?}"));
        }
        source = cause.source();
    }
    Failure::new(code::UNAVAILABLE, "the connection to the arm was lost")
}
