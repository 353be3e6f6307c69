//! Clients' connections that are slow, dead, paused or old, each against a bound of the manifest's
//! limits.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "support/peer.rs"]
mod peer;

use std::time::{Duration, Instant};

use bytes::Bytes;
use cutover_wire::{End, ErrorCode};
use peer::{OK, Peer, Reader, STATUS_OK, Seen, stage_with, until_ended};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any test should wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The bound of each test, and what it must last at least: connections are looked at once a second,
/// and a moment may lie before the proxy's own note of a time.
const BOUND: Duration = Duration::from_millis(1_000);
const SOONEST: Duration = Duration::from_millis(900);

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_and_one_that_does_is_not() {
    let limits = "keepaliveTime: 1s, keepaliveTimeout: 1s";
    let (proxy, listener, mut dead) = stage_with(limits).await;
    let mut living = Peer::connect(proxy.listen_address()).await;
    dead.call(&[], End::Last);
    dead.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let lost = arm.request().await;
    let call = living.call(&[], End::Last);
    living.flush().await;
    let kept = arm.request().await;
    // Whoever waits for its answer also answers pings.
    let waiting = tokio::spawn(async move { living.status(call).await });
    let silent = Instant::now();
    assert_eq!(arm.reset(lost).await, ErrorCode::CANCEL);
    assert!(silent.elapsed() >= SOONEST * 2, "{:?}", silent.elapsed());
    until_ended(&proxy, "CANCELLED", 1).await;
    tokio::time::sleep(BOUND * 2).await;
    arm.answer(kept, b"late");
    arm.flush().await;
    assert_eq!(waiting.await.unwrap(), 0);
    drop(dead);
    proxy.shutdown().await;
}

#[tokio::test]
async fn clients_that_are_slow_with_their_greeting_or_headers_are_closed() {
    let (proxy, listener, mut bystander) = stage_with("headerTimeout: 1s").await;
    bystander.flush().await;
    let answered = tokio::spawn(async move {
        let mut arm = Peer::accept(&listener).await;
        let stream = arm.request().await;
        arm.answer(stream, b"");
        arm.flush().await;
        arm.next().await
    });
    let address = proxy.listen_address();
    let slow = async |first: &[u8], trickle: &[u8]| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(first).await.unwrap();
        let began = Instant::now();
        let mut trickle = trickle.iter();
        let mut rest = [0; 1 << 10];
        loop {
            let read = timeout(Duration::from_millis(200), socket.read(&mut rest)).await;
            match read {
                Ok(Ok(0) | Err(_)) => return began.elapsed(),
                Ok(Ok(_)) => {}
                Err(_) => {
                    let next: &[u8] = trickle.next().map_or(&[], std::slice::from_ref);
                    // It may be closed by now, which the next read tells.
                    let _ = socket.write_all(next).await;
                }
            }
            assert!(began.elapsed() < PATIENCE, "it is still open");
        }
    };
    // A HEADERS frame that comes byte by byte, and one whose CONTINUATION never comes.
    let unfinished = [PREFACE, &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83]].concat();
    let divided = [PREFACE, &[0, 1, 0, 1, 4, 0, 0, 0, 1]].concat();
    let (nothing, greeting, byte_by_byte, no_end) = tokio::join!(
        slow(b"", b""),
        slow(&PREFACE[..10], &PREFACE[10..24]),
        slow(&divided, &[0x83; 100]),
        slow(&unfinished, b""),
    );
    for lasted in [nothing, greeting, byte_by_byte, no_end] {
        assert!(lasted >= SOONEST, "closed after {lasted:?}");
    }
    // Who takes long between whole header blocks is not slow.
    let call = bystander.ask(b"x");
    bystander.flush().await;
    assert_eq!(bystander.status(call).await, 0);
    drop(bystander);
    answered.abort();
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_answer_of_which_nothing_is_taken_is_cancelled_and_a_slow_reader_is_not() {
    const ANSWER: usize = 2_000_000;
    // Above half of the client's window, so that its engine says so at once.
    const LITTLE: u32 = 40_000;
    let (proxy, listener, mut client) = stage_with("stuckTimeout: 2s").await;
    client.reader = Reader::Paused;
    let stuck = client.ask(b"stuck");
    let slow = client.ask(b"slow");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let answers = tokio::spawn(async move {
        let body = Bytes::from(vec![0; ANSWER]);
        for _ in 0..2 {
            let stream = arm.request().await;
            arm.engine.send_headers(stream, OK, End::More).unwrap();
            let sent = arm.engine.send_data(stream, body.clone(), End::More);
            sent.unwrap();
            arm.engine.send_trailers(stream, STATUS_OK).unwrap();
            arm.flush().await;
        }
        let mut reset = None;
        loop {
            match arm.next().await {
                Seen::Reset(_, code) => reset = Some(code),
                Seen::Closed => return reset,
                _ => {}
            }
        }
    });
    // Both have what the windows hold. From now on one takes a little every now and then.
    let mut owed = 0;
    let mut took = 0;
    let began = Instant::now();
    let code = loop {
        let next = timeout(Duration::from_millis(300), client.next()).await;
        match next {
            Ok(Seen::Data(stream, payload, _)) if stream == slow => owed += payload.len() as u32,
            Ok(Seen::Reset(stream, code)) => {
                assert!(stream == stuck, "the slow reader was cancelled");
                break code;
            }
            Ok(Seen::Closed) => panic!("the connection was closed"),
            Ok(_) => {}
            Err(_) => {
                let little = owed.min(LITTLE);
                took += little;
                owed -= little;
                client.engine.release(slow, little);
                client.flush().await;
            }
        }
        assert!(began.elapsed() < PATIENCE, "nothing was cancelled");
    };
    assert_eq!(code, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(
        began.elapsed() >= SOONEST * 2,
        "after {:?}",
        began.elapsed()
    );
    assert!(took > 0, "the slow reader took nothing");
    until_ended(&proxy, "CANCELLED", 1).await;
    // Now it hurries, and gets all.
    client.reader = Reader::Eager;
    client.engine.release(slow, owed);
    assert_eq!(client.status(slow).await, 0);
    drop(client);
    proxy.shutdown().await;
    assert_eq!(answers.await.unwrap(), Some(ErrorCode::CANCEL));
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_calls_end_as_they_like() {
    let (proxy, listener, mut client) = stage_with("maxConnectionAge: 1s").await;
    let began = Instant::now();
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    // The first step leaves room for what is on its way, the second has said the last stream.
    for _ in 0..2 {
        assert_eq!(client.next().await, Seen::GoAway(ErrorCode::NO_ERROR));
    }
    assert!(began.elapsed() >= SOONEST, "after {:?}", began.elapsed());
    // No grace is set, so it may take its time.
    let quiet = timeout(BOUND * 3, client.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    arm.answer(stream, b"late");
    arm.flush().await;
    assert_eq!(client.status(call).await, 0);
    assert_eq!(client.next().await, Seen::Closed);
    proxy.shutdown().await;
}

#[tokio::test]
async fn calls_that_outlast_the_grace_of_an_old_connection_are_unavailable() {
    let limits = "maxConnectionAge: 1s, maxConnectionAgeGrace: 2s";
    let (proxy, listener, mut client) = stage_with(limits).await;
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    assert_eq!(client.next().await, Seen::GoAway(ErrorCode::NO_ERROR));
    let told = Instant::now();
    assert_eq!(client.status(call).await, 14);
    assert!(told.elapsed() >= SOONEST * 2, "after {:?}", told.elapsed());
    assert_eq!(client.next().await, Seen::Closed);
    assert_eq!(arm.reset(stream).await, ErrorCode::CANCEL);
    until_ended(&proxy, "UNAVAILABLE", 1).await;
    proxy.shutdown().await;
}
