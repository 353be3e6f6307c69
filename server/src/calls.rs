//! What every call of the gazetteer goes through, outermost first:
//!
//! 1. its span, so that refused calls are seen too;
//! 2. the limit of concurrent calls, which counts a stream until its end, not its beginning;
//! 3. the rewriting of what the transport says about bad messages;
//! 4. the gazetteer itself.
//!
//! Health and reflection stay outside: they must answer when the gazetteer is full.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;
use tracing::Instrument;

use crate::errors;
use crate::telemetry::CallTracing;
use crate::telemetry::calls::CallSpan;

/// The gazetteer's paths begin so.
const PATH_PREFIX: &str = "/gazetteer.v1.GazetteerService/";
/// The contract's methods; only they give names to spans.
const METHODS: [&str; 7] = [
    "GetPlace",
    "SearchPlaces",
    "FindNearest",
    "ListPlaces",
    "MeasureRoute",
    "Suggest",
    "RecordVisit",
];

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Sends calls to the gazetteer `S`, through the layers, or to the other services.
#[derive(Clone, Debug)]
pub(crate) struct Calls<S> {
    gazetteer: S,
    others: Routes,
    tracing: CallTracing,
    running: Arc<Semaphore>,
}

impl<S> Calls<S> {
    pub(crate) fn new(
        gazetteer: S,
        others: Routes,
        tracing: CallTracing,
        max_concurrent_calls: usize,
    ) -> Self {
        let running = Arc::new(Semaphore::new(max_concurrent_calls));
        Self {
            gazetteer,
            others,
            tracing,
            running,
        }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let path = request.uri().path();
        let Some(method) = path.strip_prefix(PATH_PREFIX) else {
            return Box::pin(self.others.call(request));
        };
        let known = METHODS.contains(&method).then(|| &path[1..]);
        let span = CallSpan::begin(self.tracing, known, request.headers());
        if known.is_none() {
            return refused(errors::unknown_method(), span);
        }
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            return refused(errors::too_many_calls(), span);
        };
        let answer = self.gazetteer.call(request);
        Box::pin(async move {
            let response = match &span {
                Some(call) => answer.instrument(call.span().clone()).await,
                None => answer.await,
            }?;
            Ok(match response.extensions().get::<Status>() {
                Some(status) => finished(errors::from_transport(status.clone()), span),
                None => response.map(|body| {
                    Body::new(CallBody {
                        body,
                        span,
                        _permit: permit,
                    })
                }),
            })
        })
    }
}

fn refused(status: Status, span: Option<CallSpan>) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(finished(status, span))))
}

/// A response that is a status alone.
fn finished(status: Status, span: Option<CallSpan>) -> Response<Body> {
    if let Some(mut span) = span {
        span.end(status.code());
    }
    status.into_http()
}

/// The messages of a call: while there may be more, it counts as running.
struct CallBody {
    body: Body,
    span: Option<CallSpan>,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Some(span) = &mut self.span
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(status) = frame.trailers_ref().and_then(Status::from_header_map)
        {
            span.end(status.code());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
