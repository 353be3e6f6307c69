//! Answers to requests that become no calls.

use bytes::Bytes;
use cutover_wire::{Connection, End, FieldRef, StreamKey};

use crate::grpc::Failure;

/// What is said to a request that isn't gRPC's, for the eyes of whoever points a browser here.
const NOT_GRPC: &str = "This is a proxy for gRPC: it takes POST with an application/grpc body.\n";

/// The same to whoever speaks another version of HTTP; curl takes `--http2-prior-knowledge`.
const NOT_HTTP2: &str = "This port speaks gRPC over HTTP/2, with prior knowledge.\n";

/// Why a request doesn't become a call.
pub(super) enum Refusal {
    NotGrpc { request: End, content: Content },
    Failed(Failure),
}

/// Whether an answer may have any (RFC 9110 section 9.3.2).
#[derive(PartialEq, Eq)]
pub(super) enum Content {
    Allowed,
    Forbidden,
}

impl Refusal {
    /// Answers. A request that goes on is answered to the end when it has ended, so that whatever
    /// it does wrong until then is not taken for what comes too late.
    pub(super) fn send(self, engine: &mut Connection, stream: StreamKey) {
        // To a stream that is gone there is nothing to say.
        let _ = match self {
            Refusal::NotGrpc { request, content } => {
                let head = [
                    FieldRef::new(b":status", b"415"),
                    FieldRef::new(b"content-type", b"text/plain"),
                ];
                match content {
                    Content::Forbidden => engine.send_headers(stream, head, request),
                    Content::Allowed => engine.send_headers(stream, head, End::More).map(|()| {
                        let _ = engine.send_data(stream, NOT_GRPC.into(), request);
                    }),
                }
            }
            Refusal::Failed(failure) => {
                engine.send_headers(stream, failure.fields().iter(), End::Last)
            }
        };
    }
}

/// The answer to a request of HTTP/1.x that begins a connection (RFC 9110 section 15.5.16); none to
/// anything else, nor where its first line did not come in one piece.
pub(super) fn http1(input: &[u8]) -> Option<Bytes> {
    let line = input.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next()?;
    if !words.next_back()?.starts_with(b"HTTP/1.") {
        return None;
    }
    let content = match method {
        b"HEAD" => "",
        _ => NOT_HTTP2,
    };
    let answer = format!(
        "HTTP/1.1 415 Unsupported Media Type\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{content}",
        NOT_HTTP2.len()
    );
    Some(answer.into())
}

/// Ends the answer to a request that became no call, once the request has ended. Does nothing to
/// any other stream without a call: its answer is whole.
pub(super) fn end_refusal(engine: &mut Connection, stream: StreamKey, request: End) {
    if request == End::Last {
        let _ = engine.send_data(stream, Bytes::new(), End::Last);
    }
}
