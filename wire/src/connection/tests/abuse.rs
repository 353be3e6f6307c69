//! Floods: each runs into its limit, and its honest twin does not.

use super::*;
use crate::error::CommandError;
use crate::frame::{ACK, END_HEADERS, END_STREAM};
use crate::headers::HeaderList;

/// Feeds the same frame again and again until the connection is over, or `most` times.
fn flood(
    bench: &mut Bench,
    most: usize,
    mut next: impl FnMut(&mut Bench, usize) -> Vec<u8>,
) -> usize {
    for count in 0..most {
        let input = next(bench, count);
        bench.feed(&input);
        if bench.end.failed.is_some() {
            return count;
        }
        bench.end.output().advance(usize::MAX);
    }
    most
}

#[track_caller]
fn check_rule(bench: &Bench, rule: Rule) {
    let error = bench.end.failed.unwrap();
    assert_eq!(
        (error.rule, error.rule.code()),
        (rule, ErrorCode::ENHANCE_YOUR_CALM)
    );
}

fn id(count: usize) -> u32 {
    count as u32 * 2 + 1
}

#[test]
fn rapid_reset() {
    let mut bench = Bench::server(Limits::default());
    let cancelled = |bench: &mut Bench, count| {
        let mut input = bench.headers(id(count), END_STREAM, &REQUEST);
        input.extend(reset(id(count), ErrorCode::CANCEL));
        input
    };
    assert_eq!(flood(&mut bench, 100_000, cancelled), 1_000);
    check_rule(&bench, Rule::PrematureResetFlood);
    // With a clock, a thousand each second are patience enough.
    let mut bench = Bench::server(Limits::default());
    let patient = flood(&mut bench, 3_000, |bench, count| {
        if count % 1_000 == 999 {
            bench.end.replenish();
        }
        cancelled(bench, count)
    });
    assert_eq!(patient, 3_000);
}

#[test]
fn resets_after_an_answer_began_are_counted_apart() {
    let mut bench = Bench::server(Limits {
        resets: 2_000,
        ..Limits::default()
    });
    let count = flood(&mut bench, 5_000, |bench, count| {
        let input = bench.headers(id(count), END_STREAM, &REQUEST);
        bench.feed(&input);
        let key = bench.key(id(count));
        bench
            .end
            .send_headers(key, fields(&RESPONSE), End::More)
            .unwrap();
        reset(id(count), ErrorCode::CANCEL)
    });
    assert_eq!(count, 2_000);
    check_rule(&bench, Rule::ResetFlood);
}

#[test]
fn resets_that_are_provoked() {
    let mut bench = Bench::server(Limits::default());
    let count = flood(&mut bench, 2_000, |bench, count| {
        let mut input = bench.headers(id(count), 0, &REQUEST);
        input.extend(window_update(id(count), 0));
        input
    });
    assert_eq!(count, 200);
    check_rule(&bench, Rule::ProvokedResetFlood);
}

#[test]
fn continuations_without_end() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&bytes(FrameKind::HEADERS, 0, 1, &[0x82]));
    let count = flood(&mut bench, 10_000, |_, _| {
        bytes(FrameKind::CONTINUATION, 0, 1, &[])
    });
    assert_eq!(count, 16);
    check_rule(&bench, Rule::ContinuationFlood);

    let mut bench = Bench::server(Limits::default());
    let literals = [0x00, 0x01, b'a', 0x01, b'b'].repeat(3_000);
    bench.feed(&bytes(FrameKind::HEADERS, 0, 1, &literals));
    let count = flood(&mut bench, 10_000, |_, _| {
        bytes(FrameKind::CONTINUATION, 0, 1, &literals)
    });
    assert_eq!(count, 7);
    check_rule(&bench, Rule::HeaderBlockTooLarge);
}

#[test]
fn too_large_a_request_can_be_answered() {
    for size in [17 << 10, 70 << 10] {
        let mut bench = Bench::server(Limits::default());
        let value = "v".repeat(size);
        let list = [&REQUEST[..], &[("x-large", &value)]].concat();
        let block = bench.block(&list);
        let mut pieces = block.chunks(16_384);
        let mut input = bytes(FrameKind::HEADERS, END_STREAM, 1, pieces.next().unwrap());
        for piece in pieces {
            input.extend(bytes(FrameKind::CONTINUATION, 0, 1, piece));
        }
        input.extend(bytes(FrameKind::CONTINUATION, END_HEADERS, 1, &[]));
        let whole: HeaderList = fields(&list).collect();
        assert_eq!(
            bench.feed(&input),
            [format!("1 too large {} end", whole.size_bytes())]
        );
        let key = bench.key(1);
        bench
            .end
            .send_headers(key, fields(&[(":status", "431")]), End::Last)
            .unwrap();
        bench.written();
        bench.check_alive();
    }
}

#[test]
fn too_large_a_response_ends_its_stream_only() {
    let mut bench = Bench::client(Limits {
        header_list_bytes: 100,
        ..Limits::default()
    });
    bench.open(End::Last);
    let input = bench.headers(1, 0, &[(":status", "200"), ("x-large", &"v".repeat(100))]);
    bench.check_reset(&input, 1, Rule::HeaderListTooLarge);
}

#[test]
fn empty_data() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    assert_eq!(flood(&mut bench, 1_000, |_, _| data(1, 0, 0)), 100);
    check_rule(&bench, Rule::EmptyDataFlood);

    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    let mixed = flood(&mut bench, 1_000, |_, _| {
        [data(1, 0, 0), data(1, 0, 1)].concat()
    });
    assert_eq!(
        mixed, 1_000,
        "one empty frame with each that is not is no flood"
    );
}

#[test]
fn small_data_that_nobody_reads_ends_its_stream_only() {
    let limits = Limits {
        unread_small_data: 500,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.releases = false;
    let request = bench.headers(1, 0, &REQUEST);
    bench.feed(&request);
    for _ in 0..500 {
        assert_eq!(bench.feed(&data(1, 0, 5)).len(), 1);
    }
    bench.check_reset(&data(1, 0, 5), 1, Rule::UnreadDataFlood);

    bench.releases = true;
    let mut input = bench.headers(3, 0, &REQUEST);
    input.extend(data(3, 0, 5).repeat(5_000));
    let pieces = bench.feed(&input).len() - 1;
    assert_eq!(pieces, 3, "the first message, 16 KiB, the rest");
    for _ in 0..5_000 {
        assert_eq!(bench.feed(&data(3, 0, 5)), ["3 data 5 credit 5"]);
    }
}

#[test]
fn control_frames() {
    let check = |frame: Vec<u8>, expected: usize, rule: Rule| {
        let mut bench = Bench::server(Limits::default());
        assert_eq!(flood(&mut bench, 20_000, |_, _| frame.clone()), expected);
        check_rule(&bench, rule);
    };
    check(
        bytes(FrameKind::PING, 0, 0, &[0; 8]),
        1_000,
        Rule::PingFlood,
    );
    check(
        bytes(FrameKind::PING, ACK, 0, &[0; 8]),
        1_000,
        Rule::PingFlood,
    );
    // The greeting took two.
    check(settings(9, 1), 98, Rule::SettingsFlood);
    check(
        bytes(FrameKind::SETTINGS, ACK, 0, &[]),
        98,
        Rule::SettingsFlood,
    );
    check(window_update(0, 1), 5_000, Rule::WindowUpdateFlood);
    check(
        bytes(FrameKind::PRIORITY, 0, 9, &[0; 5]),
        1_000,
        Rule::PriorityFlood,
    );
    check(go_away(1, ErrorCode::NO_ERROR), 100, Rule::GoAwayFlood);
    check(bytes(FrameKind(0xee), 0, 0, &[]), 1_000, Rule::UnknownFlood);
}

#[test]
fn pings_with_work_between_them_are_no_flood() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    let ping = bytes(FrameKind::PING, 0, 0, &[0; 8]);
    let count = flood(&mut bench, 5_000, |_, _| {
        [ping.clone(), data(1, 0, 1)].concat()
    });
    assert_eq!(count, 5_000);
}

#[test]
fn replies_that_the_peer_does_not_read() {
    let limits = Limits {
        queued_replies: 50,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    let ping = bytes(FrameKind::PING, 0, 0, &[0; 8]);
    bench.check_fatal(&ping.repeat(60), Rule::RepliesUnread);
}

#[test]
fn answers_that_the_peer_does_not_read() {
    let check = |reads: bool| {
        let mut bench = Bench::server(Limits {
            unread_bytes: 10_000,
            ..Limits::default()
        });
        for count in 0..3_000 {
            let input = bench.headers(id(count), END_STREAM, &REQUEST);
            bench.feed(&input);
            if bench.end.failed.is_some() {
                check_rule(&bench, Rule::OutputUnread);
                return count;
            }
            let key = bench.key(id(count));
            let answer = [(":status", "200"), ("grpc-message", "no such method")];
            let sent = bench.end.send_headers(key, fields(&answer), End::Last);
            assert_eq!(sent, Ok(()));
            assert!(bench.end.output().len() < 10_100);
            if reads {
                bench.written();
            }
        }
        3_000
    };
    assert!(check(false) < 1_000);
    assert_eq!(check(true), 3_000);
}

#[test]
fn no_stream_is_opened_towards_a_peer_that_reads_nothing() {
    let mut bench = Bench::client(Limits {
        unread_bytes: 1_000,
        ..Limits::default()
    });
    let most = (0..10_000)
        .take_while(|_| {
            let opened = bench.end.open(fields(&REQUEST), End::Last);
            opened.map(|key| bench.end.reset(key, ErrorCode::CANCEL)) == Ok(())
        })
        .count();
    assert!((20..60).contains(&most), "{most}");
    assert_eq!(bench.end.can_open(), Err(CommandError::NoSlot));
    bench.written();
    assert_eq!(bench.end.can_open(), Ok(()));
}

#[test]
fn streams_over_the_maximum_are_refused() {
    let limits = Limits {
        concurrent_streams: 2,
        refused: 5,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    let mut input = bench.headers(1, END_STREAM, &REQUEST);
    input.extend(bench.headers(3, END_STREAM, &REQUEST));
    assert_eq!(bench.feed(&input).len(), 2);
    let third = bench.headers(5, END_STREAM, &[&REQUEST[..], &[("x-a", "1")]].concat());
    bench.check_reset(&third, 5, Rule::StreamRefused);
    // A place that is free again is given again, and the header table went on meanwhile.
    bench.feed(&reset(1, ErrorCode::CANCEL));
    let fourth = bench.headers(7, END_STREAM, &[&REQUEST[..], &[("x-a", "1")]].concat());
    assert_eq!(bench.feed(&fourth).len(), 1);
    let count = flood(&mut bench, 100, |bench, count| {
        bench.headers(9 + id(count) - 1, END_STREAM, &REQUEST)
    });
    assert_eq!(count, 4);
    check_rule(&bench, Rule::RefusedFlood);
}

#[test]
fn interim_responses() {
    let mut bench = Bench::client(Limits::default());
    bench.open(End::Last);
    let count = flood(&mut bench, 1_000, |bench, _| {
        bench.headers(1, 0, &[(":status", "103")])
    });
    assert_eq!(count, 100);
    check_rule(&bench, Rule::InterimFlood);
}

#[test]
fn streams_that_hold_credit_count_as_long_as_they_do() {
    let limits = Limits {
        concurrent_streams: 1,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.releases = false;
    let mut input = bench.headers(1, 0, &REQUEST);
    input.extend(data(1, END_STREAM, 10));
    bench.feed(&input);
    let key = bench.key(1);
    bench
        .end
        .send_headers(key, fields(&RESPONSE), End::Last)
        .unwrap();
    let input = bench.headers(3, END_STREAM, &REQUEST);
    bench.check_reset(&input, 3, Rule::StreamRefused);
    bench.end.release(key, 10);
    let input = bench.headers(5, END_STREAM, &REQUEST);
    assert_eq!(bench.feed(&input).len(), 1);
}
