//! The words of the gazetteer as types: a value that exists is valid.

use super::sphere::Position;

/// GeoNames' id of a place, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(i64);

impl PlaceId {
    /// `None` unless `id` is positive.
    pub fn new(id: i64) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The id as a number.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// An ISO 3166-1 alpha-2 code: two upper-case ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// `None` unless `code` is two upper-case ASCII letters.
    pub fn new(code: &str) -> Option<Self> {
        match *code.as_bytes() {
            [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
                Some(Self([first, second]))
            }
            _ => None,
        }
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters are UTF-8")
    }
}

/// A populated place, with borrowed or owned texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<T = String> {
    /// GeoNames' id.
    pub id: PlaceId,
    /// The main name, in its own spelling.
    pub name: T,
    /// The country.
    pub country: CountryCode,
    /// IANA time zone.
    pub timezone: T,
    /// Where it is.
    pub position: Position,
    /// Inhabitants; 0 where unknown.
    pub population: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_id_is_positive() {
        assert_eq!(PlaceId::new(1).map(PlaceId::get), Some(1));
        assert_eq!(PlaceId::new(0), None);
        assert_eq!(PlaceId::new(i64::MIN), None);
    }

    #[test]
    fn a_country_code_is_two_upper_case_ascii_letters() {
        assert_eq!(
            CountryCode::new("AD").as_ref().map(CountryCode::as_str),
            Some("AD")
        );
        for wrong in ["", "A", "ad", "ADD", "A1", "Ä", "ÄÖ"] {
            assert_eq!(CountryCode::new(wrong), None, "{wrong:?}");
        }
    }
}
