//! Padding of DATA and HEADERS, and the priority fields that HEADERS may carry (RFC 9113 sections
//! 6.1 and 6.2).

use std::ops::Range;

use super::{Head, PADDED, PRIORITY, be_u32};
use crate::error::{Breach, Rule};

/// Where within a DATA frame's payload its data is.
pub(crate) fn data(head: Head, payload: &[u8]) -> Result<Range<usize>, Breach> {
    if !head.has(PADDED) {
        return Ok(0..payload.len());
    }
    let pad = usize::from(*payload.first().ok_or(Rule::FrameLength)?);
    let end = payload.len().checked_sub(pad).ok_or(Rule::Padding)?;
    if end < 1 {
        return Err(Rule::Padding.into());
    }
    Ok(1..end)
}

/// The header block fragment within a HEADERS frame's payload. A stream that depends on itself is
/// told by the second value: its block must still be decoded before the stream is reset.
pub(crate) fn headers(head: Head, payload: &[u8]) -> Result<(&[u8], Option<Rule>), Breach> {
    let range = data(head, payload)?;
    let fragment = payload.get(range).unwrap_or_default();
    if !head.has(PRIORITY) {
        return Ok((fragment, None));
    }
    let (fields, rest) = fragment.split_at_checked(5).ok_or(Rule::FrameLength)?;
    Ok((rest, depends_on_itself(head, fields)))
}

/// The rule that a PRIORITY payload breaks when its stream depends on itself.
pub(crate) fn depends_on_itself(head: Head, fields: &[u8]) -> Option<Rule> {
    let parent = be_u32(fields)? & 0x7fff_ffff;
    (parent == head.stream).then_some(Rule::SelfDependency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameKind;

    fn head(flags: u8) -> Head {
        Head::new(FrameKind::DATA, flags, 3, 0)
    }

    #[test]
    fn padding_is_cut_off() {
        assert_eq!(data(head(PADDED), &[2, b'a', b'b', 0, 0]), Ok(1..3));
        assert_eq!(data(head(PADDED), &[4, 0, 0, 0, 0]), Ok(1..1));
        assert_eq!(data(head(0), b"ab"), Ok(0..2));
    }

    #[test]
    fn padding_longer_than_the_payload_breaks_a_rule() {
        assert_eq!(
            data(head(PADDED), &[5, 0, 0, 0, 0]),
            Err(Breach::Connection(Rule::Padding))
        );
        assert_eq!(
            data(head(PADDED), &[]),
            Err(Breach::Connection(Rule::FrameLength))
        );
    }

    #[test]
    fn priority_fields_are_cut_off() {
        let payload = [1, 0x80, 0, 0, 1, 16, b'x', 0];
        assert_eq!(
            headers(head(PADDED | PRIORITY), &payload),
            Ok((&b"x"[..], None))
        );
        let own = [0, 0, 0, 3, 16, b'x'];
        assert_eq!(
            headers(head(PRIORITY), &own),
            Ok((&b"x"[..], Some(Rule::SelfDependency)))
        );
        assert!(headers(head(PRIORITY), &own[..4]).is_err());
    }
}
