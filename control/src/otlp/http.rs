//! OTLP over HTTP with Protocol Buffers, on the port that gRPC has: `POST /v1/traces` and
//! `/v1/metrics`. Errors carry a `google.rpc.Status` in the body, as the protocol says.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER as RETRY_AFTER_HEADER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use prost::Message;
use tonic::Code;
use tonic_types::pb;

use super::body::{Metered, gunzip, whole};
use super::{PATIENCE, RETRY_AFTER, Receiver, Refused, Signal};

/// The one encoding of messages that is taken; OTLP's other one is JSON.
const PROTOBUF: &str = "application/x-protobuf";

/// Answers an export.
pub(super) async fn export(receiver: Receiver, signal: Signal, request: Request) -> Response {
    if request.method() != Method::POST {
        let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "POST");
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, post);
        return response;
    }
    let content = media_type(request.headers(), &CONTENT_TYPE);
    if content != PROTOBUF {
        let message = format!("Content-Type is {content:?}: only {PROTOBUF} is supported");
        return failure(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidArgument,
            &message,
        );
    }
    let encoding = media_type(request.headers(), &CONTENT_ENCODING);
    let unpack = match encoding.as_str() {
        "" | "identity" => Ok,
        "gzip" => |packed: bytes::Bytes| gunzip(&packed),
        other => {
            let message = format!("Content-Encoding is {other:?}: only gzip is supported");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return failure(status, Code::InvalidArgument, &message);
        }
    };
    let body = Metered::new(request.into_body(), receiver.counters.bodies.clone());
    let body = match tokio::time::timeout(PATIENCE, whole(body)).await {
        Ok(body) => body,
        Err(_) => Err(Refused::Slow),
    };
    let taken = body
        .and_then(unpack)
        .and_then(|message| receiver.take(signal, &message));
    match taken {
        Ok(message) => {
            receiver.counters.answered(Code::Ok);
            answer(StatusCode::OK, message)
        }
        Err(refused) => {
            let code = tonic::Status::from(refused).code();
            receiver.counters.answered(code);
            let mut response = failure(status_of(refused), code, &refused.to_string());
            if let Refused::Busy | Refused::Closing = refused {
                let seconds = HeaderValue::from(RETRY_AFTER.as_secs());
                response.headers_mut().insert(RETRY_AFTER_HEADER, seconds);
            }
            response
        }
    }
}

/// Answers what is asked of a path that nothing is served on.
pub(super) async fn nothing_here(request: Request) -> Response {
    if media_type(request.headers(), &CONTENT_TYPE).starts_with("application/grpc") {
        return tonic::Status::unimplemented("there is no such method").into_http();
    }
    let message = "OTLP/HTTP is served on /v1/traces and /v1/metrics";
    failure(StatusCode::NOT_FOUND, Code::Unimplemented, message)
}

fn status_of(refused: Refused) -> StatusCode {
    match refused {
        Refused::Busy | Refused::Closing => StatusCode::SERVICE_UNAVAILABLE,
        Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Malformed(_) | Refused::Broken => StatusCode::BAD_REQUEST,
        Refused::Slow => StatusCode::REQUEST_TIMEOUT,
    }
}

/// The value of a header without its parameters, in lower case.
fn media_type(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let value = value.split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(value).trim().to_ascii_lowercase()
}

fn failure(status: StatusCode, code: Code, message: &str) -> Response {
    let body = pb::Status {
        code: code.into(),
        message: message.to_owned(),
        details: Vec::new(),
    };
    answer(status, body.encode_to_vec())
}

fn answer(status: StatusCode, message: impl Into<Body>) -> Response {
    let mut response = Response::new(message.into());
    *response.status_mut() = status;
    let protobuf = HeaderValue::from_static(PROTOBUF);
    response.headers_mut().insert(CONTENT_TYPE, protobuf);
    response
}
