//! Who may come in. Web pages that a person has open can send requests to this port too: gRPC is
//! therefore taken only as gRPC over HTTP/2, which no page can send in clear text, and without a
//! token `/api` is served only under names that no page elsewhere can have.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Version, header};
use tonic::Status;

use super::Token;

/// Refuses what is not gRPC over HTTP/2, though the path is a method's.
pub(super) async fn only_grpc(request: Request, next: Next) -> Response {
    let (method, version, path) = (request.method(), request.version(), request.uri().path());
    if *method != Method::POST {
        tracing::warn!(path, %method, "refused an operator's call that is no POST");
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    if version != Version::HTTP_2 || !is_grpc(&request) {
        tracing::warn!(
            path,
            ?version,
            "refused an operator's call that is not gRPC over HTTP/2"
        );
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    next.run(request).await
}

/// Refuses whoever lacks the token, where there is one; where there is none, whoever comes by a
/// name that is neither `localhost` nor an address: a page may have made that name ours.
pub(super) async fn check(
    State(token): State<Option<Token>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let Some(token) = token else {
        if is_grpc(&request) || is_local(host(&request)) {
            return next.run(request).await;
        }
        tracing::warn!(
            path,
            host = host(&request),
            "refused a reader by an unknown name"
        );
        let message = "come by localhost or by an address; other names need a token\n";
        return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
    };
    if token.allows(request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!(path, "refused an operator without the token");
    let message = "send the token as authorization: Bearer TOKEN";
    if is_grpc(&request) {
        return Status::unauthenticated(message).into_http::<axum::body::Body>();
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, format!("{message}\n")).into_response()
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The host that was asked for, without its port.
fn host(request: &Request) -> &str {
    let given = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let given = given.or_else(|| {
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
    });
    let given = given.unwrap_or_default();
    match given.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => given,
    }
}

fn is_local(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || plain.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_local() {
        let check = |given: &str, expected| {
            let request = Request::builder().header(header::HOST, given);
            let request = request.body(axum::body::Body::empty()).unwrap();
            assert_eq!(is_local(host(&request)), expected, "{given}");
        };
        for local in [
            "localhost",
            "LOCALHOST:50054",
            "127.0.0.1:1",
            "[::1]:50054",
            "[::1]",
        ] {
            check(local, true);
        }
        for other in [
            "",
            "example.org",
            "example.org:50054",
            "127.0.0.1.example.org",
            "localhost.x",
        ] {
            check(other, false);
        }
    }
}
