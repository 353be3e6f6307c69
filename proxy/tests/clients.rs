//! What clients do on the wire, wrongly or in passing, and what reaches the arms of it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[allow(dead_code, reason = "no test here needs a reader that pauses")]
#[path = "support/peer.rs"]
mod peer;

use cutover_wire::{CommandError, End, ErrorCode, FieldRef};
use peer::{OK, Peer, Seen, metrics, stage, until_ended, value};

#[tokio::test]
async fn a_cancelled_call_is_reset_at_the_arm() {
    let (proxy, listener, mut client) = stage().await;
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    client.engine.reset(call, ErrorCode::CANCEL);
    client.flush().await;
    assert_eq!(arm.reset(stream).await, ErrorCode::CANCEL);
    until_ended(&proxy, "CANCELLED", 1).await;
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_thousand_streams_of_a_client_that_vanishes_end_at_the_arm() {
    const CALLS: usize = 1_000;
    let (proxy, listener, mut client) = stage().await;
    for _ in 0..CALLS {
        client.call(&[], End::More);
    }
    client.flush().await;
    let (resets, mut all_reset) = tokio::sync::mpsc::channel(CALLS);
    let arms = tokio::spawn(async move {
        loop {
            let mut arm = Peer::accept(&listener).await;
            let resets = resets.clone();
            tokio::spawn(async move {
                loop {
                    match arm.next().await {
                        Seen::Headers(..) => resets.send(false).await.unwrap(),
                        Seen::Reset(..) => resets.send(true).await.unwrap(),
                        Seen::Closed => return,
                        _ => {}
                    }
                }
            });
        }
    });
    let mut client = Some(client);
    let (mut begun, mut reset) = (0, 0);
    while reset < CALLS {
        match all_reset.recv().await.unwrap() {
            false => begun += 1,
            true => reset += 1,
        }
        if begun == CALLS {
            client = None;
        }
    }
    assert!(client.is_none());
    until_ended(&proxy, "CANCELLED", CALLS as u64).await;
    arms.abort();
    proxy.shutdown().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_few_reach_the_arm() {
    let (proxy, listener, mut client) = stage().await;
    let arm = tokio::spawn(async move {
        let mut arm = Peer::accept(&listener).await;
        let mut begun = 0;
        while let Seen::Headers(..) | Seen::Reset(..) | Seen::Data(..) = match arm.next().await {
            Seen::Headers(stream, fields, end) => {
                if value(&fields, "x-last").is_some() {
                    arm.answer(stream, b"");
                    arm.flush().await;
                    return begun;
                }
                begun += 1;
                Seen::Headers(stream, fields, end)
            }
            other => other,
        } {}
        panic!("the connection to the arm was lost")
    });
    for _ in 0..100_000 {
        let stream = match client.engine.open(REQUEST, End::Last) {
            Ok(stream) => stream,
            Err(CommandError::Closing) => break,
            Err(error) => panic!("{error}"),
        };
        client.engine.reset(stream, ErrorCode::CANCEL);
        if client.engine.output().len() > 16 << 10 {
            client.flush().await;
        }
    }
    let told = loop {
        match client.next().await {
            Seen::GoAway(code) => break Some(code),
            Seen::Closed => break None,
            _ => {}
        }
    };
    assert!(told.is_none_or(|code| code == ErrorCode::ENHANCE_YOUR_CALM));
    // A bystander goes on, over the same connection to the arm.
    let mut bystander = Peer::connect(proxy.listen_address()).await;
    let call = bystander.call(&[FieldRef::new(b"x-last", b"1")], End::Last);
    bystander.flush().await;
    assert_eq!(bystander.status(call).await, 0);
    let begun = arm.await.unwrap();
    // The budget, which is full again after each second that this takes.
    assert!(begun <= 20_000, "{begun} reached the arm");
    drop((client, bystander));
    proxy.shutdown().await;
}

const REQUEST: [FieldRef<'static>; 5] = [
    FieldRef::new(b":method", b"POST"),
    FieldRef::new(b":scheme", b"http"),
    FieldRef::new(b":path", b"/test.Service/Method"),
    FieldRef::new(b":authority", b"test"),
    FieldRef::new(b"content-type", b"application/grpc"),
];

#[tokio::test]
async fn padded_data_passes_without_its_padding_and_gives_its_window_back() {
    const FRAMES: usize = 2_000;
    let (proxy, listener, mut client) = stage().await;
    let call = client.call(&[], End::More);
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    arm.engine.send_headers(stream, OK, End::More).unwrap();
    arm.flush().await;
    // 257 bytes of the window each, of which one is data: together twice the window.
    let frame = |end: u8| {
        let head = [0, 1, 1, 0, 8 | end, 0, 0, 0, call.id as u8];
        [&head[..], &[255, b'p'], &[0; 255]].concat()
    };
    for _ in 0..FRAMES - 1 {
        client.raw(&frame(0)).await;
    }
    client.raw(&frame(1)).await;
    let mut bytes = 0;
    loop {
        if let Seen::Data(_, body, end) = arm.next().await {
            bytes += body.len();
            if end == End::Last {
                break;
            }
        }
    }
    assert_eq!(bytes, FRAMES);
    arm.engine
        .send_trailers(stream, [FieldRef::new(b"grpc-status", b"0")])
        .unwrap();
    arm.flush().await;
    assert_eq!(client.status(call).await, 0);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn headers_too_large_are_refused_and_the_connection_lives() {
    let (proxy, listener, mut client) = stage().await;
    let large = vec![b'l'; 70 << 10];
    let call = client.call(&[FieldRef::new(b"x-large", &large)], End::Last);
    client.flush().await;
    assert_eq!(client.status(call).await, 8);
    let call = client.ask(b"x");
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let stream = arm.request().await;
    arm.answer(stream, b"");
    arm.flush().await;
    assert_eq!(client.status(call).await, 0);
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so_and_reaches_no_arm() {
    let (proxy, _listener, mut client) = stage().await;
    let get = [
        FieldRef::new(b":method", b"GET"),
        FieldRef::new(b":scheme", b"http"),
        FieldRef::new(b":path", b"/index.html"),
    ];
    client.engine.open(get, End::Last).unwrap();
    client.flush().await;
    let Seen::Headers(_, fields, End::More) = client.next().await else {
        panic!("no answer")
    };
    assert_eq!(value(&fields, ":status"), Some("415"));
    let Seen::Data(_, text, End::Last) = client.next().await else {
        panic!("no words")
    };
    assert!(text.starts_with(b"This is a proxy for gRPC"));
    let text = metrics(&proxy).await;
    assert!(
        text.contains("cutover_refused_total{reason=\"not_grpc\"} 1"),
        "{text}"
    );
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn an_upload_that_is_not_grpc_is_answered_to_the_end_when_it_has_ended() {
    let (proxy, _listener, mut client) = stage().await;
    let post = [
        FieldRef::new(b":method", b"POST"),
        FieldRef::new(b":scheme", b"http"),
        FieldRef::new(b":path", b"/form"),
    ];
    let stream = client.engine.open(post, End::More).unwrap();
    client.flush().await;
    assert!(matches!(
        client.next().await,
        Seen::Headers(_, _, End::More)
    ));
    assert!(matches!(client.next().await, Seen::Data(_, _, End::More)));
    // More than a window of it: what is of no use is let in and dropped.
    let body = vec![b'x'; 1_000_000];
    let sent = client.engine.send_data(stream, body.into(), End::Last);
    sent.unwrap();
    client.flush().await;
    let Seen::Data(_, text, End::Last) = client.next().await else {
        panic!("no end")
    };
    assert!(text.is_empty());
    drop(client);
    proxy.shutdown().await;
}

#[tokio::test]
async fn metadata_keeps_its_order_and_the_proxy_adds_only_its_own() {
    let (proxy, listener, mut client) = stage().await;
    let sent = [
        ("x-many", "b"),
        ("grpc-timeout", "5S"),
        ("x-bin", "AAE"),
        ("x-many", "a"),
        ("x-cutover-arm", "candidate"),
        ("baggage", "a=1,cutover.role=shadow"),
        ("authorization", "Bearer t"),
    ];
    let more = sent.map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()));
    client.call(&more, End::Last);
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let Seen::Headers(_, fields, End::Last) = arm.next().await else {
        panic!("no request")
    };
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            ":method",
            ":scheme",
            ":path",
            ":authority",
            "content-type",
            "x-many",
            "grpc-timeout",
            "x-bin",
            "x-many",
            "baggage",
            "authorization",
            "traceparent"
        ]
    );
    assert_eq!(value(&fields, "x-many"), Some("b"));
    assert_eq!(value(&fields, "baggage"), Some("a=1"));
    drop((client, arm));
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_request_without_an_authority_gets_the_arms() {
    let (proxy, listener, mut client) = stage().await;
    let without = REQUEST.into_iter().filter(|f| f.name != b":authority");
    client.engine.open(without, End::Last).unwrap();
    client.flush().await;
    let mut arm = Peer::accept(&listener).await;
    let Seen::Headers(_, fields, _) = arm.next().await else {
        panic!("no request")
    };
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(value(&fields, ":authority"), Some(address.as_str()));
    drop((client, arm));
    proxy.shutdown().await;
}
