//! Accept: one listener per core on the same port (`SO_REUSEPORT`), HTTP/2 with named limits.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use cutover_manifest::Limits;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::call::{self, Core};

/// Connections of one core; beyond it, new ones are closed at once.
const MAX_CONNECTIONS: usize = 20_000;
const BACKLOG: i32 = 4_096;
/// Resets of a peer that wait to be accepted, and resets that a peer's errors may cause, before
/// the connection is ended (rapid reset, MadeYouReset).
const MAX_PENDING_RESETS: usize = 50;
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const SEND_BUFFER: usize = 256 << 10;
/// A client that says nothing for so long is asked whether it lives, and closed if it isn't.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (no file descriptors left), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs futures on the thread that they were made on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// One listener for each core, all on the same address; port 0 becomes one free port.
pub(crate) fn bind(address: SocketAddr, cores: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // With SO_REUSEPORT a port that another process of the same user listens on would silently be
    // shared, so a socket without it has to be able to listen there first.
    let port = {
        let probe = socket(address, false)?;
        probe
            .local_addr()?
            .as_socket()
            .map_or(address.port(), |bound| bound.port())
    };
    let address = SocketAddr::new(address.ip(), port);
    (0..cores)
        .map(|_| Ok(socket(address, true)?.into()))
        .collect()
}

fn socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Takes connections until `stop`, then lets those in flight end within the grace.
pub(crate) async fn run(
    core: Rc<Core>,
    listener: std::net::TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let builder = builder(&limits);
    let open = Rc::new(Cell::new(0usize));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) if open.get() < MAX_CONNECTIONS => {
                open.set(open.get() + 1);
                let serve = serve(core.clone(), stream, builder.clone(), stop.clone());
                let open = open.clone();
                connections.spawn_local(async move {
                    serve.await;
                    open.set(open.get() - 1);
                });
            }
            Ok(_) => core.stats.borrow_mut().refused("too_many_connections"),
            Err(error) => {
                core.stats.borrow_mut().refused("accept_failed");
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown_grace, drained)
        .await
        .is_err()
    {
        tracing::warn!(
            calls_left = open.get(),
            "connections were cut at the end of the grace"
        );
    }
    Ok(())
}

fn builder(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_list_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

async fn serve(
    core: Rc<Core>,
    stream: TcpStream,
    builder: http2::Builder<LocalExecutor>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let service = service_fn(move |request| {
        let core = core.clone();
        async move { Ok::<_, std::convert::Infallible>(call::handle(core, request).await) }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client connection ended");
    }
}
