//! What arms do on the wire, and what becomes of it for clients.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[path = "support/peer.rs"]
mod peer;

use cutover_wire::{End, ErrorCode, FieldRef, Limits};
use peer::{OK, Peer, Reader, Seen, ended, stage, until_ended, value};

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// A GOAWAY frame that leaves out the streams above `last`.
fn go_away(last: u32) -> Vec<u8> {
    let head = [0, 0, 8, 7, 0, 0, 0, 0, 0];
    [&head[..], &last.to_be_bytes(), &0u32.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_with_its_whole_body() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.ask(b"hello");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let first = arm.request().await;
    assert!(matches!(arm.next().await, Seen::Data(_, body, End::Last) if body == "hello"));
    arm.engine.reset(first, ErrorCode::REFUSED_STREAM);
    arm.flush().await;
    let second = arm.request().await;
    assert!(matches!(arm.next().await, Seen::Data(_, body, End::Last) if body == "hello"));
    arm.answer(second, b"done");
    arm.flush().await;
    assert_eq!(client.status(call).await, 0);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_stream_refused_twice_is_unavailable() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.ask(b"hello");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    for _ in 0..2 {
        let stream = arm.request().await;
        arm.engine.reset(stream, ErrorCode::REFUSED_STREAM);
    }
    arm.flush().await;
    assert_eq!(client.status(call).await, UNAVAILABLE);
    // Nothing comes a third time: the next request is the next call.
    let next = client.call(&[FieldRef::new(b"x-next", b"1")], End::Last);
    client.flush().await;
    let Seen::Headers(stream, fields, _) = arm.next().await else {
        panic!("no request")
    };
    assert_eq!(value(&fields, "x-next"), Some("1"));
    arm.answer(stream, b"");
    arm.flush().await;
    assert_eq!(client.status(next).await, 0);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn what_a_goaway_leaves_out_goes_elsewhere_and_the_rest_ends_where_it_is() {
    let (proxy, listener, mut client) = stage().await;
    let calls = [b"a", b"b", b"c"].map(|body| client.ask(body));
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let first = arm.request().await;
    for _ in 0..2 {
        arm.request().await;
    }
    arm.raw(&go_away(first.id)).await;
    arm.answer(first, b"1");
    arm.flush().await;
    assert_eq!(client.status(calls[0]).await, 0);
    let mut other = Peer::accept(&listener).await;
    for call in &calls[1..] {
        let stream = other.request().await;
        other.answer(stream, b"2");
        other.flush().await;
        assert_eq!(client.status(*call).await, 0);
    }
    assert_eq!(ended(&proxy, "OK").await, 3);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_arm_that_takes_one_stream_at_a_time_answers_a_thousand() {
    let (proxy, listener, mut client) = stage().await;
    let limits = Limits {
        concurrent_streams: 1,
        ..Limits::default()
    };
    let arms = tokio::spawn(async move {
        loop {
            let mut arm = Peer::accept_with(&listener, limits.clone()).await;
            tokio::spawn(async move {
                loop {
                    match arm.next().await {
                        Seen::Data(stream, _, End::Last) => arm.answer(stream, b"x"),
                        // A stream too many would be reset by the engine, and lost.
                        Seen::Closed => return,
                        _ => {}
                    }
                }
            });
        }
    });
    let calls: Vec<_> = (0..1_000).map(|_| client.ask(b"y")).collect();
    client.flush().await;
    let mut left = calls.len();
    while left > 0 {
        match client.next().await {
            Seen::Trailers(_, fields) => {
                assert_eq!(value(&fields, "grpc-status"), Some("0"));
                left -= 1;
            }
            Seen::Headers(_, fields, End::Last) => panic!("{fields:?}"),
            Seen::Closed => panic!("closed"),
            _ => {}
        }
    }
    arms.abort();
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn resets_become_the_status_that_grpc_maps_them_to_and_never_ok() {
    let (proxy, listener, mut client) = stage().await;
    let mut arm = None;
    for (code, expected) in [
        (ErrorCode::NO_ERROR, UNKNOWN),
        (ErrorCode::PROTOCOL_ERROR, INTERNAL),
        (ErrorCode::INTERNAL_ERROR, INTERNAL),
        (ErrorCode::CANCEL, 1),
        (ErrorCode::ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED),
        (ErrorCode::INADEQUATE_SECURITY, 7),
        (ErrorCode::HTTP_1_1_REQUIRED, INTERNAL),
    ] {
        for begun in [false, true] {
            let call = client.ask(b"x");
            client.flush().await;
            let arm = match &mut arm {
                Some(arm) => arm,
                none => none.insert(Peer::accept(&listener).await),
            };
            let stream = arm.request().await;
            if begun {
                arm.engine.send_headers(stream, OK, End::More).unwrap();
                arm.engine
                    .send_data(stream, b"half".as_slice().into(), End::More)
                    .unwrap();
            }
            arm.engine.reset(stream, code);
            arm.flush().await;
            assert_eq!(client.status(call).await, expected, "{code} {begun}");
        }
    }
    assert_eq!(ended(&proxy, "OK").await, 0);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_ends_without_a_status_is_unknown() {
    let (proxy, listener, mut client) = stage().await;
    let calls = [client.ask(b"x"), client.ask(b"y"), client.ask(b"z")];
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let streams = [
        arm.request().await,
        arm.request().await,
        arm.request().await,
    ];
    arm.engine.send_headers(streams[0], OK, End::Last).unwrap();
    arm.engine.send_headers(streams[1], OK, End::More).unwrap();
    let body = b"\0\0\0\0\x01x".as_slice();
    arm.engine
        .send_data(streams[1], body.into(), End::Last)
        .unwrap();
    arm.engine.send_headers(streams[2], OK, End::More).unwrap();
    let odd = [FieldRef::new(b"x-odd", b"1")];
    arm.engine.send_trailers(streams[2], odd).unwrap();
    arm.flush().await;
    for call in &calls[..2] {
        assert_eq!(client.status(*call).await, UNKNOWN);
    }
    // Trailers of the arm's own pass as they are; clients make UNKNOWN of them.
    loop {
        if let Seen::Trailers(stream, fields) = client.next().await {
            assert_eq!((stream, fields.len()), (calls[2], 1));
            break;
        }
    }
    until_ended(&proxy, "UNKNOWN", 3).await;
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_after_what_came_before() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    arm.engine.send_headers(stream, OK, End::More).unwrap();
    let message = b"\0\0\0\0\x01m".as_slice();
    for _ in 0..3 {
        arm.engine
            .send_data(stream, message.into(), End::More)
            .unwrap();
    }
    arm.flush().await;
    drop(arm);
    let mut bytes = 0;
    let status = loop {
        match client.next().await {
            Seen::Data(_, body, _) => bytes += body.len(),
            Seen::Trailers(of, fields) if of == call => {
                break value(&fields, "grpc-status").unwrap().to_owned();
            }
            Seen::Headers(..) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((bytes, status.as_str()), (3 * message.len(), "14"));
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn trailers_only_stays_trailers_only() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    let fields = OK.into_iter().chain([
        FieldRef::new(b"grpc-status", b"5"),
        FieldRef::new(b"grpc-message", b"caf%C3%A9 %zz"),
    ]);
    arm.engine.send_headers(stream, fields, End::Last).unwrap();
    arm.flush().await;
    let Seen::Headers(of, fields, End::Last) = client.next().await else {
        panic!("more than headers")
    };
    assert_eq!(of, call);
    assert_eq!(value(&fields, "grpc-message"), Some("caf%C3%A9 %zz"));
    until_ended(&proxy, "NOT_FOUND", 1).await;
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_http_error_passes_untouched_and_counts_as_grpc_maps_it() {
    let (proxy, listener, mut client) = stage().await;
    client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    let status = [FieldRef::new(b":status", b"503")];
    arm.engine.send_headers(stream, status, End::More).unwrap();
    arm.engine
        .send_data(stream, b"<html>".as_slice().into(), End::Last)
        .unwrap();
    arm.flush().await;
    let Seen::Headers(_, fields, End::More) = client.next().await else {
        panic!("no headers")
    };
    assert_eq!(fields, [(":status".to_owned(), "503".to_owned())]);
    assert!(matches!(client.next().await, Seen::Data(_, body, End::Last) if body == "<html>"));
    until_ended(&proxy, "UNAVAILABLE", 1).await;
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_deadline_resets_the_arms_stream_and_ends_the_call() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.call(&[FieldRef::new(b"grpc-timeout", b"150m")], End::Last);
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let Seen::Headers(stream, fields, _) = arm.next().await else {
        panic!("no request")
    };
    let told = value(&fields, "grpc-timeout").unwrap();
    let micros: u64 = told.strip_suffix('u').unwrap().parse().unwrap();
    assert!(micros <= 150_000, "{told}");
    assert_eq!(client.status(call).await, DEADLINE_EXCEEDED);
    assert_eq!(arm.reset(stream).await, ErrorCode::CANCEL);
    until_ended(&proxy, "DEADLINE_EXCEEDED", 1).await;
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_stops_its_arm_and_nobody_else() {
    let (proxy, listener, mut client) = stage().await;
    client.reader = Reader::Paused;
    let unread = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    arm.engine.send_headers(stream, OK, End::More).unwrap();
    let much = vec![7; 64 << 20];
    let sent = arm.engine.send_data(stream, much.into(), End::More);
    arm.flush().await;
    let mut other = Peer::connect(proxy.listen_address()).await;
    for _ in 0..100 {
        let call = other.ask(b"y");
        other.flush().await;
        let meanwhile = arm.request().await;
        arm.answer(meanwhile, b"z");
        arm.flush().await;
        assert_eq!(other.status(call).await, 0);
    }
    let sent = sent.unwrap() + arm.sent_later;
    // The windows of the stream at both hops, and what sockets hold, at most.
    assert!(
        sent < 4 << 20,
        "{sent} bytes were taken for a paused reader"
    );
    client.engine.reset(unread, ErrorCode::CANCEL);
    client.flush().await;
    assert_eq!(arm.reset(stream).await, ErrorCode::CANCEL);
    drop((client, other));
    proxy.shutdown().await;
}

#[tokio::test]
async fn early_trailers_reach_a_client_that_still_uploads_and_end_the_arms_stream() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.call(&[], End::More);
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    arm.engine.send_headers(stream, OK, End::More).unwrap();
    arm.flush().await;
    let half = b"half".as_slice();
    client
        .engine
        .send_data(call, half.into(), End::More)
        .unwrap();
    client.flush().await;
    assert!(matches!(arm.next().await, Seen::Data(..)));
    // Without the engine, which would end the rest of the request by itself.
    let block = [&[0, 11], b"grpc-status".as_slice(), &[1, b'3']].concat();
    let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream.id as u8];
    arm.raw(&[&head[..], &block].concat()).await;
    assert_eq!(client.status(call).await, 3);
    assert_eq!(arm.reset(stream).await, ErrorCode::CANCEL);
    drop(client);
    proxy.shutdown().await;
}
