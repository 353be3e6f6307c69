//! One attempt to connect to an arm, and the life of the connection that comes of it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use cutover_manifest::Arm;
use cutover_wire::{Connection, Limits};
use tokio::net::TcpStream;

use super::Core;
use super::link::{Side, Stage, drive};
use super::upstream::MOST_WAITING;

/// Streams on one connection, whatever the arm allows.
const MOST_STREAMS: u32 = 2_500;
/// The windows: all streams below the cap can be full, and none stops another one.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 32 << 20;
const HEADER_LIST_BYTES: u32 = 256 << 10;
/// Unacknowledged data for so long ends a connection; HTTP/2 pings would trip Python's servers
/// (`too_many_pings`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why no connection could be had. Nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    #[error("no connection to {0} within {1:?}")]
    Timeout(String, Duration),
    #[error("{0} did not answer in HTTP/2")]
    Silent(String),
    #[error("more than {MOST_WAITING} calls wait for {0}")]
    Full(String),
}

/// One attempt to connect, and the life of the connection.
pub(super) struct Attempt {
    pub(super) arm: Arm,
    /// Of the address.
    pub(super) generation: u32,
    pub(super) authority: String,
    /// Attempts before this one, to take several addresses in turn.
    pub(super) number: usize,
    /// For the connection and the arm's first word on it.
    pub(super) timeout: Duration,
}

impl Attempt {
    /// Connects, and drives the connection until it is over.
    pub(super) async fn run(self, core: Weak<RefCell<Core>>) {
        let by = tokio::time::Instant::now() + self.timeout;
        let dialled = tokio::time::timeout_at(by, self.dial()).await;
        let Some(core) = core.upgrade() else { return };
        let mut socket = match dialled {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return self.failed(&core, error),
            Err(_) => return self.timed_out(&core),
        };
        let id = self.joined(&core);
        let mut life = std::pin::pin!(drive(&core, id, &mut socket));
        if tokio::time::timeout_at(by, &mut life).await.is_ok() {
            return;
        }
        if core.borrow().is_greeting(id) {
            core.borrow_mut().lose(id);
            return;
        }
        life.await;
    }

    async fn dial(&self) -> Result<TcpStream, ConnectError> {
        let error =
            |error: io::Error| ConnectError::Connect(self.authority.clone(), error.to_string());
        let resolved = tokio::net::lookup_host(&self.authority).await;
        let addresses: Vec<SocketAddr> = resolved.map_err(error)?.collect();
        // Several addresses (a headless Service) are taken in turn, and tried until one answers.
        let mut last = io::Error::other("the name has no address");
        for i in 0..addresses.len() {
            let address = addresses[(self.number + i) % addresses.len()];
            match TcpStream::connect(address).await.and_then(prepared) {
                Ok(socket) => return Ok(socket),
                Err(failed) => last = failed,
            }
        }
        Err(error(last))
    }

    fn joined(&self, core: &Rc<RefCell<Core>>) -> usize {
        let side = Side::Upstream {
            arm: self.arm,
            generation: self.generation,
            stage: Stage::Greeting,
        };
        core.borrow_mut().add(Connection::client(limits()), side)
    }

    fn timed_out(&self, core: &Rc<RefCell<Core>>) {
        self.failed(
            core,
            ConnectError::Timeout(self.authority.clone(), self.timeout),
        );
    }

    fn failed(&self, core: &Rc<RefCell<Core>>, error: ConnectError) {
        let core = &mut *core.borrow_mut();
        core.begin(Instant::now());
        core.not_connected(self.arm, self.generation, error);
        core.dispatch();
    }
}

impl Core {
    fn is_greeting(&self, id: usize) -> bool {
        let link = self.links.get(id).and_then(Option::as_ref);
        link.is_some_and(|link| {
            matches!(
                link.side,
                Side::Upstream {
                    stage: Stage::Greeting,
                    ..
                }
            )
        })
    }
}

fn prepared(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    let options = socket2::SockRef::from(&socket);
    options.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    options.set_keepalive(true)?;
    Ok(socket)
}

pub(super) fn limits() -> Limits {
    Limits {
        concurrent_streams: MOST_STREAMS,
        stream_window_bytes: STREAM_WINDOW,
        connection_window_bytes: CONNECTION_WINDOW,
        header_list_bytes: HEADER_LIST_BYTES,
        header_block_bytes: 2 * HEADER_LIST_BYTES,
        continuations: 64,
        // Bounded by the windows of clients, and by the memory of mirrored calls.
        queue_bytes: usize::MAX,
        ..Limits::default()
    }
}
