//! What gRPC over HTTP/2 asks of a proxy: status codes, time-outs, answers of its own, and the
//! five-byte prefix of messages. Follows the "gRPC over HTTP2" protocol document.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cutover_compare::Message;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

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
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// Trailers that end a call whose headers were sent already.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(STATUS, HeaderValue::from(self.code));
        trailers.insert(MESSAGE, self.message_value());
        trailers
    }

    /// A trailers-only answer.
    pub(crate) fn response<B>(&self, empty: B) -> Response<B> {
        let mut response = Response::new(empty);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(STATUS, HeaderValue::from(self.code));
        headers.insert(MESSAGE, self.message_value());
        response
    }

    fn message_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.message).unwrap_or(HeaderValue::from_static("proxy error"))
    }
}

/// Whether the request's content type says gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
    })
}

/// The answer to what isn't gRPC.
pub(crate) fn unsupported_media_type<B>(empty: B) -> Response<B> {
    let mut response = Response::new(empty);
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

/// The status code in trailers, or in the headers of a trailers-only answer. A value that is no
/// number is UNKNOWN.
pub(crate) fn status(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(STATUS)?.to_str().ok();
    Some(
        value
            .and_then(|text| text.parse().ok())
            .unwrap_or(code::UNKNOWN),
    )
}

/// Reads `grpc-timeout`: at most 8 digits and a unit. `None` where it is absent or odd.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes `grpc-timeout` in the finest unit that fits into 8 digits, never longer than `left`.
pub(crate) fn timeout_value(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let text = if left.as_micros() <= MOST {
        format!("{}u", left.as_micros())
    } else if left.as_millis() <= MOST {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", u128::from(left.as_secs()).min(MOST))
    };
    HeaderValue::from_str(&text).expect("digits and a letter are a valid header value")
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

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )])
    }

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
            assert_eq!(timeout(&with(TIMEOUT, text)), expected, "{text}");
        }
    }

    #[test]
    fn writes_a_timeout_that_is_never_longer() {
        for left in [0, 1, 99_999_999, 100_000_000, 360_000_000_000_000] {
            let left = Duration::from_micros(left);
            let written = timeout_value(left);
            let read = timeout(&with(TIMEOUT, written.to_str().unwrap())).unwrap();
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
    fn only_grpc_content_types_are_grpc() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&with("content-type", text)), expected, "{text}");
        }
    }
}
