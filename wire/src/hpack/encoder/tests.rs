use proptest::prelude::*;

use super::*;
use crate::headers::HeaderList;
use crate::hpack::decoder::Decoder;

fn list(fields: &[(&str, &str)]) -> HeaderList {
    fields
        .iter()
        .map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()))
        .collect()
}

fn encoded(encoder: &mut Encoder, fields: &HeaderList) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.encode(fields.iter(), &mut block);
    block
}

#[test]
fn what_repeats_becomes_one_byte() {
    let mut encoder = Encoder::new(4_096, Strings::Plain);
    let call = list(&[
        (":method", "POST"),
        (":path", "/gazetteer.v1.Gazetteer/GetPlace"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-python/1.85.1"),
        ("te", "trailers"),
    ]);
    for _ in 0..2 {
        assert!(encoded(&mut encoder, &call).len() > 60);
    }
    assert_eq!(encoded(&mut encoder, &call).len(), call.len());
}

#[test]
fn what_is_new_each_time_does_not_enter_the_table() {
    let mut encoder = Encoder::new(4_096, Strings::Plain);
    for round in 0..1_000 {
        encoded(&mut encoder, &list(&[("x-request-id", &round.to_string())]));
    }
    assert_eq!(encoder.table.size(), 0);
}

#[test]
fn secrets_are_written_out_each_time_and_marked() {
    let mut encoder = Encoder::new(4_096, Strings::Plain);
    let mut fields = list(&[("authorization", "Bearer abc"), ("x-token", "t")]);
    fields.push_ref(FieldRef::sensitive(b"x-marked", b"m"));
    for _ in 0..3 {
        let block = encoded(&mut encoder, &fields);
        assert!(block.windows(10).any(|window| window == b"Bearer abc"));
        assert_eq!(
            block[..2],
            [0x1f, 0x08],
            "never indexed, name 23 of the static table"
        );
        assert!(block.windows(9).any(|window| window == b"\x10\x08x-marke"));
    }
    assert_eq!(encoder.table.live().count(), 1, "x-token only");
}

#[test]
fn a_change_of_size_is_announced_with_the_smallest_on_the_way() {
    let mut encoder = Encoder::new(4_096, Strings::Plain);
    encoder.allow(1 << 20);
    assert!(
        encoded(&mut encoder, &list(&[])).is_empty(),
        "we keep to our own bound"
    );
    encoder.allow(0);
    encoder.allow(100);
    assert_eq!(encoded(&mut encoder, &list(&[])), [0x20, 0x3f, 69]);
    assert!(encoded(&mut encoder, &list(&[])).is_empty());
    let mut small = Encoder::new(10, Strings::Plain);
    assert_eq!(encoded(&mut small, &list(&[])), [0x20 | 10]);
}

/// RFC 7541 appendix C.4.1, but that the authority is not worth an entry at first sight.
#[test]
fn huffman_strings_are_those_of_the_rfc() {
    let mut encoder = Encoder::new(4_096, Strings::Huffman);
    let block = encoded(&mut encoder, &list(&[(":authority", "www.example.com")]));
    let string = [
        0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    assert_eq!(block[0], 0x01);
    assert_eq!(block[1..], string);
}

fn fields() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    // Few names and few values, so that the table is hit, filled and evicted.
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3),
        prop::collection::vec(any::<u8>(), 0..200),
        (0u8..6).prop_map(|value| vec![value; 20]),
    ];
    prop::collection::vec((0u8..12, value), 0..20)
}

proptest! {
    #[test]
    fn a_decoder_gets_back_what_went_in(
        blocks in prop::collection::vec((fields(), prop::option::of(0usize..400)), 1..40),
        huffman in any::<bool>(),
        bound in 0usize..600,
    ) {
        const NAMES: [&[u8]; 12] = [
            b":path", b":status", b"te", b"cookie", b"authorization", b"x-a", b"x-b", b"",
            b"content-type", b"grpc-timeout", b"x-c-bin", b"x-long-name-that-goes-on-and-on",
        ];
        let strings = if huffman { Strings::Huffman } else { Strings::Plain };
        let mut encoder = Encoder::new(bound, strings);
        let mut decoder = Decoder::new(4_096);
        for (fields, resize) in blocks {
            if let Some(bytes) = resize {
                encoder.allow(bytes);
            }
            let sent: HeaderList = fields
                .iter()
                .map(|(name, value)| FieldRef::new(NAMES[usize::from(*name)], value))
                .collect();
            let block = encoded(&mut encoder, &sent);
            let mut received = HeaderList::new();
            prop_assert_eq!(decoder.decode(&block, &mut received, usize::MAX), Ok(()));
            let pair = |field: FieldRef<'_>| {
                (field.name.to_vec(), field.value.to_vec(), field.sensitivity(), field.meta)
            };
            prop_assert!(received.iter().map(pair).eq(sent.iter().map(pair)));
        }
    }

    #[test]
    fn no_block_is_too_strange(block in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(4_096);
        let mut list = HeaderList::new();
        // Whatever it says, it ends, and what is kept is within the limit.
        let _verdict = decoder.decode(&block, &mut list, 1_000);
        let kept: usize = list.iter().map(|field| field.name.len() + field.value.len() + 32).sum();
        prop_assert!(kept <= 1_000);
    }
}
