//! Header lists to the `h2` crate's decoder and back from its encoder, with tables of all sizes on
//! either side: evicted, never indexed, too large for the table, repeated.

use std::ops::ControlFlow;

use cutover_wire::{Connection, End, FieldRef, HeaderList, Limits, Strings};
use http::Response;
use proptest::prelude::*;
use tokio::io::DuplexStream;

use crate::drive::{Owned, drive, take_events};

type Fields = Vec<(&'static str, String)>;

const NAMES: [&str; 8] = [
    "x-a",
    "x-b",
    "content-type",
    "cookie",
    "authorization",
    "grpc-timeout",
    "x-a-name-that-goes-on-and-on-and-on",
    "x-c-bin",
];

/// Answers each request with its own regular fields.
async fn echo(io: DuplexStream, builder: h2::server::Builder) {
    let mut server = builder.handshake::<_, bytes::Bytes>(io).await.unwrap();
    while let Some(request) = server.accept().await {
        let (request, mut respond) = request.unwrap();
        let mut response = Response::new(());
        *response.headers_mut() = request.headers().clone();
        respond.send_response(response, true).unwrap();
    }
}

/// The values of each name, which is all of the order that `h2` keeps.
fn by_name(list: &HeaderList) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = list
        .iter()
        .filter(|field| !field.is_pseudo())
        .map(|field| {
            (
                String::from_utf8(field.name.to_vec()).unwrap(),
                field.value.to_vec(),
            )
        })
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn head(fields: &Fields) -> HeaderList {
    let mut list = HeaderList::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ] {
        list.push(name.as_bytes(), value.as_bytes());
    }
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes());
    }
    list
}

/// Sends the lists one after the other, and compares what comes back with each.
async fn check(limits: Limits, their_table: u32, lists: Vec<Fields>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut builder = h2::server::Builder::new();
    builder
        .header_table_size(their_table)
        .max_header_list_size(1 << 20);
    tokio::task::spawn_local(echo(far, builder));
    let mut client = Connection::client(limits);
    let mut left = lists.iter().map(head);
    let mut sent: Option<HeaderList> = None;
    let mut is_greeted = false;
    drive(near, &mut client, |client| {
        for event in take_events(client) {
            match event {
                Owned::Headers(_, headers, End::Last) => {
                    let list = sent.take().unwrap();
                    assert_eq!(by_name(&headers), by_name(&list));
                }
                // Before it we may not write more than a default table can hold.
                Owned::Settings => is_greeted = true,
                other => panic!("unexpected: {other:?}"),
            }
        }
        if is_greeted && sent.is_none() {
            sent = left.next();
            let Some(list) = &sent else {
                return ControlFlow::Break(());
            };
            let fields = list
                .iter()
                .map(|field| FieldRef::new(field.name, field.value));
            client.open(fields, End::Last).unwrap();
        }
        ControlFlow::Continue(())
    })
    .await;
    assert!(sent.is_none() && left.next().is_none(), "all came back");
}

fn lists() -> impl Strategy<Value = Vec<Fields>> {
    // Few values, so that tables are hit, and lengths around those of a whole table.
    let value = prop_oneof![
        4 => "[a-c]{0,2}",
        1 => "[ -~]{0,60}",
        1 => (100usize..5_000).prop_map(|length| "v".repeat(length)),
    ];
    let field = (0usize..NAMES.len(), value)
        .prop_map(|(name, value)| (NAMES[name], value.trim().to_owned()));
    prop::collection::vec(prop::collection::vec(field, 0..12), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn lists_come_back_as_they_went(
        lists in lists(),
        ours in prop::sample::select(vec![0u32, 50, 300, 4_096, 65_536]),
        theirs in prop::sample::select(vec![0u32, 50, 300, 4_096, 65_536]),
        huffman in any::<bool>(),
    ) {
        let limits = Limits {
            encoder_table_bytes: ours,
            decoder_table_bytes: ours,
            header_list_bytes: 1 << 20,
            strings: if huffman { Strings::Huffman } else { Strings::Plain },
            ..Limits::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, check(limits, theirs, lists));
    }
}
