//! The operator's port: which path goes where, and who may go there. Layers, outermost first:
//! headers that every answer has; the token, for gRPC and `/api`; then the routes. HTTP only reads.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::middleware;
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

use super::{Operator, Token, dashboard, gate, guard, metrics, watch};
use crate::json::{JsonError, json};
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
        .route("/api/gate", get(gate::show))
        .with_state(operator);
    let open = Router::new()
        .route("/metrics", get(metrics::scrape))
        .route("/gate/flagger", get(gate::flagger).post(gate::flagger))
        .route(
            "/gate/flagger/rollback",
            get(gate::flagger_rollback).post(gate::flagger_rollback),
        )
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared)
        .fallback(get(dashboard::file));
    let grpc = tonic::service::Routes::new(service)
        .into_axum_router()
        // The fallback of the open routes is the one for all.
        .reset_fallback()
        .route_layer(middleware::from_fn(guard::only_grpc));
    let guarded = grpc
        .merge(api)
        .route_layer(middleware::from_fn_with_state(token, guard::check));
    open.merge(guarded).layer(middleware::map_response(headers))
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
    // Calls are routed without the store, and proxies need this control plane all the same.
    match shared.store.outage() {
        None => "ok\n".into_response(),
        Some(outage) => {
            let since = outage.since_unix_ms;
            format!(
                "ok\nstore unavailable since {since} (Unix ms): {}\n",
                outage.why
            )
            .into_response()
        }
    }
}

/// Which examples are asked for; what is not said means all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    method: String,
    path: String,
    only_mismatched: bool,
    limit: u32,
    id: u64,
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
    let Which { limit, id, .. } = which;
    let request = wire::ListDecisionsRequest { limit, id };
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
            let code = match status.code() {
                tonic::Code::NotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            return (code, text).into_response();
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use cutover_manifest::Manifest;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::Clock;
    use crate::core::{Core, Moment};
    use crate::replicas::Replica;
    use crate::store::testing::Place;

    const MANIFEST: &str = "
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: a }
spec:
  legacy: { url: \"http://127.0.0.1:1\" }
  candidate: { url: \"http://127.0.0.1:2\" }
";

    #[tokio::test]
    async fn the_token_guards_grpc_and_the_api_and_nothing_else() {
        let place = Place::sqlite().unwrap();
        let (store, saved) = place.store();
        let manifest = Arc::new(Manifest::parse("test", MANIFEST).unwrap());
        let clock = Clock::start();
        let at = Moment {
            now: clock.elapsed(),
            unix_ms: 1,
        };
        let (mut core, _) = Core::new(manifest, &saved, Replica::alone(), at);
        let table = core.renew();
        let shared = Arc::new(Shared::new(core, table, store, clock));
        let router = router(shared, Token::new("0123456789abcdef"));
        let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let grpc = headers.iter().any(|(name, _)| *name == "content-type");
            let version = if grpc {
                http::Version::HTTP_2
            } else {
                http::Version::HTTP_11
            };
            let request = request.version(version).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        let token = ("authorization", "Bearer 0123456789abcdef");
        let wrong = ("authorization", "Bearer 0123456789abcdeX");
        for path in ["/api/status", "/api/events", "/api/report"] {
            assert_eq!(ask("GET", path, &[]).await.status(), 401, "{path}");
            assert_eq!(ask("GET", path, &[wrong]).await.status(), 401, "{path}");
            assert_eq!(ask("GET", path, &[token]).await.status(), 200, "{path}");
        }
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(ask("GET", path, &[]).await.status(), 200, "{path}");
        }
        assert_eq!(ask("GET", "/not-there", &[]).await.status(), 404);
        let path = "/cutover.v1.OperatorService/SetWeight";
        let grpc = ("content-type", "application/grpc");
        let refused = ask("POST", path, &[grpc]).await;
        assert_eq!(refused.headers()["grpc-status"], "16");
        let taken = ask("POST", path, &[grpc, token]).await;
        assert_ne!(taken.headers().get("grpc-status").unwrap(), "16");
        assert_eq!(ask("GET", path, &[token]).await.status(), 405);
        let as_a_page = ask("POST", path, &[token]).await;
        assert_eq!(as_a_page.status(), 415);
    }
}
