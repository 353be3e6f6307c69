//! A connection: the engine, the calls on its streams, and the task that reads, takes a turn and
//! writes. One read and one write for each time that it is ready, however many calls that serves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use cutover_manifest::Arm;
use cutover_wire::{Connection, StreamKey};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use super::{Core, refuse};

const READ_BYTES: usize = 64 << 10;
/// Slices of one vectored write.
const MOST_SLICES: usize = 64;
/// Turns of one connection before others have theirs.
const MOST_TURNS: usize = 8;
const NO_CALL: u32 = u32::MAX;
/// How long a peer may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_millis(500);

/// One connection of a core.
pub(super) struct Link {
    pub(super) engine: Connection,
    pub(super) side: Side,
    pub(super) calls: CallsBySlot,
    waker: Option<Waker>,
    pub(super) woken: bool,
    /// Bytes written since the beginning.
    pub(super) written: u64,
    pub(super) born: Instant,
    /// When something was read last.
    pub(super) heard: Instant,
    /// When a header block or the greeting was last seen to make progress.
    pub(super) progress: Instant,
    /// When a sign of life was asked for.
    pub(super) pinged: Option<Instant>,
    /// When it was announced that it is too old for new calls.
    pub(super) retired: Option<Instant>,
    /// It is to be closed once what can be written at once is.
    pub(super) closing: bool,
    pub(super) greeting: Greeting,
}

/// What is known of the version of HTTP that a peer speaks.
pub(super) enum Greeting {
    /// A client has said nothing. Nor do we: it may speak HTTP/1.x.
    Silent,
    /// HTTP/2, or at least nothing else.
    Http2,
    /// HTTP/1.x, and what is left to be said to it.
    Http1(Bytes),
}

/// The calls of a connection's streams, by the streams' slots. Whether a call still is its stream's,
/// the call knows.
#[derive(Default)]
pub(super) struct CallsBySlot(Vec<u32>);

/// Whom a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream {
        arm: Arm,
        /// Of the address that was connected to.
        generation: u32,
        stage: Stage,
    },
}

/// How far a connection to an arm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The arm has not said that it speaks HTTP/2.
    Greeting,
    /// It takes calls.
    Ready,
    /// It takes no new calls.
    Leaving,
}

impl Link {
    pub(super) fn new(engine: Connection, side: Side, now: Instant) -> Link {
        Link {
            engine,
            side,
            calls: CallsBySlot::default(),
            waker: None,
            woken: false,
            written: 0,
            born: now,
            heard: now,
            progress: now,
            pinged: None,
            retired: None,
            closing: false,
            greeting: match side {
                Side::Client => Greeting::Silent,
                Side::Upstream { .. } => Greeting::Http2,
            },
        }
    }

    /// Has the connection's task run, if it isn't about to.
    pub(super) fn wake(&mut self) {
        if !self.woken {
            self.woken = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// The same, if there is anything to write.
    pub(super) fn wake_to_write(&mut self) {
        if !self.engine.output().is_empty() {
            self.wake();
        }
    }

    /// Gives back memory that an idle connection does not need.
    pub(super) fn trim(&mut self) {
        self.engine.trim();
        self.calls = CallsBySlot::default();
    }
}

impl CallsBySlot {
    pub(super) fn join(&mut self, stream: StreamKey, call: usize) {
        let slot = stream.slot as usize;
        if self.0.len() <= slot {
            self.0.resize(slot + 1, NO_CALL);
        }
        self.0[slot] = call as u32;
    }

    /// The call that this stream belonged to last.
    pub(super) fn get(&self, stream: StreamKey) -> usize {
        let call = self.0.get(stream.slot as usize);
        call.map_or(NO_CALL as usize, |call| *call as usize)
    }

    /// All calls that have streams here, and some that had.
    pub(super) fn into_all(self) -> impl Iterator<Item = usize> {
        let calls = self.0.into_iter();
        calls
            .filter(|call| *call != NO_CALL)
            .map(|call| call as usize)
    }
}

/// Reads, takes turns and writes until the connection is over.
pub(super) async fn drive(core: &Rc<RefCell<Core>>, id: usize, socket: &mut TcpStream) {
    poll_fn(|cx| poll(&mut core.borrow_mut(), id, socket, cx)).await;
    core.borrow_mut().lose(id);
    let _ = tokio::time::timeout(LINGER, linger(socket)).await;
}

/// Says that nothing more comes, and reads what is still under way: a socket that is closed with
/// bytes unread resets the connection, and our last words may be lost with it.
async fn linger(socket: &mut TcpStream) {
    let mut rest = [0; 4 << 10];
    if socket.shutdown().await.is_ok() {
        while matches!(socket.read(&mut rest).await, Ok(count) if count > 0) {}
    }
}

fn poll(core: &mut Core, id: usize, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
    core.begin(Instant::now());
    let Some(link) = core.link(id) else {
        return Poll::Ready(());
    };
    link.woken = false;
    if !link.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        link.waker = Some(cx.waker().clone());
    }
    for _ in 0..MOST_TURNS {
        let read = read(core, id, socket, cx);
        if matches!(read, Poll::Ready(Ok(0) | Err(_))) {
            return Poll::Ready(());
        }
        core.turn(id);
        let Some(link) = core.link(id) else {
            return Poll::Ready(());
        };
        let written = write(link, socket, cx);
        let failed = matches!(written, Poll::Ready(Err(_)));
        if failed || link.closing || link.engine.is_finished() {
            return Poll::Ready(());
        }
        let wants_poll = link.engine.wants_poll();
        // What was written may have made room for calls that wait.
        core.dispatch();
        if read.is_pending() && (written.is_pending() || !wants_poll) {
            return Poll::Pending;
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn read(
    core: &mut Core,
    id: usize,
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    core.buffer.reserve(READ_BYTES);
    let count = ready!(poll_read_buf(Pin::new(socket), cx, &mut core.buffer))?;
    let input = core.buffer.split().freeze();
    hear(core, id, input);
    Poll::Ready(Ok(count))
}

/// Takes in what a peer sent.
pub(super) fn hear(core: &mut Core, id: usize, input: Bytes) {
    let now = core.now;
    let Some(link) = core.link(id) else { return };
    link.heard = now;
    link.pinged = None;
    if let Greeting::Silent = link.greeting {
        link.greeting = match refuse::http1(&input) {
            None => Greeting::Http2,
            Some(answer) => {
                link.closing = true;
                Greeting::Http1(answer)
            }
        };
    }
    link.engine.receive(input);
    if let Greeting::Http1(_) = link.greeting {
        core.stats.refused("http1");
    }
}

/// Writes all there is; pending if the socket takes no more.
fn write(link: &mut Link, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match &mut link.greeting {
        Greeting::Http2 => {}
        Greeting::Silent => return Poll::Ready(Ok(())),
        Greeting::Http1(rest) => {
            while !rest.is_empty() {
                let count = ready!(Pin::new(&mut *socket).poll_write(cx, rest))?;
                rest.advance(count);
            }
            return Poll::Ready(Ok(()));
        }
    }
    let output = link.engine.output();
    while !output.is_empty() {
        let socket = Pin::new(&mut *socket);
        let count = match output.contiguous() {
            Some(bytes) => ready!(socket.poll_write(cx, bytes))?,
            None => {
                let mut slices = [IoSlice::new(&[]); MOST_SLICES];
                let filled = output.slices(&mut slices);
                ready!(socket.poll_write_vectored(cx, &slices[..filled]))?
            }
        };
        output.advance(count);
        link.written += count as u64;
    }
    Poll::Ready(Ok(()))
}
