//! Protocol Buffers' wire format, walked in place: nothing is copied, and a message of a million
//! empty parts costs no more memory than itself. (Decoding into structures first would make
//! hundreds of megabytes of four.)

/// Groups within groups that are stepped over.
const MOST_GROUPS: u32 = 100;

/// What is not the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Group,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// A message, text or bytes; empty where it is something else, as an unset field is.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()).ok()
    }

    /// A number of 64 bits, however it is written.
    pub(super) fn number(self) -> u64 {
        match self {
            Value::Varint(number) | Value::Fixed64(number) => number,
            _ => 0,
        }
    }
}

/// The fields of a message, in the order in which they stand there. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| Malformed)?;
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            3 => self.group(key >> 3, MOST_GROUPS)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }

    /// Steps over a group up to its end. No message of OTLP has any, but what is unknown is to be
    /// skipped.
    fn group(&mut self, number: u64, deeper: u32) -> Result<Value<'a>, Malformed> {
        loop {
            let mut ahead = *self;
            let key = ahead.varint()?;
            match key & 7 {
                3 => {
                    *self = ahead;
                    self.group(key >> 3, deeper.checked_sub(1).ok_or(Malformed)?)?;
                }
                4 if key >> 3 == number => {
                    *self = ahead;
                    return Ok(Value::Group);
                }
                _ => {
                    self.field()?;
                }
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The messages of a repeated field.
pub(super) fn each(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields(message).filter_map(move |field| match field {
        Ok((found, value)) if found == number => Some(Ok(value.bytes())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// Key and raw value of a `KeyValue`.
pub(super) fn key_value(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(message) {
        match field? {
            (1, of) => key = of.bytes(),
            (2, of) => value = of.bytes(),
            _ => {}
        }
    }
    Ok((key, value))
}

/// An `AnyValue` that is text, a number or a flag, as text. Lists and maps tell the comparison
/// nothing, and are not walked, however deep they are.
pub(super) fn text_of(any_value: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let (number, value) = Fields(any_value).last()?.ok()?;
    Some(match (number, value) {
        (1, value) => value.text()?.into(),
        (2, Value::Varint(flag)) => (flag != 0).to_string().into(),
        (3, Value::Varint(number)) => number.cast_signed().to_string().into(),
        (4, Value::Fixed64(bits)) => f64::from_bits(bits).to_string().into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        Fields(message).collect()
    }

    #[test]
    fn reads_what_the_format_says() {
        let message = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4];
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed32),
        ];
        assert_eq!(read(&message).unwrap(), expected);
        let fixed = [0x39, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&fixed).unwrap(), [(7, Value::Fixed64(1))]);
        assert_eq!(read(&[]).unwrap(), []);
        let group = [0x0b, 0x08, 1, 0x13, 0x14, 0x0c, 0x10, 2];
        let expected = [(1, Value::Group), (2, Value::Varint(2))];
        assert_eq!(read(&group).unwrap(), expected);
    }

    #[test]
    fn refuses_what_it_does_not_say() {
        for message in [
            &[0x08][..],         // no value
            &[0x80; 11],         // a number without an end
            &[0x12, 0x05, b'h'], // shorter than it says
            &[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x39, 1, 0],    // half a number
            &[0x0b, 0x08, 1], // a group without an end
            &[0x0b, 0x14],    // with the end of another one
            &[0x0c],          // an end without a group
            &[0x0b; 200],     // groups within groups
            &[0x00, 0x01],    // field 0
        ] {
            assert_eq!(read(message), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn simple_values_are_text_and_others_are_not() {
        let text = |value: &[u8]| text_of(value).map(std::borrow::Cow::into_owned);
        assert_eq!(text(&[0x0a, 2, b'o', b'k']).as_deref(), Some("ok"));
        assert_eq!(text(&[0x10, 1]).as_deref(), Some("true"));
        let minus_one = [0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(text(&minus_one).as_deref(), Some("-1"));
        assert_eq!(
            text(&[0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]).as_deref(),
            Some("1.5")
        );
        assert_eq!(text(&[0x2a, 0]), None, "a list");
        assert_eq!(text(&[0x0a, 1, 0xff]), None, "not UTF-8");
        assert_eq!(text(&[]), None);
    }
}
