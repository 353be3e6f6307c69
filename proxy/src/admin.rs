//! The proxy's own endpoints, on a listener of their own: `/metrics`, `/livez`, `/readyz`.

mod metrics;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::report::{Runtimes, TakeSamples};
use crate::shared::Shared;

#[derive(Clone)]
struct Admin {
    shared: Arc<Shared>,
    runtimes: Runtimes,
}

/// Serves until `stop`.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    runtimes: Runtimes,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Admin { shared, runtimes });
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.shared.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if admin.shared.table.load().is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "no route table yet\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let Some(snapshot) = admin.runtimes.snapshot(TakeSamples::No).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "a runtime is too busy\n").into_response();
    };
    let table = admin.shared.table.load_full();
    match metrics::render(snapshot, table.as_deref()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
