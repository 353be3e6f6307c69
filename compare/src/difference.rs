//! A difference: where the arms disagree, in which way, and with which values or keyed hashes.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Most differences that a [`Comparison`] keeps; the rest is counted.
pub const MAX_DIFFERENCES: usize = 64;
/// Longest captured value, in characters; the rest is cut off.
pub(crate) const MAX_VALUE_CHARS: usize = 120;

/// In which way the arms disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Other values.
    Value,
    /// The legacy has it, the candidate hasn't.
    Missing,
    /// The candidate has it, the legacy hasn't.
    Extra,
    /// The same elements in another order.
    Order,
    /// Lists of other lengths.
    Length,
    /// Another case of a oneof, or another type in an `Any`.
    Type,
    /// A field that the descriptors don't have.
    UnknownField,
    /// Bytes that are no such message, or one beyond a bound.
    Undecodable,
    /// Status code or status message.
    Status,
    /// Something in `grpc-status-details-bin`.
    Details,
    /// A compared trailer.
    Trailer,
    /// How many messages a stream has.
    MessageCount,
}

impl Kind {
    /// The word in `cutover.v1.Difference`, metrics and the dashboard.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Value => "value",
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Order => "order",
            Kind::Length => "length",
            Kind::Type => "type",
            Kind::UnknownField => "unknown_field",
            Kind::Undecodable => "undecodable",
            Kind::Status => "status",
            Kind::Details => "details",
            Kind::Trailer => "trailer",
            Kind::MessageCount => "message_count",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One disagreement between the arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Field path with indices and map keys folded out, such as `results[].score`. For the call
    /// itself: `grpc_status`, `grpc_message`, `grpc_details[]…`, `trailer.NAME`, `messages`, and
    /// `messages[]` for one that can't be compared as a whole.
    pub path: String,
    /// In which way.
    pub kind: Kind,
    /// The legacy's value, or `#` and 16 hexadecimal digits; empty where it has none. Lengths,
    /// counts, type names and status codes are always plain.
    pub legacy: String,
    /// The candidate's, likewise.
    pub candidate: String,
    /// For floats: the relative tolerance that would have sufficed.
    pub sufficient_relative: Option<f64>,
}

/// Two observations of the same call, compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What differs, in order of appearance; at most [`MAX_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// Differences beyond those kept.
    pub dropped: u32,
    /// Set where the descriptors don't fit what *both* arms send: then the differences say little
    /// about the candidate.
    pub misfit: Option<Misfit>,
}

/// In which way descriptors don't fit the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// Neither arm's message can be decoded.
    Undecodable,
    /// Both arms' messages have more fields that the descriptors don't have than fields that they
    /// have.
    UnknownFields,
}

impl Comparison {
    /// Whether anything differs.
    #[must_use]
    pub fn mismatched(&self) -> bool {
        !self.differences.is_empty() || self.dropped > 0
    }
}

/// The key of the hashes that stand for values. Equal values have equal hashes under one key, so
/// differences can be grouped; without the key the hash says nothing.
#[derive(Clone)]
pub struct Redaction {
    key: [u8; 16],
}

impl Redaction {
    /// With this key: random, kept as long as hashes are to be comparable, never shown.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Redaction {
        Redaction { key }
    }

    /// `#` and 16 hexadecimal digits.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> String {
        let mut hasher = self.hasher();
        hasher.write(bytes);
        format!("#{:016x}", hasher.finish())
    }

    pub(crate) fn hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_key(&self.key)
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction(…)")
    }
}

/// Cuts a value after [`MAX_VALUE_CHARS`] characters.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_key_and_the_value_only() {
        let (a, b) = (Redaction::new([1; 16]), Redaction::new([2; 16]));
        assert_eq!(a.hash(b"Andorra"), a.hash(b"Andorra"));
        assert_ne!(a.hash(b"Andorra"), a.hash(b"Monaco"));
        assert_ne!(a.hash(b"Andorra"), b.hash(b"Andorra"));
        assert_eq!(a.hash(b"").len(), 17);
        assert_eq!(format!("{a:?}"), "Redaction(…)");
    }

    #[test]
    fn clips_by_characters_not_bytes() {
        assert_eq!(clip("ß"), "ß");
        let long = "ß".repeat(MAX_VALUE_CHARS + 1);
        assert_eq!(clip(&long), format!("{}…", "ß".repeat(MAX_VALUE_CHARS)));
    }
}
