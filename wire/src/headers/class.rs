//! What is known of a field by itself: hashes, class, secrecy, place in the static table. It is
//! computed once, where a literal is read, and travels with the field through tables and lists.

use crate::hpack::static_table;

/// Whether every byte is in a set; a macro because closures cannot be called in `const fn`. It
/// looks at every byte in any case, so the compiler may look at many at once.
macro_rules! all {
    ($bytes:expr, $set:pat) => {{
        let mut rest = $bytes;
        let mut whole = true;
        while let [first, tail @ ..] = rest {
            whole &= matches!(*first, $set);
            rest = tail;
        }
        whole
    }};
}

/// Whether a field may enter HPACK tables.
///
/// `authorization`, `proxy-authorization`, `cookie`, `set-cookie` and whatever a sender marked as
/// never indexed (RFC 7541 section 6.2.3) are secret, and go on as never indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// The field may be indexed.
    Plain,
    /// The field is not worth a place in a table.
    Passing,
    /// The field is written out each time, and marked so.
    Secret,
}

/// What a field is by its name to the rules of messages (RFC 9113 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    PseudoUnknown,
    Regular,
    ContentLength,
    /// Connection-specific, but allowed with the value `trailers` (section 8.2.2).
    Te,
    /// Speaks of the connection only, and is forbidden (section 8.2.2).
    Connection,
    BadName,
}

/// Whether a field's value can be, given its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Fine,
    Wrong,
}

/// What is known of one field. Its hashes find it in an encoder's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) name_len: u32,
    pub(crate) value_len: u32,
    pub(crate) name_hash: u32,
    pub(crate) hash: u32,
    pub(crate) class: Class,
    pub(crate) value: Value,
    pub(crate) sensitivity: Sensitivity,
    /// The static table's first entry of this name, or 0.
    pub(crate) static_name: u8,
    /// The static table's entry of this name and value, or 0.
    pub(crate) static_field: u8,
}

impl Meta {
    /// Everything, from the bytes.
    pub(crate) const fn of(name: &[u8], value: &[u8]) -> Self {
        let name_hash = static_table::hash(0, name);
        Self {
            name_len: name.len() as u32,
            value_len: 0,
            name_hash,
            hash: 0,
            class: class(name),
            value: Value::Fine,
            sensitivity: secrecy(name),
            static_name: static_table::find_name(name, name_hash),
            static_field: 0,
        }
        .with_value(value)
    }

    /// The same name with another value: nothing of the name is looked at.
    pub(crate) const fn with_value(self, value: &[u8]) -> Self {
        Self {
            value_len: value.len() as u32,
            hash: static_table::hash(self.name_hash, value),
            value: judge(self.class, value),
            static_field: static_table::find_value(self.static_name, value),
            ..self
        }
    }

    /// What a field needs that no table is asked for: hashes and the value's verdict are left out,
    /// because it is sent, never looked up nor received.
    pub(crate) const fn passing(name: &[u8], value: &[u8]) -> Self {
        Self {
            name_len: name.len() as u32,
            value_len: value.len() as u32,
            name_hash: 0,
            hash: 0,
            class: Class::Regular,
            value: Value::Fine,
            sensitivity: Sensitivity::Passing,
            static_name: 0,
            static_field: 0,
        }
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.sensitivity = Sensitivity::Secret;
        self
    }

    /// Bytes of name and value.
    pub(crate) fn len(self) -> usize {
        (self.name_len as usize).saturating_add(self.value_len as usize)
    }
}

/// Whether a field of this name is a secret whatever its sender says.
const fn secrecy(name: &[u8]) -> Sensitivity {
    match name {
        b"authorization" | b"cookie" | b"set-cookie" | b"proxy-authorization" => {
            Sensitivity::Secret
        }
        _ => Sensitivity::Plain,
    }
}

const fn class(name: &[u8]) -> Class {
    match name {
        b":method" => Class::Method,
        b":scheme" => Class::Scheme,
        b":authority" => Class::Authority,
        b":path" => Class::Path,
        b":status" => Class::Status,
        [b':', ..] => Class::PseudoUnknown,
        b"content-length" => Class::ContentLength,
        b"te" => Class::Te,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Class::Connection
        }
        [] => Class::BadName,
        _ if all!(
            name,
            b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
                | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) =>
        {
            Class::Regular
        }
        _ => Class::BadName,
    }
}

/// A value's own faults. Spaces around a value are let through, other than RFC 9113 section 8.2.1
/// has it: gRPC allows them, and without a relay both arms would see them.
const fn judge(class: Class, value: &[u8]) -> Value {
    let fine = match class {
        Class::Method | Class::Scheme => !value.is_empty() && all!(value, 0x21..=0x7e),
        Class::Path => matches!(value, [b'/' | b'*', ..]) && all!(value, 0x21..=0x7e),
        Class::Authority => all!(value, 0x21..=0x7e),
        Class::Status => matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']),
        Class::Te => matches!(value, b"trailers"),
        Class::ContentLength => !value.is_empty() && value.len() <= 18 && all!(value, b'0'..=b'9'),
        Class::Regular => all!(value, 0x01..=0x09 | 0x0b | 0x0c | 0x0e..=0xff),
        Class::PseudoUnknown | Class::Connection | Class::BadName => false,
    };
    if fine { Value::Fine } else { Value::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str, class: Class, verdict: Value) {
        let meta = Meta::of(name.as_bytes(), value.as_bytes());
        assert_eq!(
            (meta.class, meta.value),
            (class, verdict),
            "{name}: {value:?}"
        );
    }

    #[test]
    fn names_have_classes() {
        check(":method", "POST", Class::Method, Value::Fine);
        check(":path", "/a.B/C", Class::Path, Value::Fine);
        check(":status", "200", Class::Status, Value::Fine);
        check(":protocol", "x", Class::PseudoUnknown, Value::Wrong);
        check("grpc-timeout", "1S", Class::Regular, Value::Fine);
        check("Grpc-timeout", "1S", Class::BadName, Value::Wrong);
        check("", "1S", Class::BadName, Value::Wrong);
        check("a b", "1S", Class::BadName, Value::Wrong);
        check("connection", "close", Class::Connection, Value::Wrong);
    }

    #[test]
    fn values_are_judged_by_class() {
        check("te", "trailers", Class::Te, Value::Fine);
        check("te", "gzip", Class::Te, Value::Wrong);
        check("connection", "trailers", Class::Connection, Value::Wrong);
        check(":path", "", Class::Path, Value::Wrong);
        check(":path", "a", Class::Path, Value::Wrong);
        check(":path", "/a b", Class::Path, Value::Wrong);
        check(":status", "20", Class::Status, Value::Wrong);
        check("x", "a\r\nb", Class::Regular, Value::Wrong);
        check("x", "a\0", Class::Regular, Value::Wrong);
        check("x", " a\t", Class::Regular, Value::Fine);
        check("content-length", "12", Class::ContentLength, Value::Fine);
        check("content-length", "-1", Class::ContentLength, Value::Wrong);
    }

    #[test]
    fn another_value_gives_the_same_as_computing_anew() {
        for (name, first, second) in [
            ("te", "trailers", "gzip"),
            (":status", "abc", "200"),
            ("x-a", "\n", "b"),
        ] {
            let meta = Meta::of(name.as_bytes(), first.as_bytes());
            let anew = Meta::of(name.as_bytes(), second.as_bytes());
            assert_eq!(meta.with_value(second.as_bytes()), anew);
        }
    }

    #[test]
    fn secrets_are_known_by_name() {
        assert_eq!(Meta::of(b"cookie", b"a").sensitivity, Sensitivity::Secret);
        assert_eq!(Meta::of(b"cookies", b"a").sensitivity, Sensitivity::Plain);
    }
}
