//! What gRPC over HTTP/2 asks of a proxy: status codes, time-outs, answers of its own, and the
//! five-byte prefix of messages. Follows the "gRPC over HTTP2" protocol document.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cutover_compare::Message;
use cutover_wire::{ErrorCode, FieldRef, HeaderList};
use http::{HeaderMap, HeaderName, HeaderValue};

/// gRPC status codes that the proxy itself gives or reads.
pub(crate) mod code {
    pub(crate) const CANCELLED: u32 = 1;
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
    pub(crate) const PERMISSION_DENIED: u32 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const INTERNAL: u32 = 13;
    pub(crate) const UNAVAILABLE: u32 = 14;
}

pub(crate) const STATUS: &str = "grpc-status";
pub(crate) const MESSAGE: &str = "grpc-message";
pub(crate) const TIMEOUT: &str = "grpc-timeout";
pub(crate) const DETAILS: &str = "grpc-status-details-bin";
pub(crate) const ENCODING: &str = "grpc-encoding";

/// An error that the proxy answers with. Whose fault it is decides the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u32,
    /// ASCII without `%`, so that it needs no percent encoding.
    pub(crate) message: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: u32, message: impl Into<Cow<'static, str>>) -> Failure {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// A trailers-only answer; without the first two fields, trailers that end a call whose headers
    /// were sent already.
    pub(crate) fn fields(&self) -> HeaderList {
        let mut fields = HeaderList::new();
        fields.push(b":status", b"200");
        fields.push(b"content-type", b"application/grpc");
        fields.push(STATUS.as_bytes(), self.code.to_string().as_bytes());
        fields.push(MESSAGE.as_bytes(), self.message.as_bytes());
        fields
    }

    /// An arm's stream that was reset, as gRPC maps HTTP/2 error codes. NO_ERROR is no success: an
    /// answer without a status isn't whole.
    pub(crate) fn reset(reason: ErrorCode) -> Failure {
        let code = match reason {
            ErrorCode::NO_ERROR => code::UNKNOWN,
            ErrorCode::CANCEL => code::CANCELLED,
            ErrorCode::REFUSED_STREAM => code::UNAVAILABLE,
            ErrorCode::ENHANCE_YOUR_CALM => code::RESOURCE_EXHAUSTED,
            ErrorCode::INADEQUATE_SECURITY => code::PERMISSION_DENIED,
            _ => code::INTERNAL,
        };
        Failure::new(code, format!("the arm reset the stream: {}", reason.name()))
    }
}

/// Whether a content type says gRPC.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
}

/// The status code that `grpc-status` gives. A value that is no number is UNKNOWN.
pub(crate) fn status(value: &[u8]) -> u32 {
    match value {
        [digit @ b'0'..=b'9'] => u32::from(digit - b'0'),
        text => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(code::UNKNOWN),
    }
}

/// What gRPC makes of an HTTP status other than 200; the answer itself passes untouched.
pub(crate) fn http_status(status: &[u8]) -> Option<u32> {
    Some(match status {
        b"200" => return None,
        b"400" => code::INTERNAL,
        b"401" => 16,
        b"403" => code::PERMISSION_DENIED,
        b"404" => 12,
        b"429" | b"502" | b"503" | b"504" => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    })
}

/// Reads `grpc-timeout`: at most 8 digits and a unit. `None` where it is odd.
pub(crate) fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut number = 0u64;
    for digit in digits {
        number = number * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A `grpc-timeout` in the finest unit that fits into 8 digits, never longer than what is left.
#[derive(Clone, Copy)]
pub(crate) struct TimeoutText {
    /// Filled from the end.
    bytes: [u8; 9],
    start: usize,
}

impl TimeoutText {
    pub(crate) fn new(left: Duration) -> TimeoutText {
        const MOST: u64 = 99_999_999;
        let seconds = left.as_secs();
        let micros = seconds
            .saturating_mul(1_000_000)
            .saturating_add(left.subsec_micros().into());
        let (mut number, unit) = if micros <= MOST {
            (micros, b'u')
        } else if micros / 1_000 <= MOST {
            (micros / 1_000, b'm')
        } else {
            (seconds.min(MOST), b'S')
        };
        let mut text = TimeoutText {
            bytes: [unit; 9],
            start: 8,
        };
        loop {
            text.start -= 1;
            text.bytes[text.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return text;
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// A header list as a map, without pseudo-headers.
pub(crate) fn header_map(list: &HeaderList) -> HeaderMap {
    let regular = list.iter().filter(|field| !field.is_pseudo());
    let pair = |field: FieldRef<'_>| {
        let name = HeaderName::from_bytes(field.name).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    };
    let mut map = HeaderMap::with_capacity(list.len());
    regular.filter_map(pair).for_each(|(name, value)| {
        map.append(name, value);
    });
    map
}

/// Splits a body into messages. What is left over when a prefix lies is no message: the count of
/// bytes is returned.
pub(crate) fn messages(chunks: &[Bytes]) -> (Vec<Message>, usize) {
    let mut all = match chunks {
        [one] => one.clone(),
        many => {
            let mut joined = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            many.iter()
                .for_each(|chunk| joined.extend_from_slice(chunk));
            joined.freeze()
        }
    };
    let mut messages = Vec::new();
    while let Some((&flag, rest)) = all.split_first() {
        let Some(length) = rest.first_chunk::<4>() else {
            break;
        };
        let length = u32::from_be_bytes(*length) as usize;
        if rest.len() - 4 < length {
            break;
        }
        messages.push(Message {
            compressed: flag & 1 == 1,
            bytes: all.slice(5..5 + length),
        });
        all = all.slice(5 + length..);
    }
    (messages, all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_timeouts_of_all_units_and_no_odd_ones() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("100000000n", None),
            ("m", None),
            ("", None),
            ("-1S", None),
            ("1.5S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn writes_a_timeout_that_is_never_longer() {
        for left in [0, 1, 99_999_999, 100_000_000, 360_000_000_000_000] {
            let left = Duration::from_micros(left);
            let written = TimeoutText::new(left);
            let read = timeout(written.as_bytes()).unwrap();
            assert!(read <= left, "{left:?} {read:?}");
        }
    }

    #[test]
    fn splits_messages_across_chunks_and_counts_what_is_left_over() {
        let chunks = [
            Bytes::from_static(b"\0\0\0"),
            Bytes::from_static(b"\0\x02hi\x01\0\0\0\0\0\0"),
        ];
        let (messages, rest) = messages(&chunks);
        assert_eq!(messages.len(), 2);
        assert_eq!(
            (&messages[0].bytes[..], messages[0].compressed),
            (&b"hi"[..], false)
        );
        assert_eq!(
            (&messages[1].bytes[..], messages[1].compressed),
            (&b""[..], true)
        );
        assert_eq!(rest, 2);
    }

    #[test]
    fn a_prefix_that_claims_4_gib_allocates_nothing() {
        let (messages, rest) = messages(&[Bytes::from_static(b"\0\xff\xff\xff\xffabc")]);
        assert_eq!((messages.len(), rest), (0, 8));
    }

    #[test]
    fn a_status_that_is_no_number_is_unknown() {
        for (text, expected) in [("0", 0), ("16", 16), ("99", 99), ("", 2), ("OK", 2)] {
            assert_eq!(status(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn only_grpc_content_types_are_grpc() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), expected, "{text}");
        }
    }
}
