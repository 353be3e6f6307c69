use super::*;
use crate::headers::Sensitivity;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Decodes one block of an appendix C example and compares fields and table size.
#[track_caller]
fn check(decoder: &mut Decoder, block: &str, fields: &[(&str, &str)], table_bytes: usize) {
    let mut list = HeaderList::new();
    assert_eq!(decoder.decode(&hex(block), &mut list, 16_384), Ok(()));
    let got: Vec<_> = list
        .iter()
        .map(|field| {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            (text(field.name), text(field.value))
        })
        .collect();
    assert_eq!(got, fields);
    assert_eq!(decoder.table.size(), table_bytes);
}

const FIRST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn appendix_c2_single_fields() {
    let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(
        &mut Decoder::new(4_096),
        literal,
        &[("custom-key", "custom-header")],
        55,
    );
    let plain = "040c 2f73 616d 706c 652f 7061 7468";
    check(
        &mut Decoder::new(4_096),
        plain,
        &[(":path", "/sample/path")],
        0,
    );
    let secret = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    check(
        &mut Decoder::new(4_096),
        secret,
        &[("password", "secret")],
        0,
    );
    check(&mut Decoder::new(4_096), "82", &[(":method", "GET")], 0);
}

#[test]
fn appendix_c3_requests_without_huffman() {
    let mut decoder = Decoder::new(4_096);
    check(
        &mut decoder,
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        FIRST,
        57,
    );
    check(
        &mut decoder,
        "8286 84be 5808 6e6f 2d63 6163 6865",
        SECOND,
        110,
    );
    let third = "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65";
    check(&mut decoder, third, THIRD, 164);
}

#[test]
fn appendix_c4_requests_with_huffman() {
    let mut decoder = Decoder::new(4_096);
    check(
        &mut decoder,
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        FIRST,
        57,
    );
    check(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf", SECOND, 110);
    let third = "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf";
    check(&mut decoder, third, THIRD, 164);
}

const DATE: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn check_responses(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(256);
    let private = ("cache-control", "private");
    let first = [(":status", "302"), private, ("date", DATE), LOCATION];
    check(&mut decoder, blocks[0], &first, 222);
    let second = [(":status", "307"), private, ("date", DATE), LOCATION];
    check(&mut decoder, blocks[1], &second, 222);
    let third = [
        (":status", "200"),
        private,
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        LOCATION,
        ("content-encoding", "gzip"),
        ("set-cookie", COOKIE),
    ];
    check(&mut decoder, blocks[2], &third, 215);
}

#[test]
fn appendix_c5_responses_with_eviction() {
    check_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ]);
}

#[test]
fn appendix_c6_responses_with_huffman_and_eviction() {
    check_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}

#[track_caller]
fn check_broken(block: &str, rule: Rule) {
    let outcome = Decoder::new(4_096).decode(&hex(block), &mut HeaderList::new(), 16_384);
    assert_eq!(outcome, Err(rule), "{block}");
}

#[test]
fn broken_blocks_break_a_rule() {
    check_broken("80", Rule::HpackIndex);
    check_broken("be", Rule::HpackIndex);
    check_broken("7e 01 61", Rule::HpackIndex);
    check_broken("40 01", Rule::HpackTruncated);
    check_broken("40 01 61 05 61", Rule::HpackTruncated);
    check_broken("ff", Rule::HpackTruncated);
    check_broken("ff ff ff ff ff ff", Rule::HpackInteger);
    check_broken("00 01 61 81 00", Rule::HpackHuffman);
    check_broken("3f e2 1f", Rule::HpackResize);
    check_broken("82 20", Rule::HpackResizePlace);
}

#[test]
fn a_list_over_the_limit_is_cut_and_the_table_goes_on() {
    let mut decoder = Decoder::new(4_096);
    let mut list = HeaderList::new();
    // `a: b` into the table, which is then named often, then `c: d` into the table.
    let block = [
        &hex("40 01 61 01 62")[..],
        &[0xbe; 1_000],
        &hex("40 01 63 01 64"),
    ]
    .concat();
    assert_eq!(decoder.decode(&block, &mut list, 340), Ok(()));
    assert_eq!(list.len(), 10);
    assert_eq!(list.size_bytes(), 1_002 * 34);
    list.clear();
    assert_eq!(decoder.decode(&hex("be bf"), &mut list, 340), Ok(()));
    assert_eq!(format!("{list:?}"), "[c: d, a: b]");
}

#[test]
fn what_a_sender_never_indexes_stays_secret() {
    let mut list = HeaderList::new();
    Decoder::new(4_096)
        .decode(&hex("10 01 61 01 62 00 01 61 01 62"), &mut list, 340)
        .unwrap();
    let kinds: Vec<_> = list.iter().map(|field| field.sensitivity()).collect();
    assert_eq!(kinds, [Sensitivity::Secret, Sensitivity::Plain]);
}
