//! Streams and their states, numbers and message rules (RFC 9113 sections 5, 6 and 8).

use super::*;
use crate::error::CommandError;
use crate::frame::{ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY};

#[test]
fn a_call_comes_whole() {
    let mut bench = Bench::server(Limits::default());
    let mut input = bench.headers(1, 0, &REQUEST);
    input.extend(bytes(FrameKind::DATA, PADDED, 1, b"\x03hello\0\0\0"));
    input.extend(data(1, 0, 20));
    input.extend(bench.headers(1, END_STREAM, &TRAILERS));
    let expected = [
        format!("1 headers {REQUEST_WORDS}"),
        "1 data 5 credit 9".to_owned(),
        "1 data 20 credit 20".to_owned(),
        "1 trailers [grpc-status: 0]".to_owned(),
    ];
    assert_eq!(bench.feed(&input), expected);
    let key = bench.key(1);
    bench
        .end
        .send_headers(key, fields(&RESPONSE), End::More)
        .unwrap();
    bench
        .end
        .send_data(key, Bytes::from_static(b"answer"), End::More)
        .unwrap();
    bench.end.send_trailers(key, fields(&TRAILERS)).unwrap();
    let expected = [
        "HEADERS on 1 flags 4: 1 bytes",
        "DATA on 1 flags 0: 6 bytes",
        "HEADERS on 1 flags 5: 15 bytes",
    ];
    assert_eq!(bench.written(), expected);
    assert_eq!(bench.end.streams(), 0);
}

#[test]
fn trailers_only_stays_trailers_only() {
    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    let input = bench.headers(1, END_STREAM, &[(":status", "200"), ("grpc-status", "5")]);
    assert_eq!(
        bench.feed(&input),
        ["1 headers [:status: 200, grpc-status: 5] end"]
    );
    assert_eq!(bench.end.streams(), 0);
}

#[test]
fn interim_responses_come_before_the_response() {
    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    let mut input = bench.headers(1, 0, &[(":status", "103")]);
    input.extend(bench.headers(1, END_STREAM, &RESPONSE));
    assert_eq!(
        bench.feed(&input),
        ["1 interim [:status: 103]", "1 headers [:status: 200] end"]
    );
}

#[test]
fn an_answer_before_the_request_ends_makes_the_rest_useless() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    let key = bench.key(1);
    bench
        .end
        .send_headers(key, fields(&RESPONSE), End::Last)
        .unwrap();
    assert_eq!(bench.events(), ["1 reset NO_ERROR Answered"]);
    assert_eq!(bench.written()[1], "RST_STREAM on 1: NO_ERROR");
    // What was on its way is no fault of the client's.
    let mut input = data(1, 0, 10);
    input.extend(bench.headers(1, END_STREAM, &TRAILERS));
    assert!(bench.feed(&input).is_empty());
    bench.check_alive();
}

#[test]
fn commands_out_of_order_are_refused_and_write_nothing() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, END_STREAM, &REQUEST);
    bench.feed(&input);
    let key = bench.key(1);
    let end = &mut bench.end;
    let wrong = Err(CommandError::OutOfOrder);
    assert_eq!(end.send_data(key, Bytes::new(), End::More).map(drop), wrong);
    assert_eq!(end.send_trailers(key, fields(&TRAILERS)), wrong);
    end.send_headers(key, fields(&RESPONSE), End::More).unwrap();
    assert_eq!(end.send_headers(key, fields(&RESPONSE), End::More), wrong);
    assert_eq!(end.send_interim(key, fields(&RESPONSE)), wrong);
    end.send_trailers(key, fields(&TRAILERS)).unwrap();
    let gone = Err(CommandError::Gone);
    assert_eq!(end.send_trailers(key, fields(&TRAILERS)), gone);
    assert_eq!(end.send_data(key, Bytes::new(), End::More).map(drop), gone);
    end.reset(key, ErrorCode::CANCEL);
    end.release(key, 5);
    assert_eq!(bench.written().len(), 2);
    let closing = bench.end.open(fields(&REQUEST), End::Last);
    assert_eq!(
        closing,
        Err(CommandError::Closing),
        "a server opens nothing"
    );
}

#[test]
fn a_broken_connection_takes_no_commands() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    bench.feed(&data(7, 0, 1));
    assert_eq!(bench.written(), ["GOAWAY 1 PROTOCOL_ERROR"]);
    let key = bench.key(1);
    let answer = bench.end.send_headers(key, fields(&RESPONSE), End::Last);
    assert_eq!(answer, Err(CommandError::Gone));
    bench.end.reset(key, ErrorCode::CANCEL);
    bench.end.ping(*b"12345678");
    bench.end.leave();
    assert!(bench.written().is_empty(), "nothing follows the GOAWAY");
    assert_eq!(bench.end.streams(), 0);
}

#[test]
fn a_stream_that_the_caller_reset_is_not_heard_of_again() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    let key = bench.key(1);
    let answer = bench.end.send_headers(key, fields(&RESPONSE), End::Last);
    assert_eq!(answer, Ok(()));
    bench.end.reset(key, ErrorCode::CANCEL);
    assert!(bench.events().is_empty());
}

#[test]
fn an_old_key_reaches_no_newer_stream_in_its_slot() {
    let mut bench = Bench::server(Limits::default());
    for id in [1, 3] {
        let mut input = bench.headers(id, END_STREAM, &REQUEST);
        input.extend(reset(id, ErrorCode::CANCEL));
        bench.feed(&input[..input.len() - if id == 1 { 0 } else { 13 }]);
    }
    let (old, new) = (bench.key(1), bench.key(3));
    assert_eq!(old.slot, new.slot);
    let gone = bench.end.send_headers(old, fields(&RESPONSE), End::Last);
    assert_eq!(gone, Err(CommandError::Gone));
    bench
        .end
        .send_headers(new, fields(&RESPONSE), End::Last)
        .unwrap();
}

#[test]
fn stream_numbers_are_odd_and_rise() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(2, END_STREAM, &REQUEST);
    bench.check_fatal(&input, Rule::StreamId);

    let mut bench = Bench::server(Limits::default());
    let mut input = bench.headers(5, END_STREAM, &REQUEST);
    input.extend(bench.headers(3, END_STREAM, &REQUEST));
    bench.check_fatal(&input, Rule::StreamClosed);

    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    let input = bench.headers(3, 0, &RESPONSE);
    bench.check_fatal(&input, Rule::StreamId);

    let mut bench = Bench::client(Limits::default());
    let input = bench.headers(2, 0, &RESPONSE);
    bench.check_fatal(&input, Rule::StreamId);
}

#[test]
fn idle_streams_have_no_frames_but_headers_and_priority() {
    for input in [
        data(7, 0, 1),
        window_update(7, 1),
        reset(7, ErrorCode::CANCEL),
    ] {
        Bench::server(Limits::default()).check_fatal(&input, Rule::IdleStream);
        Bench::client(Limits::default()).check_fatal(&input, Rule::IdleStream);
    }
    let mut bench = Bench::server(Limits::default());
    assert!(
        bench
            .feed(&bytes(FrameKind::PRIORITY, 0, 7, &[0, 0, 0, 1, 9]))
            .is_empty()
    );
    bench.check_alive();
}

#[test]
fn closed_streams_have_no_frames() {
    let ended = |bench: &mut Bench| {
        let input = bench.headers(1, END_STREAM, &REQUEST);
        bench.feed(&input);
        let key = bench.key(1);
        bench
            .end
            .send_headers(key, fields(&RESPONSE), End::Last)
            .unwrap();
        bench.written();
    };
    let mut bench = Bench::server(Limits::default());
    ended(&mut bench);
    bench.check_reset(&data(1, 0, 1), 1, Rule::StreamClosed);
    // Once reset, the same is only late.
    assert!(bench.feed(&data(1, 0, 1)).is_empty());
    bench.check_alive();

    let mut bench = Bench::server(Limits::default());
    ended(&mut bench);
    let input = bench.headers(1, END_STREAM, &REQUEST);
    bench.check_fatal(&input, Rule::StreamClosed);

    let mut bench = Bench::server(Limits::default());
    ended(&mut bench);
    let late = [window_update(1, 1), reset(1, ErrorCode::CANCEL)].concat();
    assert!(
        bench.feed(&late).is_empty(),
        "these may be late in any case"
    );
    bench.check_alive();
}

#[test]
fn an_answer_after_its_end_costs_no_other_answer() {
    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    bench.open(End::Last);
    bench.feed(&reset(1, ErrorCode::INTERNAL_ERROR));
    let input = bench.headers(1, END_STREAM, &[(":status", "200"), ("x-a", "1")]);
    bench.check_reset(&input, 1, Rule::StreamClosed);
    // The header table went on.
    let input = bench.headers(3, END_STREAM, &[(":status", "200"), ("x-a", "1")]);
    let input = [input, bench.headers(3, END_STREAM, &RESPONSE)].concat();
    assert_eq!(bench.feed(&input), ["3 headers [:status: 200, x-a: 1] end"]);
    assert_eq!(bench.written(), ["RST_STREAM on 3: STREAM_CLOSED"]);
}

#[test]
fn half_closed_streams_have_no_data() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, END_STREAM, &REQUEST);
    bench.feed(&input);
    bench.check_reset(&data(1, 0, 1), 1, Rule::StreamClosed);
}

#[test]
fn frames_keep_their_place_and_length() {
    let check = |kind, stream, payload: &[u8], rule| {
        let mut bench = Bench::server(Limits::default());
        let open = bench.headers(1, 0, &REQUEST);
        bench.feed(&open);
        bench.check_fatal(&bytes(kind, 0, stream, payload), rule);
    };
    check(FrameKind::DATA, 0, &[], Rule::NeedsStream);
    check(FrameKind::HEADERS, 0, &[], Rule::NeedsStream);
    check(FrameKind::PRIORITY, 0, &[0; 5], Rule::NeedsStream);
    check(FrameKind::RST_STREAM, 0, &[0; 4], Rule::NeedsStream);
    check(FrameKind::SETTINGS, 1, &[], Rule::NeedsConnection);
    check(FrameKind::PING, 1, &[0; 8], Rule::NeedsConnection);
    check(FrameKind::GOAWAY, 1, &[0; 8], Rule::NeedsConnection);
    check(FrameKind::PRIORITY, 1, &[0; 4], Rule::FrameLength);
    check(FrameKind::RST_STREAM, 1, &[0; 5], Rule::FrameLength);
    check(FrameKind::SETTINGS, 0, &[0; 7], Rule::FrameLength);
    check(FrameKind::PING, 0, &[0; 7], Rule::FrameLength);
    check(FrameKind::GOAWAY, 0, &[0; 7], Rule::FrameLength);
    check(FrameKind::WINDOW_UPDATE, 0, &[0; 3], Rule::FrameLength);
    check(FrameKind::PUSH_PROMISE, 1, &[0; 4], Rule::Push);
    check(FrameKind::CONTINUATION, 1, &[], Rule::StrayContinuation);
    check(FrameKind::DATA, 1, &[0; 16_385], Rule::FrameTooLarge);
    let mut bench = Bench::server(Limits::default());
    bench.check_fatal(
        &bytes(FrameKind::SETTINGS, ACK, 0, &[0; 6]),
        Rule::FrameLength,
    );
    let mut bench = Bench::server(Limits::default());
    assert!(
        bench
            .feed(&bytes(FrameKind(0xfe), 0xff, 9, b"?"))
            .is_empty(),
        "unknown is ignored"
    );
    bench.check_alive();
}

#[test]
fn header_blocks_are_not_interrupted() {
    let mut bench = Bench::server(Limits::default());
    let block = bench.block(&REQUEST);
    let (first, rest) = block.split_at(5);
    let opening = bytes(FrameKind::HEADERS, END_STREAM, 1, first);
    let closing = bytes(FrameKind::CONTINUATION, END_HEADERS, 1, rest);
    let whole = [
        &opening[..],
        &bytes(FrameKind::CONTINUATION, 0, 1, &[]),
        &closing,
    ]
    .concat();
    assert_eq!(
        bench.feed(&whole),
        [format!("1 headers {REQUEST_WORDS} end")]
    );
    for intruder in [
        bytes(FrameKind::PING, 0, 0, &[0; 8]),
        bytes(FrameKind::CONTINUATION, 0, 3, &[]),
        bytes(FrameKind(0xfe), 0, 0, &[]),
    ] {
        let mut bench = Bench::server(Limits::default());
        bench.check_fatal(&[&opening[..], &intruder].concat(), Rule::BlockInterrupted);
    }
}

#[test]
fn malformed_messages_end_their_stream_only() {
    let check = |more: &[(&str, &str)], rule| {
        let mut bench = Bench::server(Limits::default());
        let input = bench.headers(1, 0, &[&REQUEST[..], more].concat());
        bench.check_reset(&input, 1, rule);
    };
    check(&[("connection", "close")], Rule::ConnectionField);
    check(&[("Upper", "case")], Rule::FieldName);
    check(&[("x", "a\nb")], Rule::FieldValue);
    check(&[(":authority", "late")], Rule::PseudoLate);

    let mut bench = Bench::server(Limits::default());
    let mut input = bench.headers(1, 0, &REQUEST);
    input.extend(bench.headers(1, 0, &TRAILERS));
    bench.check_reset(&input, 1, Rule::TrailersNotLast);

    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    bench.check_reset(&data(1, END_STREAM, 1), 1, Rule::HeadersExpected);
    bench.open(End::Last);
    let input = bench.headers(3, END_STREAM, &[(":status", "100")]);
    bench.check_reset(&input, 3, Rule::InterimEnds);
}

#[test]
fn content_length_and_data_agree() {
    let check = |length: &str, sent: usize, rule: Option<Rule>| {
        let mut bench = Bench::server(Limits::default());
        let list = [&REQUEST[..], &[("content-length", length)]].concat();
        let mut input = bench.headers(1, 0, &list);
        input.extend(data(1, END_STREAM, sent));
        match rule {
            Some(rule) => bench.check_reset(&input, 1, rule),
            None => assert_eq!(bench.feed(&input).len(), 2),
        }
    };
    check("5", 5, None);
    check("5", 4, Some(Rule::ContentLength));
    check("5", 6, Some(Rule::ContentLength));
    check("0", 0, None);
    // The response to HEAD has the length of what GET would bring, and none of it.
    let mut bench = Bench::client(Limits::default());
    let head = [(":method", "HEAD"), (":scheme", "http"), (":path", "/")];
    bench.end.open(fields(&head), End::Last).unwrap();
    let input = bench.headers(
        1,
        END_STREAM,
        &[(":status", "200"), ("content-length", "9")],
    );
    assert_eq!(
        bench.feed(&input),
        ["1 headers [:status: 200, content-length: 9] end"]
    );
}

#[test]
fn a_stream_that_depends_on_itself_is_reset() {
    let mut bench = Bench::server(Limits::default());
    let payload = [&[0, 0, 0, 1, 16][..], &bench.block(&REQUEST)].concat();
    let input = bytes(FrameKind::HEADERS, END_HEADERS | PRIORITY, 1, &payload);
    bench.check_reset(&input, 1, Rule::SelfDependency);
}

#[test]
fn the_greeting_must_come_first() {
    let check = |mut end: Connection, input: &[u8]| {
        end.receive(Bytes::copy_from_slice(input));
        assert_eq!(end.poll_event().unwrap_err().rule, Rule::Preface);
    };
    check(Connection::server(Limits::default()), b"GET / HTTP/1.1\r\n");
    check(
        Connection::server(Limits::default()),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
    );
    let ping = bytes(FrameKind::PING, 0, 0, &[0; 8]);
    check(Connection::client(Limits::default()), &ping);
    check(
        Connection::server(Limits::default()),
        &[&frame::PREFACE[..], &ping].concat(),
    );
    let ack = bytes(FrameKind::SETTINGS, ACK, 0, &[]);
    check(Connection::client(Limits::default()), &ack);
}

#[test]
fn an_error_says_rule_frame_stream_and_code() {
    let mut bench = Bench::server(Limits::default());
    let events = bench.feed(&data(7, 0, 1));
    let expected =
        "a frame came on a stream that is idle: DATA on stream 7 (RFC 9113 5.1, PROTOCOL_ERROR)";
    assert_eq!(events, [expected]);
}

#[test]
fn a_table_that_shrinks_and_grows_in_one_frame_is_announced_at_its_smallest() {
    let mut bench = Bench::client(Limits::default());
    for _ in 0..3 {
        bench.open(End::Last);
    }
    bench.end.output().advance(usize::MAX);
    let size = |bytes: u32| [&[0, 1][..], &bytes.to_be_bytes()].concat();
    let payload = [size(0), size(4_096)].concat();
    bench.feed(&bytes(FrameKind::SETTINGS, 0, 0, &payload));
    bench.written();
    bench.open(End::Last);
    let output = bench.end.output().contiguous().unwrap();
    let expected = [0x20, 0x3f, 0xe1, 0x1f, 0x83, 0x86];
    assert_eq!(output[HEAD_BYTES..][..6], expected, "0, then 4,096");
}

#[test]
fn a_block_that_comes_again_means_what_the_table_says_now() {
    let mut bench = Bench::server(Limits::default());
    let insert = |value: u8| [&[0x83, 0x86, 0x84, 0x40, 3][..], b"x-a", &[1, value]].concat();
    let mut call = |id, block: &[u8]| {
        let input = bytes(FrameKind::HEADERS, END_HEADERS | END_STREAM, id, block);
        let mut events = bench.feed(&input);
        events
            .pop()
            .unwrap()
            .split("x-a: ")
            .nth(1)
            .unwrap()
            .to_owned()
    };
    let indexed = [0x83, 0x86, 0x84, 0xbe];
    let got = [
        call(1, &insert(b'1')),
        call(3, &indexed),
        call(5, &indexed),
        call(7, &insert(b'2')),
        call(9, &indexed),
        call(11, &indexed),
    ];
    assert_eq!(
        got,
        ["1] end", "1] end", "1] end", "2] end", "2] end", "2] end"]
    );
}
