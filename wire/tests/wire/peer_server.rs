//! The `h2` crate as the server of our client; it echoes a request once that is whole.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use cutover_wire::{Connection, End, ErrorCode, FieldRef, Limits, StreamKey};
use http::{HeaderMap, Request, Response};
use tokio::io::DuplexStream;

use crate::drive::{Owned, drive, take_events};

async fn echo(io: DuplexStream, builder: h2::server::Builder) {
    let mut server = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(request) = server.accept().await {
        let (request, respond) = request.unwrap();
        tokio::task::spawn_local(answer(request, respond));
    }
}

async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    if request.uri().path() == "/refused" {
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let (parts, mut body) = request.into_parts();
    let mut got = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    let trailers = body
        .trailers()
        .await
        .unwrap()
        .unwrap_or_else(HeaderMap::new);
    let number = parts.headers["x-number"].clone();
    let response = Response::builder()
        .header("x-number", number)
        .body(())
        .unwrap();
    let mut sender = respond.send_response(response, false).unwrap();
    sender.send_data(got.into(), false).unwrap();
    sender.send_trailers(trailers).unwrap();
}

/// What came back on a stream.
#[derive(Default)]
struct Answer {
    number: Vec<u8>,
    body: Vec<u8>,
    trailer: Vec<u8>,
    expected: Vec<u8>,
}

/// Sends one request per body, as many at once as the peer allows, and checks the answers.
async fn check(limits: Limits, builder: h2::server::Builder, pipe: usize, bodies: &[usize]) {
    let (near, far) = tokio::io::duplex(pipe);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(echo(far, builder));
    let mut client = Connection::client(limits);
    let mut open: HashMap<StreamKey, Answer> = HashMap::new();
    let mut waiting = bodies.iter().enumerate();
    let mut done = 0;
    let mut greeted = false;
    let driven = drive(near, &mut client, |client| {
        for event in take_events(client) {
            match event {
                Owned::Headers(key, headers, End::More) => {
                    assert_eq!(headers.status(), Some(&b"200"[..]));
                    let number = headers.get(b"x-number").unwrap();
                    open.get_mut(&key).unwrap().number.extend_from_slice(number);
                }
                Owned::Data(key, payload, credit, End::More) => {
                    open.get_mut(&key).unwrap().body.extend_from_slice(&payload);
                    client.release(key, credit);
                }
                Owned::Trailers(key, headers) => {
                    let mut answer = open.remove(&key).unwrap();
                    answer
                        .trailer
                        .extend_from_slice(headers.get(b"x-trailer").unwrap());
                    assert_eq!(answer.number, answer.trailer);
                    assert!(answer.body == answer.expected);
                    done += 1;
                }
                Owned::Sent(..) => {}
                // Before this a client may open too many.
                Owned::Settings => greeted = true,
                other => panic!("unexpected: {other:?}"),
            }
        }
        while greeted
            && client.can_open().is_ok()
            && let Some((number, length)) = waiting.next()
        {
            let text = number.to_string();
            let head = [
                FieldRef::new(b":method", b"POST"),
                FieldRef::new(b":scheme", b"http"),
                FieldRef::new(b":path", b"/s/m"),
                FieldRef::new(b"x-number", text.as_bytes()),
            ];
            let key = client.open(head, End::More).unwrap();
            let body: Vec<u8> = (0..*length).map(|at| (at * 5 + number) as u8).collect();
            client
                .send_data(key, body.clone().into(), End::More)
                .unwrap();
            client
                .send_trailers(key, [FieldRef::new(b"x-trailer", text.as_bytes())])
                .unwrap();
            open.insert(
                key,
                Answer {
                    expected: body,
                    ..Answer::default()
                },
            );
        }
        if done == bodies.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    local.run_until(driven).await;
    assert_eq!(done, bodies.len());
    assert_eq!(client.streams(), 0);
}

const BODIES: [usize; 9] = [0, 1, 255, 4_096, 16_384, 16_385, 65_535, 65_536, 200_000];

#[tokio::test]
async fn calls_come_back_as_they_went() {
    for pipe in [100, 3_000, 1 << 20] {
        check(Limits::default(), h2::server::Builder::new(), pipe, &BODIES).await;
    }
}

#[tokio::test]
async fn the_peers_maximum_of_streams_is_kept() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(3);
    let bodies: Vec<usize> = (0..300).collect();
    check(Limits::default(), builder, 1 << 16, &bodies).await;
}

#[tokio::test]
async fn small_windows_and_tables() {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(50)
        .header_table_size(64)
        .max_frame_size(16_384);
    let limits = Limits {
        stream_window_bytes: 60,
        output_bytes: 500,
        ..Limits::default()
    };
    check(
        limits,
        builder,
        4_096,
        &[0, 1, 49, 50, 51, 59, 60, 61, 3_000],
    )
    .await;
}

#[tokio::test]
async fn a_refused_stream_and_a_going_away_peer_are_told() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move {
        let mut server = h2::server::handshake::<_>(far).await.unwrap();
        let (request, respond) = server.accept().await.unwrap().unwrap();
        tokio::task::spawn_local(answer(request, respond));
        server.graceful_shutdown();
        assert!(server.accept().await.is_none());
    });
    let mut client = Connection::client(Limits::default());
    let head = [
        FieldRef::new(b":method", b"POST"),
        FieldRef::new(b":scheme", b"http"),
        FieldRef::new(b":path", b"/refused"),
    ];
    client.open(head, End::Last).unwrap();
    let (mut refused, mut leaving) = (0, 0);
    local
        .run_until(drive(near, &mut client, |client| {
            for event in take_events(client) {
                match event {
                    Owned::Reset(key, code) => {
                        assert_eq!((key.id, code), (1, ErrorCode::REFUSED_STREAM));
                        refused += 1;
                    }
                    Owned::Settings => {}
                    Owned::GoAway => leaving += 1,
                    other => panic!("unexpected: {other:?}"),
                }
            }
            ControlFlow::Continue(())
        }))
        .await;
    assert_eq!(refused, 1);
    assert!(leaving >= 1 && client.is_leaving());
}
