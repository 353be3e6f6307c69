//! From an undecoded answer to the observation that is compared.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use cutover_compare::{Message, Observation};
use http::HeaderMap;

use super::Answer;
use crate::grpc;

/// `-bin` metadata comes padded or unpadded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads an answer. A body that doesn't end with a whole message gets its rest as one more
/// message, which then differs or doesn't decode.
pub(crate) fn observation(answer: &Answer) -> Observation {
    let end = match answer.trailers.contains_key(grpc::STATUS) {
        true => &answer.trailers,
        false => &answer.headers,
    };
    let (mut messages, rest) = grpc::messages(&answer.chunks);
    if rest > 0 {
        let last = answer.chunks.last().cloned().unwrap_or_default();
        let tail = last.slice(last.len().saturating_sub(rest)..);
        messages.push(Message {
            compressed: false,
            bytes: tail,
        });
    }
    Observation {
        status: answer.status,
        status_message: text(end, grpc::MESSAGE)
            .map(|raw| {
                percent_encoding::percent_decode_str(raw)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .unwrap_or_default(),
        details: text(end, grpc::DETAILS)
            .and_then(|raw| BASE64.decode(raw).ok())
            .map(Bytes::from)
            .unwrap_or_default(),
        trailers: answer.trailers.iter().filter_map(trailer).collect(),
        encoding: text(&answer.headers, grpc::ENCODING).map(str::to_owned),
        messages,
        duration: answer.duration,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn trailer((name, value): (&http::HeaderName, &http::HeaderValue)) -> Option<(String, String)> {
    let name = name.as_str();
    let own = name.starts_with("grpc-") || name.ends_with("-bin");
    if own {
        None
    } else {
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::shared::Budget;

    fn answer(headers: &[(&'static str, &str)], trailers: &[(&'static str, &str)]) -> Answer {
        let map = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_str(v).unwrap()))
                .collect()
        };
        Answer {
            status: 3,
            headers: map(headers),
            trailers: map(trailers),
            chunks: vec![Bytes::from_static(b"\0\0\0\0\x01a\0\0")],
            _taken: Budget::new(0).empty(),
            overflow: false,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn reads_status_message_and_details_from_trailers() {
        let seen = observation(&answer(
            &[("grpc-encoding", "gzip")],
            &[
                ("grpc-status", "3"),
                ("grpc-message", "caf%C3%A9"),
                ("grpc-status-details-bin", "AQI"),
                ("x-cost", "7"),
            ],
        ));
        assert_eq!(seen.status_message, "café");
        assert_eq!(&seen.details[..], [1, 2]);
        assert_eq!(seen.trailers, [("x-cost".to_owned(), "7".to_owned())]);
        assert_eq!(seen.encoding.as_deref(), Some("gzip"));
    }

    #[test]
    fn reads_them_from_the_headers_of_a_trailers_only_answer() {
        let seen = observation(&answer(
            &[
                ("grpc-status", "3"),
                ("grpc-message", "no"),
                ("grpc-status-details-bin", "AQI="),
            ],
            &[],
        ));
        assert_eq!(
            (seen.status_message.as_str(), &seen.details[..]),
            ("no", &[1u8, 2][..])
        );
    }

    #[test]
    fn a_truncated_body_shows_as_one_more_message() {
        let seen = observation(&answer(&[], &[]));
        assert_eq!(seen.messages.len(), 2);
        assert_eq!(&seen.messages[1].bytes[..], b"\0\0");
    }
}
