//! GOAWAY, both ways, and its races (RFC 9113 section 6.8).

use super::*;
use crate::error::CommandError;
use crate::frame::{ACK, END_STREAM};

#[test]
fn a_server_leaves_in_two_steps() {
    let mut bench = Bench::server(Limits::default());
    bench.end.leave();
    bench.end.leave();
    let announced = ["GOAWAY 2147483647 NO_ERROR", "PING on 0 flags 0: 8 bytes"];
    assert_eq!(bench.written(), announced);
    // A stream that was on its way is welcome.
    let input = bench.headers(1, END_STREAM, &REQUEST);
    assert_eq!(bench.feed(&input).len(), 1);
    assert!(
        bench
            .feed(&bytes(FrameKind::PING, ACK, 0, b"leaving!"))
            .is_empty()
    );
    assert_eq!(bench.written(), ["GOAWAY 1 NO_ERROR"]);
    // One that comes after the last stream was said is not.
    let input = bench.headers(3, END_STREAM, &REQUEST);
    assert!(bench.feed(&input).is_empty());
    assert_eq!(bench.written(), ["RST_STREAM on 3: REFUSED_STREAM"]);
    assert!(!bench.end.is_finished());
    let key = bench.key(1);
    bench
        .end
        .send_headers(key, fields(&RESPONSE), End::Last)
        .unwrap();
    assert!(!bench.end.is_finished(), "the answer is not written");
    bench.written();
    assert!(bench.end.is_finished());
}

#[test]
fn a_pong_of_the_callers_is_handed_over() {
    let mut bench = Bench::server(Limits::default());
    bench.end.ping(*b"12345678");
    let pong = bytes(FrameKind::PING, ACK, 0, b"12345678");
    assert_eq!(bench.feed(&pong), ["pong [49, 50, 51, 52, 53, 54, 55, 56]"]);
}

#[test]
fn streams_above_the_last_were_not_processed() {
    let mut bench = Bench::client(Limits::default());
    for _ in 0..3 {
        bench.open(End::Last);
    }
    let expected = [
        "3 reset REFUSED_STREAM Unprocessed",
        "5 reset REFUSED_STREAM Unprocessed",
        "go away 1 NO_ERROR",
    ];
    assert_eq!(bench.feed(&go_away(1, ErrorCode::NO_ERROR)), expected);
    assert_eq!(
        bench.end.open(fields(&REQUEST), End::Last),
        Err(CommandError::Closing)
    );
    // Stream 1 goes on, and a last stream that grows again brings nothing back.
    let mut input = go_away(5, ErrorCode::NO_ERROR);
    input.extend(bench.headers(1, END_STREAM, &RESPONSE));
    assert_eq!(
        bench.feed(&input),
        ["go away 1 NO_ERROR", "1 headers [:status: 200] end"]
    );
    bench.written();
    assert!(bench.end.is_finished());
}

#[test]
fn an_announcement_leaves_open_streams_alone() {
    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    let input = go_away(0x7fff_ffff, ErrorCode::NO_ERROR);
    assert_eq!(bench.feed(&input), ["go away 2147483647 NO_ERROR"]);
    assert!(bench.end.is_leaving() && bench.end.streams() == 1);
}

#[test]
fn a_refused_stream_says_that_it_was_not_processed() {
    let mut bench = Bench::client(Limits::default());
    for code in [ErrorCode::REFUSED_STREAM, ErrorCode::CANCEL] {
        let key = bench.open(End::Last);
        bench.end.receive(reset(key.id, code).into());
        let event = bench.end.poll_event().unwrap().unwrap();
        assert_eq!(event.is_unprocessed(), code == ErrorCode::REFUSED_STREAM);
    }
}

#[test]
fn a_peers_maximum_of_streams_is_kept() {
    let mut bench = Bench::client(Limits::default());
    bench.feed(&settings(3, 1));
    bench.open(End::Last);
    assert_eq!(bench.end.can_open(), Err(CommandError::NoSlot));
    let input = bench.headers(1, END_STREAM, &RESPONSE);
    bench.feed(&input);
    assert_eq!(bench.end.can_open(), Ok(()));
}

#[test]
fn what_comes_for_streams_that_we_reset_is_passed_over() {
    let mut bench = Bench::client(Limits::default());
    let key = bench.open(End::Last);
    bench.end.reset(key, ErrorCode::CANCEL);
    let mut input = bench.headers(1, 0, &[(":status", "200"), ("x-a", "1")]);
    input.extend(data(1, 0, 100));
    input.extend(bench.headers(1, END_STREAM, &TRAILERS));
    assert!(bench.feed(&input).is_empty());
    // The header table went on.
    bench.written();
    bench.open(End::Last);
    let input = bench.headers(3, END_STREAM, &[(":status", "200"), ("x-a", "1")]);
    assert_eq!(bench.feed(&input), ["3 headers [:status: 200, x-a: 1] end"]);
}

#[test]
fn a_stream_that_comes_too_late_still_moves_the_header_table() {
    let mut bench = Bench::server(Limits::default());
    let known = [("x-a", "1")];
    let input = bench.headers(1, 0, &[&REQUEST[..], &known].concat());
    bench.feed(&input);
    bench.end.leave_now(ErrorCode::NO_ERROR);
    bench.written();
    // The encoder puts what it sees for the second time into the table.
    let late = bench.headers(3, END_STREAM, &[&REQUEST[..], &known].concat());
    bench.check_reset(&late, 3, Rule::GoingAway);
    let input = bench.headers(1, END_STREAM, &known);
    assert_eq!(input.len(), HEAD_BYTES + 1, "an index");
    assert_eq!(bench.feed(&input), ["1 trailers [x-a: 1]"]);
}

#[test]
fn what_was_queued_for_an_unprocessed_stream_is_dropped() {
    let mut bench = Bench::client(Limits::default());
    let key = bench.open(End::More);
    let sent = bench
        .end
        .send_data(key, Bytes::from(vec![0; 100_000]), End::Last);
    assert_eq!(sent, Ok(65_535));
    bench.written();
    let input = [
        window_update(0, 100_000),
        go_away(0, ErrorCode::NO_ERROR),
        window_update(1, 100_000),
    ]
    .concat();
    let expected = ["1 reset REFUSED_STREAM Unprocessed", "go away 0 NO_ERROR"];
    assert_eq!(bench.feed(&input), expected);
    assert!(bench.written().is_empty());
    assert!(bench.end.is_finished());
}

#[test]
fn a_client_that_leaves_gets_its_answers() {
    let mut bench = Bench::server(Limits::default());
    let mut input = bench.headers(1, END_STREAM, &REQUEST);
    input.extend(go_away(0, ErrorCode::NO_ERROR));
    assert_eq!(bench.feed(&input).len(), 2);
    assert!(bench.end.is_leaving() && !bench.end.is_finished());
    let key = bench.key(1);
    let answer = bench.end.send_headers(key, fields(&RESPONSE), End::Last);
    assert_eq!(answer, Ok(()));
    bench.written();
    assert!(bench.end.is_finished());
}
