//! Accept: one listener per core on the same port (`SO_REUSEPORT`), HTTP/2 with named limits.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cutover_manifest::Limits;
use cutover_wire::Connection;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::forward::{self, Core};

/// Connections of one core; beyond it, new ones are closed at once.
const MAX_CONNECTIONS: usize = 20_000;
const BACKLOG: i32 = 4_096;
/// What a client may send before it is passed on: by stream, and by connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The pause after a failed accept (no file descriptors left), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long no accept must have failed before that is told. Descriptors that come back one by one
/// would otherwise fill the log.
const ACCEPTED_AGAIN: Duration = Duration::from_secs(1);
/// How long a client may take to answer the announcement that no new calls are taken, before they
/// are refused.
const SECOND_STEP: Duration = Duration::from_secs(1);
/// How long the last words may take to reach those who were cut at the end of the grace.
const LAST_WORDS: Duration = Duration::from_millis(200);

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
    core: Rc<RefCell<Core>>,
    listener: std::net::TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let wire = wire_limits(&limits);
    // Ends when every connection has dropped its half; nothing is ever sent.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    // When an accept failed last, until it has been told that none does any more.
    let mut failed: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        if accepted.is_ok() && failed.is_some_and(|at| at.elapsed() >= ACCEPTED_AGAIN) {
            failed = None;
            tracing::info!("connections are accepted again");
        }
        match accepted {
            Ok((socket, _)) if core.borrow().clients() < MAX_CONNECTIONS => {
                let engine = Connection::server(wire.clone());
                let served = serve(core.clone(), engine, socket);
                let open = open.clone();
                tokio::task::spawn_local(async move {
                    served.await;
                    drop(open);
                });
            }
            Ok(_) => core.borrow_mut().stats.refused("too_many_connections"),
            Err(error) => {
                core.borrow_mut().stats.refused("accept_failed");
                if failed.replace(Instant::now()).is_none() {
                    tracing::warn!(%error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, open));
    core.borrow_mut().leave();
    let drained = async {
        if tokio::time::timeout(SECOND_STEP, all_closed.recv())
            .await
            .is_err()
        {
            core.borrow_mut().leave_now();
            all_closed.recv().await;
        }
    };
    let drained = tokio::time::timeout(limits.shutdown_grace, drained).await;
    if drained.is_err() {
        let left = core.borrow_mut().cut();
        tracing::warn!(left, "calls were cut at the end of the grace");
        // Who doesn't read them in time has lost nothing but words.
        let _ = tokio::time::timeout(LAST_WORDS, all_closed.recv()).await;
    }
    Ok(())
}

fn wire_limits(limits: &Limits) -> cutover_wire::Limits {
    let list = u32::try_from(limits.max_header_list_bytes).unwrap_or(u32::MAX);
    cutover_wire::Limits {
        concurrent_streams: limits.max_concurrent_streams,
        stream_window_bytes: STREAM_WINDOW,
        connection_window_bytes: CONNECTION_WINDOW,
        header_list_bytes: list,
        header_block_bytes: list.saturating_mul(2).max(128 << 10),
        ..cutover_wire::Limits::default()
    }
}

async fn serve(core: Rc<RefCell<Core>>, engine: Connection, socket: TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    forward::serve(core, engine, socket).await;
}
