//! Takes out of two encoded messages what is the same in both, so that it need not be decoded.
//! A field's value follows from the bytes of its own entries, in their order, and from nothing
//! else; only the cases of a oneof push each other out, so they are taken together. Where a field
//! has the same bytes on both sides, its values are equal, and no rule can make them differ.

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::descriptors::Method;

/// Most entries (fields, elements, map entries) of a message that are looked at here; of larger
/// ones everything is decoded.
const MAX_ENTRIES: usize = 4096;

/// An entry of a message: the number that it belongs to, and its bytes with the tag.
type Entry<'m> = (u32, &'m [u8]);

/// Both messages without the fields that have the same bytes in both. What is no message, or has
/// groups, comes back whole.
pub(super) fn without_equal_fields(method: &Method, messages: [Bytes; 2]) -> [Bytes; 2] {
    let [Some(one), Some(other)] = [0, 1].map(|side| entries(method, &messages[side])) else {
        return messages;
    };
    let mut kept = [Vec::new(), Vec::new()];
    let (mut ones, mut others) = (&one[..], &other[..]);
    loop {
        let next = [ones, others].map(|entries| entries.first().map(|(number, _)| *number));
        let Some(number) = next.into_iter().flatten().min() else {
            break;
        };
        let [mine, theirs] = [&mut ones, &mut others].map(|entries| take_all(entries, number));
        if mine != theirs {
            for (side, entries) in [mine, theirs].into_iter().enumerate() {
                entries
                    .iter()
                    .for_each(|(_, bytes)| kept[side].extend_from_slice(bytes));
            }
        }
    }
    kept.map(Bytes::from)
}

/// Splits off the entries of one field.
fn take_all<'e, 'm>(entries: &mut &'e [Entry<'m>], number: u32) -> &'e [Entry<'m>] {
    let end = entries.iter().take_while(|entry| entry.0 == number).count();
    let (taken, rest) = entries.split_at(end);
    *entries = rest;
    taken
}

/// The entries of a message by number, those of one number in the order of the message.
fn entries<'m>(method: &Method, message: &'m [u8]) -> Option<Vec<Entry<'m>>> {
    let mut entries = Vec::with_capacity(32);
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let length = match wire_type {
            WireType::Varint => {
                decode_varint(&mut rest).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        if length > rest.len() || entries.len() == MAX_ENTRIES {
            return None;
        }
        rest.advance(length);
        let bytes = &start[..start.len() - rest.len()];
        entries.push((method.belongs_to(number), bytes));
    }
    if !entries.is_sorted_by_key(|entry| entry.0) {
        entries.sort_by_key(|entry| entry.0);
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::schema::method;

    /// What is left of two messages; the fields of the oneof are 8 (varint) and 9 (text).
    fn check(messages: [&[u8]; 2], left: [&[u8]; 2]) {
        let messages = messages.map(Bytes::copy_from_slice);
        let kept = without_equal_fields(&method(), messages.clone());
        assert_eq!(kept, left.map(Bytes::copy_from_slice), "{messages:?}");
    }

    #[test]
    fn takes_out_equal_fields_wherever_they_stand() {
        check(
            [b"\x08\x05\x1a\x01a", b"\x1a\x01b\x08\x05"],
            [b"\x1a\x01a", b"\x1a\x01b"],
        );
        check([b"\x08\x05", b"\x08\x05"], [b"", b""]);
        check([b"\x08\x05", b""], [b"\x08\x05", b""]);
    }

    #[test]
    fn keeps_a_list_whole_where_one_element_differs() {
        let (one, other) = (b"\x32\x01a\x32\x01b", b"\x32\x01b\x32\x01a");
        check([one, other], [one, other]);
    }

    #[test]
    fn keeps_the_order_in_which_the_cases_of_a_oneof_push_each_other_out() {
        let (number_last, text_last) = (b"\x4a\x01a\x40\x05", b"\x40\x05\x4a\x01a");
        check([number_last, text_last], [number_last, text_last]);
        check([number_last, number_last], [b"", b""]);
    }

    #[test]
    fn leaves_what_is_no_message_to_the_decoder() {
        for broken in [&b"\x0a"[..], b"\x08", b"\x0a\x05a", b"\x0b\x0c", b"\x00"] {
            check([broken, b"\x08\x05"], [broken, b"\x08\x05"]);
        }
    }
}
