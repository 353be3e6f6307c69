//! A relay on one thread: HTTP/2 in clear text from clients, onwards to an upstream on a few shared
//! connections. Without `--upstream` it answers with what it is sent, as a gRPC service that echoes,
//! so it can stand behind another one.
//!
//! ```text
//! relay --listen 127.0.0.1:8081                              # echoes
//! relay --listen 127.0.0.1:8080 --upstream 127.0.0.1:8081    # relays
//! ```
//!
//! One read and one write per connection and turn: a connection that others have given something to
//! write is woken, and writes it all when its task runs.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use cutover_wire::{
    CommandError, Connection, ConnectionError, End, ErrorCode, Event, FieldRef, HeaderList, Limits,
    Role, StreamKey,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Connections to the upstream, used in turn.
const UPSTREAMS: usize = 4;
const READ_BYTES: usize = 64 << 10;
const MOST_SLICES: usize = 64;
const ECHO_HEAD: [FieldRef<'static>; 2] = [
    FieldRef::new(b":status", b"200"),
    FieldRef::new(b"content-type", b"application/grpc"),
];
/// What there is to say to a request without a body: a message of no bytes.
const ECHO_OF_NOTHING: &[u8] = &[0; 5];
const ECHO_TRAILERS: [FieldRef<'static>; 1] = [FieldRef::new(b"grpc-status", b"0")];

fn main() -> io::Result<()> {
    let mut listen = "127.0.0.1:0".to_owned();
    let mut upstream = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("what is {flag}?"));
        let value = arguments.next().ok_or_else(wrong)?;
        match flag.as_str() {
            "--listen" => listen = value,
            "--upstream" => upstream = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(&listen, upstream))
}

async fn serve(listen: &str, upstream: Option<SocketAddr>) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let relay = Rc::new(RefCell::new(Relay {
        links: Vec::new(),
        upstreams: Vec::new(),
        next: 0,
        read_buffer: BytesMut::new(),
    }));
    if let Some(address) = upstream {
        for _ in 0..UPSTREAMS {
            let link = relay.borrow_mut().add(Connection::client(limits()));
            relay.borrow_mut().upstreams.push(link);
            let relay = Rc::clone(&relay);
            tokio::task::spawn_local(async move {
                loop {
                    if let Ok(socket) = TcpStream::connect(address).await {
                        drive(&relay, link, &socket).await;
                    } else {
                        // Without a clock: whoever asks next causes the next attempt.
                        let wake = relay.borrow().wake_of(link);
                        wake.notified().await;
                    }
                    relay
                        .borrow_mut()
                        .lose(link, Some(Connection::client(limits())));
                }
            });
        }
    }
    loop {
        let (mut socket, _) = listener.accept().await?;
        let link = relay.borrow_mut().add(Connection::server(limits()));
        let relay = Rc::clone(&relay);
        tokio::task::spawn_local(async move {
            drive(&relay, link, &socket).await;
            relay.borrow_mut().lose(link, None);
            linger(&mut socket).await;
        });
    }
}

fn limits() -> Limits {
    Limits {
        concurrent_streams: 1_000,
        output_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// Reads, takes turns and writes until the connection is over.
async fn drive(relay: &RefCell<Relay>, link: usize, socket: &TcpStream) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let wake = relay.borrow().wake_of(link);
    loop {
        let wants = {
            let mut relay = relay.borrow_mut();
            relay.turn(link);
            match relay.write(link, socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            let Some(engine) = relay.engine(link) else {
                return;
            };
            if engine.is_finished() {
                return;
            }
            if engine.wants_poll() {
                continue;
            }
            match engine.output().is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            }
        };
        tokio::select! {
            biased;
            ready = socket.ready(wants) => match ready {
                Ok(ready) if ready.is_readable() => {
                    match relay.borrow_mut().read(link, socket) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            },
            () = wake.notified() => {}
        }
    }
}

/// Says that nothing more comes, and reads what is still under way: a socket that is closed with
/// bytes unread resets the connection, and the last words may be lost with it. Without a clock, so
/// it is for the client to close its end.
async fn linger(socket: &mut TcpStream) {
    let mut rest = [0; 1024];
    if socket.shutdown().await.is_ok() {
        while matches!(socket.read(&mut rest).await, Ok(count) if count > 0) {}
    }
}

struct Relay {
    links: Vec<Option<Box<Link>>>,
    upstreams: Vec<usize>,
    next: usize,
    /// Shared by all connections: a read lasts until its turn is over, unless data is queued.
    read_buffer: BytesMut,
}

/// A connection and what its streams are connected to.
struct Link {
    engine: Connection,
    /// By slot.
    partners: Vec<Option<Partner>>,
    wake: Rc<Notify>,
}

#[derive(Clone, Copy)]
struct Partner {
    own: StreamKey,
    link: usize,
    stream: StreamKey,
}

impl Link {
    fn new(engine: Connection) -> Self {
        Self {
            engine,
            partners: Vec::new(),
            wake: Rc::default(),
        }
    }

    fn join(&mut self, own: StreamKey, link: usize, stream: StreamKey) {
        let slot = own.slot as usize;
        if self.partners.len() <= slot {
            self.partners.resize(slot + 1, None);
        }
        self.partners[slot] = Some(Partner { own, link, stream });
    }
}

fn partner_of(partners: &[Option<Partner>], key: StreamKey) -> Option<Partner> {
    partners
        .get(key.slot as usize)?
        .filter(|partner| partner.own == key)
}

impl Relay {
    fn add(&mut self, engine: Connection) -> usize {
        let link = Box::new(Link::new(engine));
        match self.links.iter().position(Option::is_none) {
            Some(free) => {
                self.links[free] = Some(link);
                free
            }
            None => {
                self.links.push(Some(link));
                self.links.len() - 1
            }
        }
    }

    fn engine(&mut self, link: usize) -> Option<&mut Connection> {
        self.links[link].as_mut().map(|link| &mut link.engine)
    }

    fn wake_of(&self, link: usize) -> Rc<Notify> {
        self.links[link]
            .as_ref()
            .map(|link| Rc::clone(&link.wake))
            .unwrap_or_default()
    }

    fn read(&mut self, link: usize, socket: &TcpStream) -> io::Result<usize> {
        self.read_buffer.reserve(READ_BYTES);
        let count = socket.try_read_buf(&mut self.read_buffer)?;
        let input = self.read_buffer.split().freeze();
        if let Some(engine) = self.engine(link) {
            engine.receive(input);
        }
        Ok(count)
    }

    fn write(&mut self, link: usize, socket: &TcpStream) -> io::Result<()> {
        let Some(engine) = self.engine(link) else {
            return Ok(());
        };
        let output = engine.output();
        while !output.is_empty() {
            let count = match output.contiguous() {
                Some(bytes) => socket.try_write(bytes)?,
                None => {
                    let mut slices = [IoSlice::new(&[]); MOST_SLICES];
                    let filled = output.slices(&mut slices);
                    socket.try_write_vectored(&slices[..filled])?
                }
            };
            output.advance(count);
        }
        Ok(())
    }

    /// Carries all events of a link over. The link is taken out meanwhile, so that its partners
    /// can be reached; none is its own partner.
    fn turn(&mut self, id: usize) {
        let Some(mut link) = self.links[id].take() else {
            return;
        };
        if let Err(error) = self.carry(id, &mut link) {
            eprintln!("connection {id}: {error}");
        }
        self.links[id] = Some(link);
    }

    fn carry(&mut self, id: usize, link: &mut Link) -> Result<(), ConnectionError> {
        let role = link.engine.role();
        let echoes = self.upstreams.is_empty();
        while let Some(event) = link.engine.poll_event()? {
            let key = stream_of(&event);
            let partner = key.and_then(|key| partner_of(&link.partners, key));
            // The other side's engine and stream, or nothing if it is gone.
            let other = partner.and_then(|partner| {
                let other = self.links[partner.link].as_mut()?;
                other.wake.notify_one();
                Some((&mut other.engine, partner.stream))
            });
            match (event, other) {
                (
                    Event::Headers {
                        stream,
                        headers,
                        end,
                    },
                    _,
                ) if role == Role::Server => {
                    if echoes {
                        let _ = link.engine.send_headers(stream, ECHO_HEAD, End::More);
                        if end == End::Last {
                            let message = Bytes::from_static(ECHO_OF_NOTHING);
                            let _ = link.engine.send_data(stream, message, End::More);
                        }
                        echo_end(&mut link.engine, stream, end);
                    } else if let Ok((other, at)) = self.open((id, stream), headers, end) {
                        link.join(stream, other, at);
                    } else {
                        link.engine.reset(stream, ErrorCode::REFUSED_STREAM);
                    }
                }
                (Event::TooLarge { stream, .. }, _) => {
                    let status = [FieldRef::new(b":status", b"431")];
                    let _ = link.engine.send_headers(stream, status, End::Last);
                }
                (Event::Headers { headers, end, .. }, Some((other, at))) => {
                    let _ = other.send_headers(at, headers.iter(), end);
                }
                (Event::Interim { headers, .. }, Some((other, at))) => {
                    let _ = other.send_interim(at, headers.iter());
                }
                (Event::Trailers { headers, .. }, Some((other, at))) => {
                    let _ = other.send_trailers(at, headers.iter());
                }
                (
                    Event::Data {
                        stream,
                        payload,
                        credit,
                        end,
                    },
                    Some((other, at)),
                ) => {
                    let queued = payload.len() as u32;
                    let sent = other.send_data(at, payload, end).unwrap_or(queued as usize);
                    // Padding is released at once, data when it has left.
                    link.engine.release(stream, credit - queued + sent as u32);
                }
                (
                    Event::Data {
                        stream,
                        payload,
                        credit,
                        end,
                    },
                    None,
                ) if echoes => {
                    let queued = payload.len() as u32;
                    let sent = link.engine.send_data(stream, payload, End::More);
                    let sent = sent.unwrap_or(queued as usize) as u32;
                    link.engine.release(stream, credit - queued + sent);
                    echo_end(&mut link.engine, stream, end);
                }
                (Event::Data { stream, credit, .. }, None) => link.engine.release(stream, credit),
                (Event::Trailers { stream, .. }, None) if echoes => {
                    echo_end(&mut link.engine, stream, End::Last);
                }
                (Event::Sent { bytes, .. }, Some((other, at))) => {
                    other.release(at, bytes as u32);
                }
                (Event::Sent { stream, bytes, .. }, None) if echoes => {
                    link.engine.release(stream, bytes as u32);
                }
                (
                    Event::Reset {
                        code: ErrorCode::NO_ERROR,
                        ..
                    },
                    Some((other, at)),
                ) => {
                    other.reset(at, ErrorCode::CANCEL);
                }
                (Event::Reset { code, .. }, Some((other, at))) => other.reset(at, code),
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens a stream on the next upstream connection that takes one.
    fn open(
        &mut self,
        from: (usize, StreamKey),
        headers: &HeaderList,
        end: End,
    ) -> Result<(usize, StreamKey), CommandError> {
        self.next = (self.next + 1) % self.upstreams.len();
        let id = self.upstreams[self.next];
        let link = self.links[id].as_mut().ok_or(CommandError::Closing)?;
        link.wake.notify_one();
        let stream = link.engine.open(headers.iter(), end)?;
        link.join(stream, from.0, from.1);
        Ok((id, stream))
    }

    /// A connection is gone: so are the streams that it was one half of.
    fn lose(&mut self, id: usize, replacement: Option<Connection>) {
        let Some(link) = self.links[id].take() else {
            return;
        };
        let Link { partners, wake, .. } = *link;
        for partner in partners.into_iter().flatten() {
            if let Some(other) = self.links[partner.link].as_mut() {
                let code = match other.engine.role() {
                    Role::Server => ErrorCode::INTERNAL_ERROR,
                    Role::Client => ErrorCode::CANCEL,
                };
                other.engine.reset(partner.stream, code);
                other.wake.notify_one();
            }
        }
        if let Some(engine) = replacement {
            self.links[id] = Some(Box::new(Link {
                wake,
                ..Link::new(engine)
            }));
        }
    }
}

/// Ends the echo with the request.
fn echo_end(engine: &mut Connection, stream: StreamKey, end: End) {
    if end == End::Last {
        let _ = engine.send_trailers(stream, ECHO_TRAILERS);
    }
}

fn stream_of(event: &Event<'_>) -> Option<StreamKey> {
    match event {
        Event::Headers { stream, .. }
        | Event::Interim { stream, .. }
        | Event::TooLarge { stream, .. }
        | Event::Data { stream, .. }
        | Event::Trailers { stream, .. }
        | Event::Sent { stream, .. }
        | Event::Reset { stream, .. } => Some(*stream),
        Event::GoAway { .. } | Event::Settings | Event::Pong { .. } => None,
    }
}
