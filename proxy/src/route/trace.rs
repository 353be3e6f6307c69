//! Where a call stands in its trace: the caller's W3C context, or a new one; and the proxy's own,
//! which goes on to the arms.

/// Digits and dashes of a `traceparent`.
const TRACEPARENT_BYTES: usize = 55;

/// Where a call stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: [u8; 16],
    /// The caller's span.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// A trace that begins here.
    pub(crate) fn new(trace_id: [u8; 16]) -> TraceContext {
        TraceContext {
            trace_id,
            parent: None,
            sampled: false,
        }
    }

    /// What goes on to an arm under the proxy's own span.
    pub(crate) fn text(&self, span_id: [u8; 8]) -> [u8; TRACEPARENT_BYTES] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let mut write = |at: usize, bytes: &[u8]| {
            for (pair, byte) in text[at..].chunks_exact_mut(2).zip(bytes) {
                pair[0] = DIGITS[usize::from(byte >> 4)];
                pair[1] = DIGITS[usize::from(byte & 15)];
            }
        };
        write(3, &self.trace_id);
        write(36, &span_id);
        write(53, &[u8::from(self.sampled)]);
        text
    }
}

/// Reads a `traceparent`; an invalid one counts as none.
pub(super) fn parse(value: &[u8]) -> Option<TraceContext> {
    let well_formed = value.len() >= TRACEPARENT_BYTES
        && value[2] == b'-'
        && value[35] == b'-'
        && value[52] == b'-'
        && &value[..2] != b"ff"
        && (value.len() == TRACEPARENT_BYTES || (&value[..2] != b"00" && value[55] == b'-'));
    if !well_formed {
        return None;
    }
    let mut trace_id = [0; 16];
    let mut parent = [0; 8];
    let mut flags = [0; 1];
    hex(&value[..2], &mut flags)?;
    hex(&value[3..35], &mut trace_id)?;
    hex(&value[36..52], &mut parent)?;
    hex(&value[53..55], &mut flags)?;
    (trace_id != [0; 16] && parent != [0; 8]).then_some(TraceContext {
        trace_id,
        parent: Some(parent),
        sampled: flags[0] & 1 == 1,
    })
}

/// Lower-case hexadecimal digits only, as the W3C format has it.
fn hex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_trace_goes_on_under_the_proxys_span() {
        let sent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = parse(sent).unwrap();
        assert!(trace.sampled && trace.parent.is_some());
        let expected = b"00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01";
        assert_eq!(&trace.text([1; 8]), expected);
    }

    #[test]
    fn an_invalid_traceparent_is_none() {
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "zz",
            "",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
