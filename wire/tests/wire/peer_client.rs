//! The `h2` crate as the client of our server, which echoes.

use std::ops::ControlFlow;

use bytes::Bytes;
use cutover_wire::{Connection, FieldRef, Limits};
use http::{HeaderMap, Request};
use tokio::io::DuplexStream;

use crate::drive::{Owned, drive, take_events};

/// Echoes headers whose names begin with `x-`, data and trailers, and releases only what left.
async fn echo(io: DuplexStream, limits: Limits) {
    let mut server = Connection::server(limits);
    drive(io, &mut server, |server| {
        for event in take_events(server) {
            match event {
                Owned::Headers(key, headers, end) => {
                    let status = FieldRef::new(b":status", b"200");
                    let copied = headers.iter().filter(|field| field.name.starts_with(b"x-"));
                    server
                        .send_headers(key, std::iter::once(status).chain(copied), end)
                        .unwrap();
                }
                Owned::Data(key, payload, credit, end) => {
                    let length = payload.len();
                    let sent = server.send_data(key, payload, end).unwrap();
                    server.release(key, credit - (length - sent) as u32);
                }
                Owned::Sent(key, bytes) => server.release(key, bytes as u32),
                Owned::Trailers(key, headers) => {
                    server.send_trailers(key, headers.iter()).unwrap();
                }
                Owned::Reset(..) | Owned::GoAway | Owned::Settings => {}
            }
        }
        ControlFlow::Continue(())
    })
    .await;
    assert_eq!(server.streams(), 0);
}

/// One call through `h2`, checked against what went in.
async fn call(mut client: h2::client::SendRequest<Bytes>, number: usize, body: usize) {
    let text = format!("value-{number}");
    let request = Request::post("http://echo/s/m")
        .header("x-number", &text)
        .header("x-twice", "a")
        .header("x-twice", "b")
        .body(())
        .unwrap();
    std::future::poll_fn(|context| client.poll_ready(context))
        .await
        .unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    let sent: Bytes = (0..body)
        .map(|at| (at * 7 + number) as u8)
        .collect::<Vec<_>>()
        .into();
    sender.send_data(sent.clone(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", text.parse().unwrap());
    sender.send_trailers(trailers).unwrap();

    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-number"], text.as_str());
    let twice: Vec<_> = response.headers().get_all("x-twice").iter().collect();
    assert_eq!(twice, ["a", "b"]);
    let mut stream = response.into_body();
    let mut got = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    assert!(
        got == sent,
        "stream {number}: {} of {} bytes",
        got.len(),
        sent.len()
    );
    let trailers = stream.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["x-trailer"], text.as_str());
}

async fn check(limits: Limits, builder: &h2::client::Builder, pipe: usize, bodies: &[usize]) {
    let (near, far) = tokio::io::duplex(pipe);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(echo(far, limits));
    let calls = async {
        let (client, connection) = builder.handshake::<_, Bytes>(near).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let mut calls = tokio::task::JoinSet::new();
        for (number, body) in bodies.iter().enumerate() {
            calls.spawn_local(call(client.clone(), number, *body));
        }
        while let Some(outcome) = calls.join_next().await {
            outcome.unwrap();
        }
        drop(client);
        connection.await.unwrap().unwrap();
    };
    local.run_until(calls).await;
    local.await;
}

const BODIES: [usize; 12] = [
    0, 1, 5, 255, 256, 4_096, 16_384, 16_385, 65_535, 65_536, 70_000, 200_000,
];

#[tokio::test]
async fn calls_come_back_as_they_went() {
    for pipe in [100, 3_000, 1 << 20] {
        check(
            Limits::default(),
            &h2::client::Builder::new(),
            pipe,
            &BODIES,
        )
        .await;
    }
}

#[tokio::test]
async fn windows_of_a_few_bytes_let_everything_through() {
    let limits = Limits {
        stream_window_bytes: 100,
        connection_window_bytes: 65_535,
        output_bytes: 1_000,
        ..Limits::default()
    };
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(77)
        .initial_connection_window_size(65_535);
    check(
        limits,
        &builder,
        4_096,
        &[0, 1, 76, 77, 78, 99, 100, 101, 5_000],
    )
    .await;
}

#[tokio::test]
async fn many_streams_on_one_connection() {
    let bodies: Vec<usize> = (0..1_000).map(|number| number % 300).collect();
    check(
        Limits::default(),
        &h2::client::Builder::new(),
        1 << 16,
        &bodies,
    )
    .await;
}

#[tokio::test]
async fn other_table_and_frame_sizes() {
    let mut builder = h2::client::Builder::new();
    builder.header_table_size(0).max_frame_size(1 << 20);
    check(Limits::default(), &builder, 1 << 16, &BODIES).await;
}

#[tokio::test]
async fn our_own_other_table_and_frame_sizes() {
    let limits = Limits {
        encoder_table_bytes: 200,
        decoder_table_bytes: 1 << 16,
        frame_bytes: 20_000,
        strings: cutover_wire::Strings::Huffman,
        ..Limits::default()
    };
    check(limits, &h2::client::Builder::new(), 1 << 16, &BODIES).await;
}

#[tokio::test]
async fn a_stream_that_ends_with_its_headers() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(echo(far, Limits::default()));
    local
        .run_until(async {
            let (mut client, connection) = h2::client::handshake(near).await.unwrap();
            tokio::task::spawn_local(connection);
            let request = Request::post("http://echo/s/m").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            assert!(response.await.unwrap().body().is_end_stream());
        })
        .await;
}
