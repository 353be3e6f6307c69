//! TLS in front of the engine: `rustls` is a machine without I/O too, so one's bytes are the
//! other's. A server and a client, each of both, talk over byte strings that are cut at odd places.
//! `tests/tls` has a certificate for `localhost` that nobody else trusts, and its key.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use cutover_wire::{Connection, End, FieldRef, Limits, StreamKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::drive::{Owned, take_events};

const CERTIFICATE: &[u8] = include_bytes!("../tls/certificate.der");
const KEY: &[u8] = include_bytes!("../tls/key.der");
const CUTS: [usize; 9] = [1, 2, 3, 5, 16, 17, 333, 4_096, 20_000];
const MESSAGE: usize = 55;
const MESSAGES: usize = 3_000;
const REQUEST: [FieldRef<'static>; 4] = [
    FieldRef::new(b":method", b"POST"),
    FieldRef::new(b":scheme", b"https"),
    FieldRef::new(b":path", b"/a.Service/Method"),
    FieldRef::new(b"content-type", b"application/grpc"),
];
const OK: [FieldRef<'static>; 1] = [FieldRef::new(b":status", b"200")];
const STATUS: [FieldRef<'static>; 1] = [FieldRef::new(b"grpc-status", b"0")];

/// One end: what the engine writes is encrypted, what is decrypted it reads.
struct Secure {
    tls: rustls::Connection,
    http: Connection,
    said: Vec<u8>,
    cuts: std::iter::Cycle<std::array::IntoIter<usize, 9>>,
}

impl Secure {
    fn new(tls: rustls::Connection, http: Connection) -> Secure {
        Secure {
            tls,
            http,
            said: Vec::new(),
            cuts: CUTS.into_iter().cycle(),
        }
    }

    /// The next piece of what is to be written to a socket.
    fn say(&mut self) -> Vec<u8> {
        let mut slices = [std::io::IoSlice::new(&[]); 64];
        self.http.output().slices(&mut slices);
        let taken = self.tls.writer().write_vectored(&slices).unwrap();
        self.http.output().advance(taken);
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.said).unwrap();
        }
        let cut = self.cuts.next().unwrap().min(self.said.len());
        self.said.drain(..cut).collect()
    }

    /// Takes what came from a socket; gives what it meant.
    fn hear(&mut self, mut bytes: &[u8]) -> Vec<Owned> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            let state = self.tls.process_new_packets().unwrap();
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain).unwrap();
            self.http.receive(plain.into());
            events.extend(take_events(&mut self.http));
        }
        events
    }
}

fn pair() -> (Secure, Secure) {
    let certificate = CertificateDer::from(CERTIFICATE);
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    client.alpn_protocols = vec![b"h2".to_vec()];
    server.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(client), name).unwrap();
    let server = ServerConnection::new(Arc::new(server)).unwrap();
    (
        Secure::new(client.into(), Connection::client(Limits::default())),
        Secure::new(server.into(), Connection::server(Limits::default())),
    )
}

/// Sends the messages of a call as far as its queue takes them.
fn stream(http: &mut Connection, stream: StreamKey, sent: &mut usize) {
    while *sent < MESSAGES && http.send_data(stream, message(*sent), End::More).is_ok() {
        *sent += 1;
        if *sent == MESSAGES {
            http.send_trailers(stream, STATUS).unwrap();
        }
    }
}

fn message(number: usize) -> Bytes {
    vec![number as u8; MESSAGE].into()
}

#[test]
fn a_call_and_a_stream_pass_through_tls_cut_anywhere() {
    let (mut client, mut server) = pair();
    let unary = client.http.open(REQUEST, End::More).unwrap();
    let asked = client
        .http
        .send_data(unary, Bytes::from_static(b"question"), End::Last);
    asked.unwrap();
    let streamed = client.http.open(REQUEST, End::Last).unwrap();
    let mut sent = 0;
    let mut streaming = None;
    let mut answer = Vec::new();
    let mut messages = Vec::new();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let said = client.say();
        for event in server.hear(&said) {
            match event {
                Owned::Headers(stream, _, end) => {
                    server.http.send_headers(stream, OK, End::More).unwrap();
                    if end == End::Last {
                        streaming = Some(stream);
                    }
                }
                Owned::Data(stream, payload, credit, end) => {
                    server.http.release(stream, credit);
                    server.http.send_data(stream, payload, End::More).unwrap();
                    if end == End::Last {
                        server.http.send_trailers(stream, STATUS).unwrap();
                    }
                }
                _ => {}
            }
        }
        if let Some(key) = streaming {
            stream(&mut server.http, key, &mut sent);
        }
        let told = server.say();
        let nothing = said.is_empty() && told.is_empty();
        for event in client.hear(&told) {
            match event {
                Owned::Data(stream, payload, credit, _) => {
                    client.http.release(stream, credit);
                    let to = if stream == unary {
                        &mut answer
                    } else {
                        &mut messages
                    };
                    to.extend_from_slice(&payload);
                }
                Owned::Trailers(stream, fields) => {
                    assert_eq!(fields.get(b"grpc-status"), Some(&b"0"[..]));
                    ended.push(stream);
                }
                _ => {}
            }
        }
        assert!(
            !nothing || ended.len() == 2,
            "nobody says anything any more"
        );
    }
    assert_eq!(client.tls.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(server.tls.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(answer, b"question");
    let expected: Vec<u8> = (0..MESSAGES).flat_map(message).collect();
    assert!(messages == expected, "{} bytes came", messages.len());
    assert!(ended.contains(&streamed));
}
