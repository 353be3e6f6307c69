//! The operator's port: which path goes where, and who may go there. Layers, outermost first:
//! headers that every answer has; the token, for gRPC and `/api`; then the routes. HTTP only reads.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cutover_proto::cutover::v1 as wire;
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use prost::Message;
use serde::Deserialize;
use tonic::Status;
use wire::operator_service_server::{OperatorService, OperatorServiceServer};

use super::json::{JsonError, json};
use super::{Operator, Token, dashboard, metrics, watch};
use crate::shared::Shared;

/// Largest request an operator may send, bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// All that the operator's port serves.
pub(crate) fn router(shared: Arc<Shared>, token: Option<Token>) -> Router {
    let operator = Operator::new(shared.clone());
    let service = OperatorServiceServer::new(operator.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    let api = Router::new()
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/differences", get(differences))
        .route("/api/traces", get(traces))
        .route("/api/decisions", get(decisions))
        .route("/api/report", get(report))
        .with_state(operator);
    let open = Router::new()
        .route("/metrics", get(metrics::scrape))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared)
        .fallback(get(dashboard::file));
    let guarded = tonic::service::Routes::new(service)
        .into_axum_router()
        .merge(api);
    // The fallback of the open routes is the one for all.
    let guarded = guarded
        .reset_fallback()
        .route_layer(middleware::from_fn_with_state(token, check));
    open.merge(guarded).layer(middleware::map_response(headers))
}

/// Refuses gRPC and `/api` without the token, where there is one; says so in the log.
async fn check(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    if token.is_none_or(|token| token.allows(request.headers())) {
        return next.run(request).await;
    }
    let path = request.uri().path();
    tracing::warn!(path, "refused an operator without the token");
    let message = "send the token as authorization: Bearer TOKEN";
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Status::unauthenticated(message).into_http::<axum::body::Body>();
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, format!("{message}\n")).into_response()
}

async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    "ok\n".into_response()
}

/// Which examples are asked for; what is not said means all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    method: String,
    path: String,
    only_mismatched: bool,
    limit: u32,
}

async fn status(State(operator): State<Operator>) -> Response {
    let answer = operator
        .get_status(tonic::Request::new(wire::GetStatusRequest {}))
        .await;
    shown("GetStatusResponse", answer)
}

async fn differences(State(operator): State<Operator>, Query(which): Query<Which>) -> Response {
    let Which {
        method,
        path,
        limit,
        ..
    } = which;
    let request = wire::ListDifferencesRequest {
        method,
        path,
        limit,
    };
    let answer = operator
        .list_differences(tonic::Request::new(request))
        .await;
    shown("ListDifferencesResponse", answer)
}

async fn traces(State(operator): State<Operator>, Query(which): Query<Which>) -> Response {
    let Which {
        method,
        only_mismatched,
        limit,
        ..
    } = which;
    let request = wire::ListTracePairsRequest {
        method,
        only_mismatched,
        limit,
    };
    let answer = operator
        .list_trace_pairs(tonic::Request::new(request))
        .await;
    shown("ListTracePairsResponse", answer)
}

async fn decisions(State(operator): State<Operator>, Query(which): Query<Which>) -> Response {
    let request = wire::ListDecisionsRequest { limit: which.limit };
    let answer = operator.list_decisions(tonic::Request::new(request)).await;
    shown("ListDecisionsResponse", answer)
}

async fn report(State(operator): State<Operator>) -> Response {
    let answer = operator
        .get_report(tonic::Request::new(wire::GetReportRequest {}))
        .await;
    shown("GetReportResponse", answer)
}

async fn events(State(operator): State<Operator>) -> Response {
    let Some(states) = watch::states(operator.shared.clone(), watch::Pace::Steady) else {
        let text = "too many watch the state already\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let event = |status| {
        let data = json("Status", &status)?;
        Ok::<_, JsonError>(Event::default().event("status").data(data))
    };
    Sse::new(states.map(event))
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn shown<M: Message>(name: &'static str, answer: Result<tonic::Response<M>, Status>) -> Response {
    let message = match answer {
        Ok(message) => message.into_inner(),
        Err(status) => {
            let text = format!("{}\n", status.message());
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    match json(name, &message) {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, name, "a message can't be shown as JSON");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer can't be shown\n",
            )
                .into_response()
        }
    }
}
