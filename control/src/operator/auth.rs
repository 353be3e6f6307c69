//! The operator's token: compared in constant time, asked of gRPC and of `/api`.

use sha2::{Digest, Sha256};

/// Shortest token that is taken, characters.
const SHORTEST: usize = 16;

/// What operators have to send as `authorization: Bearer TOKEN`. Only its hash is kept, and never
/// shown.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    /// From the environment's value; `None` where it can't be a token.
    pub(crate) fn new(text: &str) -> Option<Token> {
        let fits = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Token(Sha256::digest(text).into()))
    }

    /// Whether a header names the token. Takes the same time wherever two tokens differ: hashes
    /// are compared, and all of their bytes.
    pub(crate) fn allows(&self, headers: &http::HeaderMap) -> bool {
        let mut given = headers.get_all(http::header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(7) else {
            return false;
        };
        let hash: [u8; 32] = Sha256::digest(token).into();
        let different = hash.iter().zip(self.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        scheme.eq_ignore_ascii_case(b"bearer ") && different == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_allowed() {
        let token = Token::new("0123456789abcdef").unwrap();
        let check = |header: &str, expected| {
            let value = http::HeaderValue::from_str(header).unwrap();
            let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            assert_eq!(token.allows(&headers), expected, "{header}");
        };
        check("Bearer 0123456789abcdef", true);
        check("bearer 0123456789abcdef", true);
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Basic 0123456789abcdef",
        ] {
            check(bad, false);
        }
        assert!(!token.allows(&http::HeaderMap::new()));
    }

    #[test]
    fn a_short_or_invisible_token_is_no_token() {
        for bad in ["", "short", "0123456789abcde\n", "0123 56789abcdef"] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }
}
