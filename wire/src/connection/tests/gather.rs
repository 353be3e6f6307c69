use super::*;

/// A server's end on which streams 1 and 3 have begun to stream.
fn streaming(limits: Limits) -> Bench {
    let mut bench = Bench::server(limits);
    for id in [1, 3] {
        let request = bench.headers(id, 0, &REQUEST);
        bench.feed(&request);
        bench.feed(&data(id, 0, 7));
    }
    bench
}

#[test]
fn messages_that_came_together_are_told_by_stream() {
    let mut bench = streaming(Limits::default());
    let pair = [data(3, 0, 50), data(1, 0, 20)].concat();
    assert_eq!(
        bench.feed(&pair.repeat(10)),
        ["3 data 500 credit 500", "1 data 200 credit 200"]
    );
    let cut = [&pair.repeat(2)[..], &[0, 0, 9]].concat();
    assert_eq!(
        bench.feed(&cut),
        ["3 data 100 credit 100", "1 data 40 credit 40"]
    );
}

#[test]
fn the_bytes_stay_in_order() {
    let mut bench = streaming(Limits::default());
    let mut input = Vec::new();
    let mut sent = Vec::new();
    for number in 0..2_000u32 {
        let length = if number % 100 == 99 { 3_000 } else { 4 };
        let payload = number.to_be_bytes().repeat(length / 4);
        input.extend(bytes(FrameKind::DATA, 0, 1, &payload));
        sent.extend(payload);
    }
    bench.end.receive(input.into());
    let (mut got, mut pieces) = (Vec::new(), 0);
    while let Some(event) = bench.end.poll_event().unwrap() {
        let Event::Data {
            stream,
            payload,
            credit,
            ..
        } = event
        else {
            panic!("{event:?}");
        };
        got.extend_from_slice(&payload);
        pieces += 1;
        bench.end.release(stream, credit);
    }
    assert!(got == sent);
    assert_eq!(pieces, 40, "twenty times many small ones and a large one");
}

#[test]
fn what_follows_comes_behind() {
    let gathered = "1 data 100 credit 100";
    let check = |last: Vec<u8>, expected: &[&str]| {
        let mut bench = streaming(Limits::default());
        let input = [data(1, 0, 50).repeat(2), last].concat();
        assert_eq!(bench.feed(&input), [&[gathered], expected].concat());
    };
    check(data(1, frame::END_STREAM, 5), &["1 data 5 credit 5 end"]);
    check(reset(1, ErrorCode::CANCEL), &["1 reset CANCEL Peer"]);
    let mut bench = streaming(Limits::default());
    let input = [data(1, 0, 50).repeat(2), data(9, 0, 1)].concat();
    let events = bench.feed(&input);
    assert_eq!(events[0], gathered);
    assert!(events[1].contains(Rule::IdleStream.says()), "{events:?}");
}

#[test]
fn a_frame_beyond_the_window_is_refused_behind_them() {
    let limits = Limits {
        stream_window_bytes: 200,
        ..Limits::default()
    };
    let mut bench = streaming(limits);
    bench.releases = false;
    let events = bench.feed(&data(1, 0, 90).repeat(3));
    assert_eq!(events[0], "1 data 180 credit 180");
    assert!(
        events[1].starts_with("1 reset FLOW_CONTROL_ERROR"),
        "{events:?}"
    );
}

#[test]
fn credit_is_announced_where_it_would_be_without_gathering() {
    let limits = Limits {
        stream_window_bytes: 1_000,
        ..Limits::default()
    };
    let mut bench = streaming(limits);
    bench.written();
    bench.feed(&data(1, 0, 100).repeat(8));
    assert_eq!(bench.written(), ["WINDOW_UPDATE on 1: 507"]);
}

#[test]
fn a_stream_reset_meanwhile_gets_no_data_and_keeps_no_credit() {
    let mut bench = streaming(Limits::default());
    let pair = [data(3, 0, 50), data(1, 0, 50)].concat();
    bench.end.receive(pair.repeat(3).into());
    let first = describe(&bench.end.poll_event().unwrap().unwrap());
    assert_eq!(first, "3 data 150 credit 150");
    let key = bench.key(1);
    bench.end.reset(key, ErrorCode::CANCEL);
    assert!(bench.events().is_empty());
    assert_eq!(bench.end.streams(), 1);
}
