//! The connections of one runtime to both arms: few and wide, opened when needed, streams capped
//! on each.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cutover_manifest::{Arm, RouteTable};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::RequestBody;
use crate::accept::LocalExecutor;

/// Streams on a connection before another one is opened. Where the arm allows fewer, the rest wait
/// on the connection for their turn.
const STREAMS_PER_CONNECTION: usize = 100;
/// Connections of one runtime to one arm.
const MAX_CONNECTIONS: usize = 8;
/// Calls of one runtime that may wait or run on one arm; beyond it: RESOURCE_EXHAUSTED.
const MAX_ACTIVE: usize = 20_000;
/// Windows: large ones on the connection, because h2 ends a connection whose streams together
/// leave too many small DATA frames unread.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes that may wait to be sent on one stream.
const SEND_BUFFER: usize = 256 << 10;
/// How long a failed connection attempt speaks for the ones right after it.
const FAILURE_STANDS: Duration = Duration::from_millis(100);
/// Unacknowledged data for so long ends a connection; HTTP/2 pings would trip Python's servers
/// (`too_many_pings`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// The connections of one runtime, by arm.
#[derive(Default)]
pub(crate) struct Upstreams {
    arms: [RefCell<Rc<Upstream>>; 2],
}

#[derive(Default)]
struct Upstream {
    authority: String,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Held while connecting, so that one attempt serves all who wait.
    connecting: tokio::sync::Mutex<()>,
    failed: RefCell<Option<(Instant, ConnectError)>>,
    opened: Cell<usize>,
    active: Cell<usize>,
}

struct Connection {
    sender: SendRequest<RequestBody>,
    active: Cell<usize>,
}

/// One call's place on a connection; given back on drop.
pub(crate) struct Lease {
    upstream: Rc<Upstream>,
    connection: Rc<Connection>,
}

/// Why no connection could be had. Nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    #[error("no connection to {0} within {1:?}")]
    Timeout(String, Duration),
    #[error("more than {MAX_ACTIVE} calls wait for {0}")]
    Full(String),
}

/// Why a request got no response.
pub(crate) enum SendError {
    /// The connection was closed before anything was sent: it may be sent again, once.
    Unsent(Box<Request<RequestBody>>),
    /// It may have been processed.
    Failed(hyper::Error),
}

impl Upstreams {
    /// A place on a connection to `arm`. A table that names another address gets new connections;
    /// calls on the old ones end there.
    pub(crate) async fn lease(&self, table: &RouteTable, arm: Arm) -> Result<Lease, ConnectError> {
        let config = table.manifest.arm(arm);
        let slot = &self.arms[arm.index()];
        if slot.borrow().authority != config.authority {
            let authority = config.authority.clone();
            *slot.borrow_mut() = Rc::new(Upstream {
                authority,
                ..Upstream::default()
            });
        }
        let upstream = slot.borrow().clone();
        if upstream.active.get() >= MAX_ACTIVE {
            return Err(ConnectError::Full(upstream.authority.clone()));
        }
        upstream.lease(table.manifest.limits.connect_timeout).await
    }
}

impl Upstream {
    async fn lease(self: Rc<Self>, timeout: Duration) -> Result<Lease, ConnectError> {
        if let Some(connection) = self.pick() {
            return Ok(self.take(connection));
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connection) = self.pick() {
            return Ok(self.take(connection));
        }
        if let Some((at, error)) = &*self.failed.borrow()
            && at.elapsed() < FAILURE_STANDS
        {
            return Err(error.clone());
        }
        let connected = match tokio::time::timeout(timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Timeout(self.authority.clone(), timeout)),
        };
        match connected {
            Ok(connection) => {
                *self.failed.borrow_mut() = None;
                self.connections.borrow_mut().push(connection.clone());
                Ok(self.take(connection))
            }
            Err(error) => {
                // Where one connection lives, a call too many on it beats an error.
                if let Some(connection) = self.least_active() {
                    return Ok(self.take(connection));
                }
                *self.failed.borrow_mut() = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn take(self: &Rc<Self>, connection: Rc<Connection>) -> Lease {
        connection.active.set(connection.active.get() + 1);
        self.active.set(self.active.get() + 1);
        Lease {
            upstream: self.clone(),
            connection,
        }
    }

    /// The least busy live connection, unless another one should be opened.
    fn pick(&self) -> Option<Rc<Connection>> {
        let connection = self.least_active()?;
        let full = connection.active.get() >= STREAMS_PER_CONNECTION;
        (!full || self.connections.borrow().len() >= MAX_CONNECTIONS).then_some(connection)
    }

    fn least_active(&self) -> Option<Rc<Connection>> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.sender.is_closed());
        connections
            .iter()
            .min_by_key(|connection| connection.active.get())
            .cloned()
    }

    async fn connect(&self) -> Result<Rc<Connection>, ConnectError> {
        let error = |e: &dyn std::fmt::Display| {
            ConnectError::Connect(self.authority.clone(), e.to_string())
        };
        let resolved = tokio::net::lookup_host(&self.authority)
            .await
            .map_err(|e| error(&e))?;
        let addresses: Vec<SocketAddr> = resolved.collect();
        // Several addresses (a headless Service) are taken in turn, and tried until one answers.
        let first = self.opened.get();
        self.opened.set(first + 1);
        let mut last = error(&"the name has no address");
        for i in 0..addresses.len() {
            let address = addresses[(first + i) % addresses.len()];
            match TcpStream::connect(address).await {
                Ok(stream) => return handshake(stream).await.map_err(|e| error(&e)),
                Err(e) => last = error(&e),
            }
        }
        Err(last)
    }
}

async fn handshake(stream: TcpStream) -> Result<Rc<Connection>, Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.set_keepalive(true)?;
    let (sender, connection) = Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(256 << 10)
        .max_concurrent_reset_streams(1_024)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Rc::new(Connection {
        sender,
        active: Cell::new(0),
    }))
}

impl Lease {
    /// Sends the request and waits for the response's headers.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut sender = self.connection.sender.clone();
        sender
            .try_send_request(request)
            .await
            .map_err(|mut error| match error.take_message() {
                Some(request) => SendError::Unsent(Box::new(request)),
                None => SendError::Failed(error.into_error()),
            })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.active.set(self.connection.active.get() - 1);
        self.upstream.active.set(self.upstream.active.get() - 1);
    }
}
