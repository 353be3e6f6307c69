//! A client or an arm that speaks HTTP/2 by hand: every event is seen, every frame can be sent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover_manifest::Manifest;
use cutover_proxy::{Proxy, ProxyOptions};
use cutover_wire::{Connection, End, ErrorCode, Event, FieldRef, HeaderList, Limits, StreamKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than any test should wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const OK: [FieldRef<'static>; 2] = [
    FieldRef::new(b":status", b"200"),
    FieldRef::new(b"content-type", b"application/grpc"),
];
pub(crate) const STATUS_OK: [FieldRef<'static>; 1] = [FieldRef::new(b"grpc-status", b"0")];

/// What a peer saw.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Headers(StreamKey, Fields, End),
    Data(StreamKey, Bytes, End),
    Trailers(StreamKey, Fields),
    Reset(StreamKey, ErrorCode),
    GoAway(ErrorCode),
    Closed,
}

/// Names and values, in order.
pub(crate) type Fields = Vec<(String, String)>;

/// Whether what was read may be sent anew at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Eager,
    /// For ever.
    Paused,
}

pub(crate) struct Peer {
    pub(crate) engine: Connection,
    pub(crate) reader: Reader,
    /// Bytes that left after they had waited for a window.
    pub(crate) sent_later: usize,
    socket: TcpStream,
    over: bool,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Peer {
        Peer::new(
            Connection::client(generous()),
            TcpStream::connect(address).await.unwrap(),
        )
    }

    pub(crate) async fn accept(listener: &TcpListener) -> Peer {
        Peer::accept_with(listener, generous()).await
    }

    pub(crate) async fn accept_with(listener: &TcpListener, limits: Limits) -> Peer {
        let accepted = timeout(PATIENCE, listener.accept()).await;
        let (socket, _) = accepted.expect("nobody connected").unwrap();
        Peer::new(Connection::server(limits), socket)
    }

    fn new(engine: Connection, socket: TcpStream) -> Peer {
        Peer {
            engine,
            reader: Reader::Eager,
            sent_later: 0,
            socket,
            over: false,
        }
    }

    /// The next thing that happens on a stream or ends the connection.
    pub(crate) async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.wait()).await.expect("nothing came")
    }

    async fn wait(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.poll() {
                return seen;
            }
            self.flush().await;
            if self.over {
                return Seen::Closed;
            }
            let mut buffer = vec![0; 64 << 10];
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => self.over = true,
                Ok(count) => self
                    .engine
                    .receive(Bytes::copy_from_slice(&buffer[..count])),
            }
        }
    }

    fn poll(&mut self) -> Option<Seen> {
        loop {
            let Ok(event) = self.engine.poll_event() else {
                self.over = true;
                return None;
            };
            return Some(match event? {
                Event::Headers {
                    stream,
                    headers,
                    end,
                } => Seen::Headers(stream, fields(headers), end),
                Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                } => {
                    if self.reader == Reader::Eager {
                        self.engine.release(stream, credit);
                    }
                    Seen::Data(stream, payload, end)
                }
                Event::Trailers { stream, headers } => Seen::Trailers(stream, fields(headers)),
                Event::Reset { stream, code, .. } => Seen::Reset(stream, code),
                Event::Sent { bytes, .. } => {
                    self.sent_later += bytes;
                    continue;
                }
                Event::GoAway { code, .. } => Seen::GoAway(code),
                _ => continue,
            });
        }
    }

    /// Writes what the engine wants written.
    pub(crate) async fn flush(&mut self) {
        let output = self.engine.output();
        while !output.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let filled = output.slices(&mut slices);
            match self.socket.write_vectored(&slices[..filled]).await {
                Ok(count) => output.advance(count),
                Err(_) => {
                    self.over = true;
                    return;
                }
            }
        }
    }

    /// Writes bytes that the engine knows nothing of.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.flush().await;
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Opens a gRPC call; `more` follows the usual fields.
    pub(crate) fn call(&mut self, more: &[FieldRef<'_>], end: End) -> StreamKey {
        let usual = [
            FieldRef::new(b":method", b"POST"),
            FieldRef::new(b":scheme", b"http"),
            FieldRef::new(b":path", b"/test.Service/Method"),
            FieldRef::new(b":authority", b"test"),
            FieldRef::new(b"content-type", b"application/grpc"),
        ];
        let fields = usual.into_iter().chain(more.iter().copied());
        self.engine.open(fields, end).unwrap()
    }

    /// The same with a whole request.
    pub(crate) fn ask(&mut self, body: &'static [u8]) -> StreamKey {
        let stream = self.call(&[], End::More);
        let sent = self.engine.send_data(stream, body.into(), End::Last);
        assert_eq!(sent, Ok(body.len()));
        stream
    }

    /// Answers a call with these bytes and status 0.
    pub(crate) fn answer(&mut self, stream: StreamKey, body: &'static [u8]) {
        self.engine.send_headers(stream, OK, End::More).unwrap();
        self.engine
            .send_data(stream, body.into(), End::More)
            .unwrap();
        self.engine.send_trailers(stream, STATUS_OK).unwrap();
    }

    /// Waits for the status of a call, whatever else comes.
    pub(crate) async fn status(&mut self, stream: StreamKey) -> u32 {
        loop {
            let (of, fields) = match self.next().await {
                Seen::Headers(of, fields, End::Last) | Seen::Trailers(of, fields) => (of, fields),
                Seen::Closed => panic!("the connection ended before the call"),
                _ => continue,
            };
            if of == stream {
                return value(&fields, "grpc-status").unwrap().parse().unwrap();
            }
        }
    }

    /// Waits for the next request's headers.
    pub(crate) async fn request(&mut self) -> StreamKey {
        loop {
            if let Seen::Headers(stream, ..) = self.next().await {
                return stream;
            }
        }
    }

    /// Waits for the reset of a stream.
    pub(crate) async fn reset(&mut self, stream: StreamKey) -> ErrorCode {
        loop {
            match self.next().await {
                Seen::Reset(of, code) if of == stream => return code,
                Seen::Closed => panic!("the connection ended before the stream"),
                _ => {}
            }
        }
    }
}

pub(crate) fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let field = fields.iter().find(|(of, _)| of == name)?;
    Some(&field.1)
}

fn fields(list: &HeaderList) -> Fields {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = list.iter().map(|f| (text(f.name), text(f.value)));
    pairs.collect()
}

fn generous() -> Limits {
    Limits {
        concurrent_streams: 2_000,
        queue_bytes: usize::MAX,
        ..Limits::default()
    }
}

/// A proxy with one core that sends everything to `legacy`, and some of the manifest's limits.
async fn proxy(limits: &str, legacy: &TcpListener) -> Proxy {
    let legacy = legacy.local_addr().unwrap();
    // No descriptors: so nobody asks the arm for its reflection either.
    let none = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/none.bin");
    let text = format!(
        "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
         listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n  legacy: {{ url: \"http://{legacy}\" }}\n  \
         candidate: {{ url: \"http://127.0.0.1:1\" }}\n  descriptors: {{ file: {} }}\n  rules: [{{ weight: 0 }}]\n  \
         limits: {{ {limits} }}\n",
        none.display()
    );
    let bootstrap = Some(Arc::new(Manifest::parse("t.yaml", &text).unwrap()));
    Proxy::start(ProxyOptions {
        bootstrap,
        threads: 1,
        ..ProxyOptions::default()
    })
    .await
    .unwrap()
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A proxy with an arm behind it and a client before it, each by hand.
pub(crate) async fn stage() -> (Proxy, TcpListener, Peer) {
    stage_with("").await
}

/// The same with some of the manifest's limits.
pub(crate) async fn stage_with(limits: &str) -> (Proxy, TcpListener, Peer) {
    let arm = listener().await;
    let proxy = proxy(limits, &arm).await;
    let client = Peer::connect(proxy.listen_address()).await;
    (proxy, arm, client)
}

/// The text of `/metrics`.
pub(crate) async fn metrics(proxy: &Proxy) -> String {
    let mut stream = TcpStream::connect(proxy.admin_address()).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Calls that have ended with this status.
pub(crate) async fn ended(proxy: &Proxy, code: &str) -> u64 {
    let text = metrics(proxy).await;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("cutover_calls_total{"));
    lines
        .filter(|line| line.contains(&format!("code=\"{code}\"")))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Waits until so many calls have ended with this status.
pub(crate) async fn until_ended(proxy: &Proxy, code: &str, count: u64) {
    let counted = async {
        while ended(proxy, code).await < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted)
        .await
        .expect("calls are missing in the metrics");
    assert_eq!(ended(proxy, code).await, count);
}
