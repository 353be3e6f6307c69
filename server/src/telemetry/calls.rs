//! The server span of a call: whether it has one, and how it ends.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{CallTracing, SPAN_TARGET};

const TRACEPARENT: &str = "traceparent";
/// Version, trace id, span id and flags of version 00 of the W3C's `traceparent`.
const TRACEPARENT_BYTES: usize = 55;
/// What a method that the contract does not have is called; it bounds the number of names.
const OTHER_METHOD: &str = "_OTHER";

/// The span of a running call; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CallSpan {
    span: Span,
    ended: bool,
}

impl CallSpan {
    /// The span of a call of `method` (`package.Service/Method`); `None` where it would not be
    /// exported.
    pub(crate) fn begin(
        tracing: CallTracing,
        method: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Self> {
        if tracing == CallTracing::Off || is_unsampled(headers) {
            return None;
        }
        let method = method.unwrap_or(OTHER_METHOD);
        let span = tracing::info_span!(
            target: SPAN_TARGET,
            parent: None,
            "call",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            error.r#type = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = field::Empty,
        );
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        // It fails only where no layer listens, and then there is no span to have a parent.
        let _ = span.set_parent(parent);
        Some(Self { span, ended: false })
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Records the status of the call.
    pub(crate) fn end(&mut self, code: Code) {
        self.ended = true;
        let name = name_of(code);
        self.span.record("rpc.response.status_code", name);
        if is_server_fault(code) {
            self.span.record("error.type", name);
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for CallSpan {
    /// A call that is dropped before it has a status was cancelled by its client.
    fn drop(&mut self) {
        if !self.ended {
            self.end(Code::Cancelled);
        }
        // An exported span ends when it was last left, and messages are sent outside of it.
        self.span.in_scope(|| ());
    }
}

/// Whether the caller's trace is not sampled: then neither is its part here.
fn is_unsampled(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(TRACEPARENT) else {
        return false;
    };
    match value.as_bytes() {
        value if value.len() != TRACEPARENT_BYTES => false,
        [.., _, flags] => char::from(*flags)
            .to_digit(16)
            .is_some_and(|flags| flags & 1 == 0),
        _ => false,
    }
}

/// Whether a status is the server's fault, as OpenTelemetry's conventions for servers say.
fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.parse().unwrap());
        headers
    }

    #[test]
    fn a_call_of_an_unsampled_trace_has_no_span() {
        let unsampled = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert!(is_unsampled(&unsampled));
        assert!(CallSpan::begin(CallTracing::ParentBased, None, &unsampled).is_none());
    }

    #[test]
    fn a_call_has_a_span_if_its_trace_is_sampled_or_its_caller_has_none() {
        for sampled in [
            headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
            headers("nonsense"),
            HeaderMap::new(),
        ] {
            assert!(CallSpan::begin(CallTracing::ParentBased, None, &sampled).is_some());
            assert!(CallSpan::begin(CallTracing::Off, None, &sampled).is_none());
        }
    }
}
