//! Integers with a prefix (RFC 7541 section 5.1).

use crate::error::Rule;

/// Above this no integer is read: lengths and indices end far below it.
const MAX: u32 = 1 << 28;

/// Reads on after the first byte, of which the low `bits` are the prefix.
pub(crate) fn decode(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, Rule> {
    let mask = 0xffu8 >> 8u32.saturating_sub(bits);
    let prefix = first & mask;
    if prefix < mask {
        return Ok(usize::from(prefix));
    }
    let mut value = u32::from(mask);
    for shift in [0u32, 7, 14, 21, 28] {
        let (byte, tail) = rest.split_first().ok_or(Rule::HpackTruncated)?;
        *rest = tail;
        let part = u64::from(byte & 0x7f) << shift;
        let sum = u64::from(value).saturating_add(part);
        value = u32::try_from(sum)
            .ok()
            .filter(|sum| *sum <= MAX)
            .ok_or(Rule::HpackInteger)?;
        if byte & 0x80 == 0 {
            return Ok(value as usize);
        }
    }
    Err(Rule::HpackInteger)
}

/// Writes `value` with a prefix of `bits` below the bits set in `pattern`.
pub(crate) fn encode(out: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let mask = 0xffu8 >> 8u32.saturating_sub(bits);
    match u8::try_from(value) {
        Ok(small) if small < mask => out.push(pattern | small),
        _ => {
            out.push(pattern | mask);
            let mut rest = value.saturating_sub(usize::from(mask));
            while rest >= 0x80 {
                out.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bits: u32, value: usize, bytes: &[u8]) {
        let mut out = Vec::new();
        encode(&mut out, 0, bits, value);
        assert_eq!(out, bytes);
        let (first, mut rest) = bytes.split_first().unwrap();
        assert_eq!(decode(*first, bits, &mut rest), Ok(value));
        assert!(rest.is_empty());
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn examples_of_the_rfc() {
        check(5, 10, &[0x0a]);
        check(5, 1337, &[0x1f, 0x9a, 0x0a]);
        check(8, 42, &[0x2a]);
    }

    #[test]
    fn the_edge_of_the_prefix() {
        check(7, 126, &[0x7e]);
        check(7, 127, &[0x7f, 0]);
        check(4, 15, &[0x0f, 0]);
        check(7, 1 << 28, &[0x7f, 0x81, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn too_large_or_cut_off_breaks_a_rule() {
        let fail = |mut rest: &[u8]| decode(0x7f, 7, &mut rest).unwrap_err();
        assert_eq!(fail(&[0xff, 0xff, 0xff, 0xff, 0xff]), Rule::HpackInteger);
        assert_eq!(fail(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), Rule::HpackInteger);
        assert_eq!(fail(&[0x82, 0xff, 0xff, 0x7f, 0]), Rule::HpackInteger);
        assert_eq!(fail(&[0x80]), Rule::HpackTruncated);
    }
}
