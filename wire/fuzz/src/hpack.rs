//! Any header blocks: what a decoder reads, an encoder writes, and another decoder reads again is
//! the same, however the tables are sized and resized.
use crate::script::Script;
use crate::{PREFACE, frame, take_output};
use bytes::Bytes;
use cutover_wire::{Connection, End, ErrorCode, Event, HeaderList, Limits, Role};

/// `:method`, `:scheme` and `:path`, which a request needs before anything else is looked at.
const REQUEST: [u8; 3] = [0x83, 0x86, 0x84];

/// Reads, writes and reads again every block of the script.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let limits = script.limits();
    let unbounded = Limits {
        concurrent_streams: 1 << 20,
        provoked_resets: u32::MAX,
        settings: u32::MAX,
        header_list_bytes: 1 << 20,
        header_block_bytes: 1 << 20,
        unread_bytes: 4 << 20,
        ..limits
    };
    let most = unbounded.decoder_table_bytes as usize;
    let mut first = Connection::server(unbounded.clone());
    let mut writer = Connection::client(unbounded.clone());
    let mut second = Connection::server(unbounded);
    first.receive(Bytes::from([PREFACE, &frame(4, 0, 0, &[])].concat()));
    assert!(matches!(first.poll_event(), Ok(Some(Event::Settings))));
    let mut stream = 1;
    while let Some(how) = script.byte() {
        if how >= 0xf0 {
            // The reader of our blocks changes its mind about its table.
            let bytes = (script.length().min(most) as u32).to_be_bytes();
            let resize = frame(4, 0, 0, &[&[0, 1][..], &bytes].concat());
            writer.receive(resize.into());
            assert!(matches!(writer.poll_event(), Ok(Some(Event::Settings))));
            continue;
        }
        let mut block = Vec::new();
        let mut more = script.take(how.into());
        while let [update @ 0x20..0x3f, rest @ ..] = more {
            block.push(*update);
            more = rest;
        }
        block.extend(REQUEST);
        block.extend(more);
        first.receive(frame(1, 5, stream, &block).into());
        let read = match first.poll_event() {
            Err(error) => {
                assert_eq!(error.rule.code(), ErrorCode::COMPRESSION_ERROR);
                return;
            }
            Ok(Some(Event::Headers { headers, .. })) => Some(headers.clone()),
            Ok(_) => None,
        };
        if let Some(list) = read {
            again(&list, &mut writer, &mut second);
        }
        first.output().advance(usize::MAX);
        stream += 2;
    }
}

/// Writes a list and reads it back.
fn again(list: &HeaderList, writer: &mut Connection, reader: &mut Connection) {
    assert_eq!((writer.role(), reader.role()), (Role::Client, Role::Server));
    let key = writer.open(list.iter(), End::Last).unwrap();
    writer.reset(key, ErrorCode::CANCEL);
    reader.receive(take_output(writer, usize::MAX).into());
    reader.replenish();
    loop {
        let event = reader.poll_event().unwrap().expect("the headers come");
        if let Event::Headers { headers, .. } = event {
            let parts = |list: &HeaderList| -> Vec<_> {
                list.iter()
                    .map(|field| {
                        (
                            field.name.to_vec(),
                            field.value.to_vec(),
                            field.sensitivity(),
                        )
                    })
                    .collect()
            };
            assert_eq!(parts(headers), parts(list));
            break;
        }
    }
    while reader.poll_event().unwrap().is_some() {}
    reader.output().advance(usize::MAX);
}
