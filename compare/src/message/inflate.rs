//! Undoes message compression, up to a bound: a small bomb must not fill the memory.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::observation::Message;

/// Largest message that is compared after inflation.
pub(super) const MAX_INFLATED_BYTES: usize = 16 * 1024 * 1024;

/// The message's bytes without compression, or why there are none.
pub(super) fn plain_bytes(message: &Message, encoding: Option<&str>) -> Result<Bytes, String> {
    if !message.compressed {
        return bounded(message.bytes.clone());
    }
    match encoding.unwrap_or("identity") {
        "gzip" => inflate(MultiGzDecoder::new(message.bytes.as_ref())),
        // gRPC's "deflate" is the zlib format (RFC 1950), as in HTTP.
        "deflate" => inflate(ZlibDecoder::new(message.bytes.as_ref())),
        "identity" => Err("compressed, though grpc-encoding names no compression".to_owned()),
        _ => Err("compressed in a way that is not known here".to_owned()),
    }
}

fn inflate(decoder: impl Read) -> Result<Bytes, String> {
    let mut plain = Vec::new();
    let limit = MAX_INFLATED_BYTES as u64 + 1;
    decoder
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| "broken compression".to_owned())?;
    bounded(plain.into())
}

fn bounded(bytes: Bytes) -> Result<Bytes, String> {
    if bytes.len() > MAX_INFLATED_BYTES {
        return Err(format!("larger than {MAX_INFLATED_BYTES} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn compressed(bytes: Vec<u8>) -> Message {
        Message {
            compressed: true,
            bytes: bytes.into(),
        }
    }

    fn gzip(plain: &[u8]) -> Message {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        compressed(encoder.finish().unwrap())
    }

    #[test]
    fn inflates_gzip_and_deflate() {
        assert_eq!(plain_bytes(&gzip(b"abc"), Some("gzip")).unwrap(), "abc");
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"abc").unwrap();
        let message = compressed(encoder.finish().unwrap());
        assert_eq!(plain_bytes(&message, Some("deflate")).unwrap(), "abc");
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let bomb = gzip(&vec![0; MAX_INFLATED_BYTES + 1]);
        assert!(bomb.bytes.len() < 200_000);
        assert!(
            plain_bytes(&bomb, Some("gzip"))
                .unwrap_err()
                .starts_with("larger than")
        );
    }

    #[test]
    fn refuses_broken_and_unknown_compression() {
        let message = compressed(b"not gzip".to_vec());
        for encoding in [
            None,
            Some("identity"),
            Some("gzip"),
            Some("deflate"),
            Some("snappy"),
        ] {
            assert!(plain_bytes(&message, encoding).is_err(), "{encoding:?}");
        }
    }
}
