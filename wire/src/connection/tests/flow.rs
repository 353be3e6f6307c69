//! Flow control at its limits, and back-pressure (RFC 9113 sections 5.2 and 6.9).

use super::*;
use crate::error::CommandError;
use crate::frame::{END_STREAM, PADDED};

const MOST: u32 = 0x7fff_ffff;

fn limits() -> Limits {
    Limits {
        stream_window_bytes: 1_000,
        connection_window_bytes: 65_535,
        ..Limits::default()
    }
}

/// A server with stream 1 open and its answer begun.
fn answering(limits: Limits) -> (Bench, StreamKey) {
    let mut bench = Bench::server(limits);
    let input = bench.headers(1, END_STREAM, &REQUEST);
    bench.feed(&input);
    let key = bench.key(1);
    bench
        .end
        .send_headers(key, fields(&RESPONSE), End::More)
        .unwrap();
    bench.written();
    (bench, key)
}

#[test]
fn increments_of_nothing_break_a_rule() {
    let mut bench = Bench::server(Limits::default());
    let input = bench.headers(1, 0, &REQUEST);
    bench.feed(&input);
    bench.check_reset(&window_update(1, 0), 1, Rule::ZeroIncrement);
    bench.check_fatal(&window_update(0, 0), Rule::ZeroIncrement);
}

#[test]
fn windows_grow_to_the_limit_and_not_above() {
    let (mut bench, _) = answering(Limits::default());
    assert!(bench.feed(&window_update(0, MOST - 65_535)).is_empty());
    assert!(bench.feed(&window_update(1, MOST - 65_535)).is_empty());
    bench.check_alive();
    bench.check_reset(&window_update(1, 1), 1, Rule::WindowOverflow);
    bench.check_fatal(&window_update(0, 1), Rule::WindowOverflow);
}

#[test]
fn an_initial_window_that_overflows_a_stream_ends_the_connection() {
    let (mut bench, _) = answering(Limits::default());
    bench.feed(&window_update(1, MOST - 65_535));
    bench.check_fatal(&settings(4, 65_536), Rule::WindowOverflow);
}

#[test]
fn data_above_the_stream_window_ends_the_stream() {
    let mut bench = Bench::server(limits());
    bench.releases = false;
    let mut input = bench.headers(1, 0, &REQUEST);
    input.extend(data(1, 0, 1_000));
    assert_eq!(bench.feed(&input).len(), 2);
    bench.check_reset(&data(1, 0, 1), 1, Rule::WindowExceeded);
}

#[test]
fn data_above_the_connection_window_ends_the_connection() {
    let mut bench = Bench::server(Limits {
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 65_535,
        ..Limits::default()
    });
    bench.releases = false;
    let mut input = bench.headers(1, 0, &REQUEST);
    for length in [16_384, 16_384, 16_384, 16_383] {
        input.extend(data(1, 0, length));
    }
    assert_eq!(bench.feed(&input).len(), 5);
    bench.check_fatal(&data(1, 0, 1), Rule::WindowExceeded);
}

#[test]
fn credit_comes_back_by_halves_and_only_when_released() {
    let mut bench = Bench::server(limits());
    bench.releases = false;
    let mut input = bench.headers(1, 0, &REQUEST);
    input.extend(data(1, 0, 600));
    bench.feed(&input);
    assert!(bench.written().is_empty());
    let key = bench.key(1);
    bench.end.release(key, 499);
    assert!(bench.written().is_empty());
    bench.end.release(key, 101);
    assert_eq!(bench.written(), ["WINDOW_UPDATE on 1: 600"]);
    bench.end.release(key, 600);
    assert!(
        bench.written().is_empty(),
        "credit that was not taken does not come back"
    );
}

#[test]
fn credit_of_streams_that_are_reset_comes_back_to_the_connection() {
    let mut bench = Bench::server(Limits {
        connection_window_bytes: 65_535,
        ..Limits::default()
    });
    bench.releases = false;
    for id in (1..20).step_by(2) {
        let mut input = bench.headers(id, 0, &REQUEST);
        // Data to an open stream, and data that comes too late.
        input.extend(data(id, 0, 4_000));
        bench.feed(&input);
        let key = bench.key(id);
        bench.end.reset(key, ErrorCode::CANCEL);
        assert!(bench.feed(&data(id, 0, 4_000)).is_empty());
    }
    let updates: Vec<_> = bench
        .written()
        .into_iter()
        .filter(|frame| frame.starts_with("WINDOW_UPDATE on 0"))
        .collect();
    assert_eq!(
        updates,
        ["WINDOW_UPDATE on 0: 36000", "WINDOW_UPDATE on 0: 36000"]
    );
}

#[test]
fn padding_counts_and_empty_padded_data_gives_it_back() {
    let mut bench = Bench::server(limits());
    bench.releases = false;
    let mut input = bench.headers(1, 0, &REQUEST);
    let mut payload = vec![0; 256];
    payload[0] = 255;
    for _ in 0..20 {
        input.extend(bytes(FrameKind::DATA, PADDED, 1, &payload));
    }
    assert_eq!(bench.feed(&input).len(), 1, "no event for padding alone");
    let written = bench.written();
    assert_eq!(written.len(), 10);
    assert!(
        written
            .iter()
            .all(|frame| frame == "WINDOW_UPDATE on 1: 512"),
        "{written:?}"
    );
}

#[test]
fn a_closed_window_queues_and_an_open_one_sends() {
    let (mut bench, key) = answering(Limits::default());
    let sent = bench
        .end
        .send_data(key, Bytes::from(vec![0; 100_000]), End::More)
        .unwrap();
    assert_eq!(sent, 65_535);
    bench.end.send_trailers(key, fields(&TRAILERS)).unwrap();
    assert!(bench.events().is_empty() && !bench.end.wants_poll());
    bench.written();
    assert!(
        bench.feed(&window_update(0, 100_000)).is_empty(),
        "the stream's own is closed"
    );
    assert_eq!(bench.feed(&window_update(1, 34_464)).len(), 3);
    assert_eq!(bench.feed(&window_update(1, 1)), ["1 sent 1"]);
    assert_eq!(
        bench.written().last().unwrap(),
        "HEADERS on 1 flags 5: 15 bytes"
    );
    assert_eq!(bench.end.streams(), 0);
}

#[test]
fn a_smaller_initial_window_can_close_windows_below_zero() {
    let (mut bench, key) = answering(Limits::default());
    assert_eq!(
        bench
            .end
            .send_data(key, Bytes::from(vec![0; 10_000]), End::More),
        Ok(10_000)
    );
    bench.feed(&settings(4, 5_000));
    assert_eq!(
        bench
            .end
            .send_data(key, Bytes::from_static(b"x"), End::Last),
        Ok(0)
    );
    assert!(
        bench.feed(&window_update(1, 5_000)).is_empty(),
        "zero is still closed"
    );
    assert_eq!(bench.feed(&settings(4, 5_001)), ["settings", "1 sent 1"]);
    assert_eq!(bench.end.streams(), 0);
}

#[test]
fn streams_take_turns() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&settings(4, 0));
    bench.written();
    for id in [1, 3, 5] {
        let input = bench.headers(id, END_STREAM, &REQUEST);
        bench.feed(&input);
    }
    for id in [1, 3, 5] {
        let key = bench.key(id);
        bench
            .end
            .send_headers(key, fields(&RESPONSE), End::More)
            .unwrap();
        bench
            .end
            .send_data(key, Bytes::from(vec![0; 40_000]), End::Last)
            .unwrap();
    }
    bench.feed(&[window_update(0, 1 << 20), settings(4, 50_000)].concat());
    let sent: Vec<_> = bench
        .written()
        .into_iter()
        .filter(|f| f.starts_with("DATA"))
        .collect();
    let streams: Vec<_> = sent.iter().map(|frame| &frame[..9]).collect();
    assert_eq!(
        streams[..6],
        ["DATA on 1", "DATA on 3", "DATA on 5"].repeat(2)
    );
    assert_eq!(sent.len(), 9);
}

#[test]
fn an_unread_output_stops_data_and_reading_it_goes_on() {
    let limits = Limits {
        output_bytes: 30_000,
        ..Limits::default()
    };
    let (mut bench, key) = answering(limits);
    let input = [window_update(0, 1 << 20), window_update(1, 1 << 20)].concat();
    bench.feed(&input);
    let mut at_once = 0;
    for _ in 0..10 {
        at_once += bench
            .end
            .send_data(key, Bytes::from(vec![0; 10_000]), End::More)
            .unwrap();
    }
    assert_eq!(at_once, 30_000);
    assert!(bench.events().is_empty());
    let mut later = 0;
    while at_once + later < 100_000 {
        assert!(bench.end.output().len() <= 30_000 + 16_384 + 9 * 4);
        bench.written();
        later += bench.events().len() * 10_000;
    }
}

/// Two streams wait in line for room in the output; the first one's window is closed meanwhile.
#[test]
fn what_leaves_is_told_of_the_stream_that_it_left_from() {
    let limits = Limits {
        output_bytes: 100,
        ..Limits::default()
    };
    let (mut bench, first) = answering(limits);
    let input = bench.headers(3, END_STREAM, &REQUEST);
    bench.feed(&input);
    let second = bench.key(3);
    let head = bench.end.send_headers(second, fields(&RESPONSE), End::More);
    assert_eq!(head, Ok(()));
    let end = &mut bench.end;
    let mut send = |key, bytes| end.send_data(key, Bytes::from(vec![0; bytes]), End::More);
    assert_eq!(send(first, 200), Ok(200));
    assert_eq!(send(first, 10), Ok(0), "the output is full");
    assert_eq!(send(second, 20), Ok(0));
    assert_eq!(bench.feed(&settings(4, 200)), ["settings"]);
    assert_eq!(bench.feed(&window_update(3, 100)), [""; 0]);
    bench.written();
    let more = bench
        .end
        .send_data(first, Bytes::from_static(b"more"), End::More);
    assert_eq!(more, Ok(0), "and nothing of the second's");
    assert_eq!(bench.events(), ["3 sent 20"]);
    assert_eq!(bench.feed(&window_update(1, 100)), ["1 sent 14"]);
}

#[test]
fn data_that_leaves_at_once_is_of_this_command_only() {
    let limits = Limits {
        output_bytes: 100,
        ..Limits::default()
    };
    let (mut bench, key) = answering(limits);
    let end = &mut bench.end;
    let mut send = |bytes| end.send_data(key, Bytes::from(vec![0; bytes]), End::More);
    assert_eq!((send(200), send(50)), (Ok(200), Ok(0)));
    bench.written();
    let sent = bench
        .end
        .send_data(key, Bytes::from_static(b"x"), End::More);
    assert_eq!(sent, Ok(0), "50 bytes are before it");
    assert_eq!(bench.events(), ["1 sent 51"]);
}

#[test]
fn a_queue_has_a_bound() {
    let limits = Limits {
        queue_bytes: 100_000,
        ..Limits::default()
    };
    let (mut bench, key) = answering(limits);
    bench.feed(&settings(4, 0));
    assert_eq!(
        bench
            .end
            .send_data(key, Bytes::from(vec![0; 70_000]), End::More),
        Ok(0)
    );
    assert_eq!(
        bench
            .end
            .send_data(key, Bytes::from(vec![0; 30_000]), End::More),
        Ok(0)
    );
    let full = bench
        .end
        .send_data(key, Bytes::from_static(b"x"), End::More);
    assert_eq!(full, Err(CommandError::QueueFull));
}

#[test]
fn a_reset_drops_what_is_queued() {
    let (mut bench, key) = answering(Limits::default());
    bench
        .end
        .send_data(key, Bytes::from(vec![0; 100_000]), End::Last)
        .unwrap();
    bench.feed(&reset(1, ErrorCode::CANCEL));
    bench.written();
    let input = [window_update(0, 1 << 20), window_update(1, 1 << 20)].concat();
    assert!(bench.feed(&input).is_empty());
    assert!(bench.written().is_empty());
}
