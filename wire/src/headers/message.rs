//! The rules of messages (RFC 9113 section 8): which fields a request, a response or trailers may
//! and must have.

use super::{Class, HeaderList};
use crate::error::Rule;
use crate::headers::class::Value;

/// What a header list is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request,
    Response,
    Trailers,
}

/// What a list that keeps the rules says of the message it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The bytes of DATA that content-length announces.
    pub(crate) content_length: Option<u64>,
    /// A status of 1xx: another response follows.
    pub(crate) interim: bool,
    /// A response that has no content whatever its content-length says: 204 and 304.
    pub(crate) no_content: bool,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
const STATUS: u8 = 16;

/// Checks the list; one pass, no look at bytes but for CONNECT, status and content-length.
pub(crate) fn check(list: &HeaderList, message: Message) -> Result<Shape, Rule> {
    let mut shape = Shape::default();
    let mut seen = 0u8;
    let mut regular = false;
    let mut connect = false;
    for (position, meta) in list.metas().enumerate() {
        let pseudo = match meta.class {
            Class::Regular if meta.value == Value::Fine => {
                regular = true;
                continue;
            }
            Class::Method => METHOD,
            Class::Scheme => SCHEME,
            Class::Authority => AUTHORITY,
            Class::Path => PATH,
            Class::Status => STATUS,
            Class::PseudoUnknown => return Err(Rule::PseudoUnknown),
            Class::BadName => return Err(Rule::FieldName),
            Class::Connection => return Err(Rule::ConnectionField),
            Class::Te if meta.value == Value::Wrong => return Err(Rule::ConnectionField),
            Class::Regular | Class::ContentLength if meta.value == Value::Wrong => {
                return Err(Rule::FieldValue);
            }
            Class::ContentLength => {
                let length = number(list.value_at(position));
                if shape
                    .content_length
                    .replace(length)
                    .is_some_and(|other| other != length)
                {
                    return Err(Rule::ContentLength);
                }
                regular = true;
                continue;
            }
            Class::Te | Class::Regular => {
                regular = true;
                continue;
            }
        };
        let allowed = match message {
            Message::Request => METHOD | SCHEME | AUTHORITY | PATH,
            Message::Response => STATUS,
            Message::Trailers => 0,
        };
        if pseudo & allowed == 0 {
            return Err(Rule::PseudoUnknown);
        }
        if seen & pseudo != 0 {
            return Err(Rule::PseudoRepeated);
        }
        if regular {
            return Err(Rule::PseudoLate);
        }
        if meta.value == Value::Wrong {
            return Err(Rule::PseudoValue);
        }
        seen |= pseudo;
        match pseudo {
            METHOD => connect = list.value_at(position) == b"CONNECT",
            STATUS => {
                let status = list.value_at(position);
                shape.interim = status.first() == Some(&b'1');
                shape.no_content = matches!(status, b"204" | b"304");
            }
            _ => {}
        }
    }
    let (needed, forbidden) = match message {
        Message::Request if connect => (METHOD | AUTHORITY, SCHEME | PATH),
        Message::Request => (METHOD | SCHEME | PATH, 0),
        Message::Response => (STATUS, 0),
        Message::Trailers => (0, 0),
    };
    if seen & needed != needed {
        return Err(Rule::PseudoMissing);
    }
    if seen & forbidden != 0 {
        return Err(Rule::PseudoUnknown);
    }
    Ok(shape)
}

/// The number that a content-length of at most 18 digits gives.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = ":method=POST :scheme=http :path=/a";

    fn list(fields: &str) -> HeaderList {
        let mut list = HeaderList::new();
        for field in fields.split_whitespace() {
            let (name, value) = field.split_once('=').unwrap();
            list.push(name.as_bytes(), value.as_bytes());
        }
        list
    }

    #[track_caller]
    fn check_request(more: &str, expected: Result<Shape, Rule>) {
        assert_eq!(
            check(&list(&format!("{POST} {more}")), Message::Request),
            expected,
            "{more}"
        );
    }

    #[test]
    fn a_request_keeps_the_rules() {
        check_request("", Ok(Shape::default()));
        check_request(":authority=a te=trailers x-a=1", Ok(Shape::default()));
        let shape = Shape {
            content_length: Some(12),
            ..Shape::default()
        };
        check_request("content-length=12 content-length=12", Ok(shape));
    }

    #[test]
    fn a_request_breaks_a_rule() {
        check_request(":path=/b", Err(Rule::PseudoRepeated));
        check_request("x-a=1 :authority=b", Err(Rule::PseudoLate));
        check_request(":status=200", Err(Rule::PseudoUnknown));
        check_request(":protocol=websocket", Err(Rule::PseudoUnknown));
        check_request("te=gzip", Err(Rule::ConnectionField));
        check_request("connection=close", Err(Rule::ConnectionField));
        check_request("X-A=1", Err(Rule::FieldName));
        check_request(
            "content-length=1 content-length=2",
            Err(Rule::ContentLength),
        );
        check_request("content-length=x", Err(Rule::FieldValue));
        let missing = Err(Rule::PseudoMissing);
        assert_eq!(
            check(&list(":method=GET :scheme=http"), Message::Request),
            missing
        );
        assert_eq!(check(&list(":method=CONNECT"), Message::Request), missing);
        assert!(check(&list(":method=CONNECT :authority=a:1"), Message::Request).is_ok());
    }

    #[test]
    fn responses_and_trailers_have_their_own() {
        let interim = check(&list(":status=103"), Message::Response).unwrap();
        assert!(interim.interim);
        assert!(
            check(&list(":status=304"), Message::Response)
                .unwrap()
                .no_content
        );
        assert_eq!(
            check(&list("x=1"), Message::Response),
            Err(Rule::PseudoMissing)
        );
        assert_eq!(
            check(&list(POST), Message::Response),
            Err(Rule::PseudoUnknown)
        );
        assert!(check(&list("grpc-status=0"), Message::Trailers).is_ok());
        assert_eq!(
            check(&list(":status=200"), Message::Trailers),
            Err(Rule::PseudoUnknown)
        );
    }
}
