//! Addresses, sockets, and the server that proxies and arms call. Limits are named here: the
//! libraries' own defaults leave holes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cutover_proto::cutover::v1::control_plane_service_server::ControlPlaneServiceServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::error::StartError;
use crate::otlp::Receiver;
use crate::shared::Shared;
use crate::sync::{self, Sync};

/// Streams that one connection may have open.
const MAX_CONCURRENT_STREAMS: u32 = 1_024;
/// Streams that a client has reset and that were not yet accepted; more end the connection.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that were reset here because of a client's mistakes; more end the connection.
const MAX_LOCAL_RESETS: usize = 1_024;
/// Size of a header list, bytes.
const MAX_HEADER_LIST_BYTES: u32 = 32 << 10;
/// How often a silent connection is asked whether it is alive, and how long it may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of `HOST:PORT`.
pub(crate) async fn resolve(
    what: &'static str,
    given: &str,
) -> Result<Vec<SocketAddr>, StartError> {
    let wrong = || StartError::Address {
        what,
        given: given.to_owned(),
    };
    let (host, port) = given.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    let found = tokio::net::lookup_host(given).await.map_err(|_| wrong())?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        Err(wrong())
    } else {
        Ok(addresses)
    }
}

/// Takes a port.
pub(crate) async fn bind(
    what: &'static str,
    given: &str,
    addresses: &[SocketAddr],
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind {
        what,
        given: given.to_owned(),
        source,
    };
    let listener = TcpListener::bind(addresses).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves proxies (Sync) and arms (OTLP) until shutdown.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener, receiver: Receiver) {
    let control = ControlPlaneServiceServer::new(Sync::new(shared.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(sync::MAX_MESSAGE_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;

    let services = Routes::new(control).add_service(health_service);
    let routes = Routes::from(receiver.routes(services.into_axum_router()));

    let served = Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .tcp_nodelay(true)
        .accept_http1(true)
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            shared.shutdown.clone().cancelled_owned(),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the control listener failed");
    }
}

/// Serves operators until shutdown.
pub(crate) async fn serve_operator(
    shared: Arc<Shared>,
    listener: TcpListener,
    router: axum::Router,
) {
    let shutdown = shared.shutdown.clone().cancelled_owned();
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
    {
        tracing::error!(%error, "the operator listener failed");
    }
}
