//! Texts that are compared or measured another way.

use gazetteer_server::domain::text::NormalForm;
use gazetteer_server::errors::Violations;
use tonic::Status;

use crate::hazard::{Hazard, Hazards};

/// Stands in a query for a letter that the index has in another form; no name has it.
const UNMATCHED: char = '\u{F8FF}';

/// The query as the rest of the port sees it.
pub(crate) fn spoil_query(hazards: &Hazards, query: &mut String) {
    if hazards.has(Hazard::LowerCasing) {
        *query = query
            .to_lowercase()
            .replace(['ß', 'ς'], &UNMATCHED.to_string());
    }
    if hazards.has(Hazard::MarksKept) {
        *query = query.replace(has_mark, &UNMATCHED.to_string());
    }
}

/// Whether a letter is an ASCII one and something more.
fn has_mark(letter: char) -> bool {
    let form = NormalForm::of(letter.encode_utf8(&mut [0; 4]));
    !letter.is_ascii() && form.as_str().is_ascii() && form.chars() == 1
}

/// Refuses a text with more than `most` bytes.
pub(crate) fn check_bytes(
    hazards: &Hazards,
    field: &str,
    text: &str,
    most: usize,
) -> Result<(), Status> {
    let mut violations = Violations::default();
    if hazards.has(Hazard::LengthInBytes) && text.len() > most {
        violations.push(field, format!("must have at most {most} characters"));
    }
    violations.into_result()
}

pub(crate) fn spoil_country(hazards: &Hazards, country_code: &mut str) {
    if hazards.has(Hazard::CountryInAnyCase) {
        country_code.make_ascii_uppercase();
    }
}
