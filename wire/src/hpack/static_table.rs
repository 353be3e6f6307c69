//! The static table (RFC 7541 appendix A), and the hash by which fields are found in any table.
//! The index over it is computed by the compiler.

const NAMES: usize = 61;

/// Names and values, in the RFC's order; index 1 comes first.
pub(crate) const FIELDS: [(&[u8], &[u8]); NAMES] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Slots of the index over the names; a power of two, sparse enough for short probes.
const SLOTS: usize = 256;
const NAME_INDEX: [u8; SLOTS] = name_index();
/// What is known of each field, in the same order.
pub(crate) static METAS: [crate::headers::Meta; NAMES] = metas();

/// The field at `index`, which counts from 1.
pub(crate) fn get(index: usize) -> Option<(&'static [u8], &'static [u8], crate::headers::Meta)> {
    let place = index.checked_sub(1)?;
    let (name, value) = *FIELDS.get(place)?;
    Some((name, value, *METAS.get(place)?))
}

/// A quick hash that is not secret: what looks it up compares bytes and probes a bounded table, so
/// a sender who makes collisions wins nothing.
pub(crate) const fn hash(seed: u32, bytes: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (seed as u64) ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk::<8>() {
        state = (state.rotate_left(29) ^ u64::from_le_bytes(*eight)).wrapping_mul(FACTOR);
        rest = tail;
    }
    if let Some((four, tail)) = rest.split_first_chunk::<4>() {
        state = (state.rotate_left(29) ^ u32::from_le_bytes(*four) as u64).wrapping_mul(FACTOR);
        rest = tail;
    }
    while let [first, tail @ ..] = rest {
        state = (state.rotate_left(29) ^ *first as u64).wrapping_mul(FACTOR);
        rest = tail;
    }
    (state >> 32) as u32
}

/// The first entry of this name, or 0.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "masked by SLOTS"
)]
pub(crate) const fn find_name(name: &[u8], name_hash: u32) -> u8 {
    let mut slot = name_hash as usize % SLOTS;
    while NAME_INDEX[slot] != 0 {
        let index = NAME_INDEX[slot];
        if equal(FIELDS[index as usize - 1].0, name) {
            return index;
        }
        slot = (slot + 1) % SLOTS;
    }
    0
}

/// The entry of this value among those of the name that begins at `name`, or 0.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "bounded by NAMES"
)]
pub(crate) const fn find_value(name: u8, value: &[u8]) -> u8 {
    if name == 0 {
        return 0;
    }
    let first = name as usize - 1;
    let mut place = first;
    // Entries of one name stand together; the names are literals, so their addresses may not tell.
    while place < NAMES && (place == first || equal(FIELDS[place].0, FIELDS[first].0)) {
        if equal(FIELDS[place].1, value) {
            return place as u8 + 1;
        }
        place += 1;
    }
    0
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "compile time"
)]
const fn name_index() -> [u8; SLOTS] {
    let mut index = [0u8; SLOTS];
    let mut place = 0;
    while place < NAMES {
        if place == 0 || !equal(FIELDS[place].0, FIELDS[place - 1].0) {
            let mut slot = hash(0, FIELDS[place].0) as usize % SLOTS;
            while index[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            index[slot] = place as u8 + 1;
        }
        place += 1;
    }
    index
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "compile time"
)]
const fn metas() -> [crate::headers::Meta; NAMES] {
    let mut metas = [crate::headers::Meta::of(FIELDS[0].0, FIELDS[0].1); NAMES];
    let mut place = 0;
    while place < NAMES {
        metas[place] = crate::headers::Meta::of(FIELDS[place].0, FIELDS[place].1);
        place += 1;
    }
    metas
}

/// Equality that works at compile time too.
const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (mut left, mut right) = (left, right);
    while let ([a, left_tail @ ..], [b, right_tail @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        left = left_tail;
        right = right_tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_name_and_by_field() {
        for (place, (name, value)) in FIELDS.iter().enumerate() {
            let first = find_name(name, hash(0, name));
            assert_eq!(FIELDS[usize::from(first) - 1].0, *name);
            assert_eq!(usize::from(find_value(first, value)), place + 1);
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(find_name(b"grpc-status", hash(0, b"grpc-status")), 0);
        assert_eq!(find_value(2, b"PUT"), 0);
        assert!(get(0).is_none() && get(62).is_none());
    }
}
