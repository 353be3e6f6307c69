//! Puts a server together and runs it: listener, limits, health, reflection and shutdown.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;
use cutover_proto::gazetteer::v1::gazetteer_service_server::{
    GazetteerService, GazetteerServiceServer, SERVICE_NAME,
};
use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::allocator;
use crate::calls::Calls;
use crate::config::Config;
use crate::service::Gazetteer;
use crate::store::{OpenError, Store};
use crate::telemetry::{CallTracing, Telemetry, TelemetryError};

/// Streams of one connection; the limit of calls is for all connections together.
const MAX_STREAMS_PER_CONNECTION: u32 = 1_000;
/// Streams that a client resets before they were accepted; more end its connection.
const MAX_PENDING_RESETS: usize = 50;
/// Streams that this side had to reset because of a client's errors; more end its connection.
const MAX_ERROR_RESETS: usize = 1_024;
/// Bytes of a request's metadata.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Bytes that a client may send ahead on one stream…
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// …and on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A connection whose client has vanished is noticed after so long, and…
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// …given up after so much longer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait after a connection could not be accepted, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads that wait for the database: all connections of the store, and some to spare.
const MAX_BLOCKING_THREADS: usize = 32;
/// How long the last spans and metrics may take each.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a server failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No usable database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// No logs, or no exporters.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The address can't be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// No threads, or no signal handlers.
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
    /// Nobody can be told where the server listens.
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// The descriptors make no reflection service.
    #[error("the descriptors are unusable")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport gave up.
    #[error("serving failed")]
    Transport(#[from] tonic::transport::Error),
}

impl ServeError {
    /// 2 for what the user wrote wrong, 1 for what failed.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Database(OpenError::Missing(_)) => ExitCode::from(2),
            Self::Telemetry(error) if error.is_usage() => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Runs a server until SIGTERM or SIGINT; `wrap` makes the served implementation out of the real
/// one. Prints `listening on HOST:PORT` to standard output when ready.
pub fn run<S: GazetteerService>(
    config: &Config,
    wrap: impl FnOnce(Gazetteer) -> S,
) -> Result<(), ServeError> {
    allocator::limit_arenas();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let result = runtime.block_on(run_in_runtime(config, wrap));
    // Work that would not end within the grace is left behind.
    runtime.shutdown_background();
    result
}

async fn run_in_runtime<S: GazetteerService>(
    config: &Config,
    wrap: impl FnOnce(Gazetteer) -> S,
) -> Result<(), ServeError> {
    let telemetry = Telemetry::init(&config.log_level, "gazetteer-rust")?;
    let shutdown = shutdown_signal().map_err(ServeError::Runtime)?;
    let (store, index) = Store::open(&config.database)?;
    tracing::info!(
        places = index.place_count(),
        names = index.name_count(),
        "index built"
    );
    let service = wrap(Gazetteer::new(index, store, SystemTime::now));
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|source| ServeError::Listen(config.listen, source))?;
    let address = listener.local_addr().map_err(ServeError::Runtime)?;
    announce(address).map_err(ServeError::Output)?;

    let served = serve(
        listener,
        config,
        service,
        telemetry.call_tracing(),
        shutdown,
    )
    .await;
    let flushed = tokio::task::spawn_blocking(|| telemetry.shut_down(EXPORT_TIMEOUT)).await;
    match flushed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last spans or metrics are lost"),
        Err(error) => tracing::warn!(%error, "telemetry did not end"),
    }
    served
}

fn announce(address: SocketAddr) -> io::Result<()> {
    use io::Write;
    let mut output = io::stdout().lock();
    writeln!(output, "listening on {address}")?;
    output.flush()
}

/// Completes at the first SIGTERM or SIGINT.
fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves on `listener` until `shutdown`: then health turns to NOT_SERVING, clients are told to go
/// away, and running calls get `config.shutdown_grace` to end.
pub async fn serve<S: GazetteerService>(
    listener: TcpListener,
    config: &Config,
    service: S,
    tracing: CallTracing,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let gazetteer = GazetteerServiceServer::new(service)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(config.max_message_bytes.get());
    let (health, health_service) = health_reporter();
    set_health(&health, ServingStatus::Serving).await;
    let others = Routes::new(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    let calls = Calls::new(
        gazetteer,
        others,
        tracing,
        config.max_concurrent_calls.get(),
    );

    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(calls, connections(listener), async {
            // An error means that the sender is gone, and the server with it.
            let _ = stopped.await;
        });
    let mut server = std::pin::pin!(server);
    tokio::select! {
        result = &mut server => return Ok(result?),
        () = shutdown => {}
    }
    tracing::info!("shutting down");
    set_health(&health, ServingStatus::NotServing).await;
    // It fails only if the server has ended, which is what it asks for.
    let _ = stop.send(());
    match tokio::time::timeout(config.shutdown_grace, server).await {
        Ok(result) => Ok(result?),
        Err(_) => {
            tracing::warn!("calls were still running at the end of the grace");
            Ok(())
        }
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", SERVICE_NAME] {
        health.set_service_status(service, status).await;
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Connections as they come. A failure to accept is waited out: it concerns one connection, or it
/// lasts until others are closed.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "a connection closed at once");
                        continue;
                    }
                    return Some((Ok(connection), listener));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}
