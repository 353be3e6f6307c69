//! The bodies of a call on their way through: request to the arm, answer to the client. Frames
//! pass untouched; the taps of calls that are mirrored or recorded cost one branch when off.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::Lease;
use super::tap::{AnswerTap, Collected, RequestEnd, RequestTaps, SharedTap};
use crate::grpc::{self, Failure, code};
use crate::journal::CallTap;
use crate::mirror::Answer;
use crate::record::Record;

/// What goes to an arm.
pub(crate) enum RequestBody {
    /// The client's body, as it comes, with taps where the call is mirrored or recorded.
    Client(Incoming, Option<Box<RequestTaps>>),
    /// A copy.
    Copy(CopyBody),
}

/// The request of a copy, all at once.
pub(crate) struct CopyBody {
    chunks: std::vec::IntoIter<Bytes>,
    /// Of a copy that was cut: keeps the stream open until the sender is gone, then resets it.
    open: Option<oneshot::Receiver<Infallible>>,
}

/// Keeps a cut copy's stream open for as long as it lives.
pub(crate) struct HeldOpen {
    _sender: Option<oneshot::Sender<Infallible>>,
}

/// Why a request's body broke off.
pub(crate) type RequestError = Box<dyn std::error::Error + Send + Sync>;

impl CopyBody {
    /// The body that sends `request` again, and what has to live until its answer is there.
    pub(crate) fn of(request: &Collected) -> (CopyBody, HeldOpen) {
        let channel = (request.end == RequestEnd::Cut).then(oneshot::channel);
        let (_sender, open) = channel.unzip();
        let chunks = request.chunks.clone().into_iter();
        (CopyBody { chunks, open }, HeldOpen { _sender })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        if let Some(chunk) = self.chunks.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        match Pin::new(open).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(Some(Err(cancel()))),
        }
    }
}

/// Resets the arm's stream with the code that clients cancel by.
fn cancel() -> RequestError {
    h2::Error::from(h2::Reason::CANCEL).into()
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let (body, taps) = match self.get_mut() {
            RequestBody::Copy(copy) => return copy.poll(cx),
            RequestBody::Client(body, taps) => (body, taps),
        };
        let polled = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            // hyper makes a clean end of a client's CANCEL, which an arm would take for a
            // half-close, and act on.
            Poll::Ready(None) if !body.is_end_stream() => Some(Err(cancel())),
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(RequestError::from)),
        };
        if taps.is_some() {
            observe_request(body, taps, &polled);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Client(body, _) => body.is_end_stream(),
            RequestBody::Copy(copy) => copy.chunks.len() == 0 && copy.open.is_none(),
        }
    }
}

fn observe_request(
    body: &Incoming,
    taps: &mut Option<Box<RequestTaps>>,
    frame: &Option<Result<Frame<Bytes>, RequestError>>,
) {
    let Some(open) = taps.take() else { return };
    match frame {
        Some(Ok(frame)) => {
            if let Some(chunk) = frame.data_ref() {
                open.chunk(chunk);
            }
            if body.is_end_stream() {
                open.half_close();
            } else {
                *taps = Some(open);
            }
        }
        None => open.half_close(),
        Some(Err(_)) => open.gone(),
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
    /// Where the request is a mirrored stream: the answer's end cuts it.
    pub(crate) request: Option<SharedTap>,
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
        if let Some(request) = self.request.take() {
            let end = self.status.map(|_| RequestEnd::Cut).ok_or("cancelled");
            request.borrow_mut().end(end);
        }
        let tap = self.tap.take().filter(|_| self.status.is_some());
        let answer = tap.map(|tap| {
            let (chunks, _taken, overflow) = tap.into_parts();
            Answer {
                status,
                headers: std::mem::take(&mut self.headers),
                trailers: std::mem::take(&mut self.trailers),
                chunks,
                _taken,
                overflow,
                duration: self.record.started.elapsed(),
            }
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
    type Error = Infallible;

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
