//! The normal form of a text, by which names are compared.
//!
//! Reordering by combining class cannot show, since every mark that could be reordered is dropped,
//! so the form is a map of single code points and needs no buffers. Properties are Unicode 14's,
//! as in Python 3.11: a younger code point stands for itself.

use caseless::Caseless;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

/// A text in normal form: NFKD, marks dropped, case folded, both once more, white space collapsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalForm(String);

impl NormalForm {
    /// The normal form of `text`.
    pub fn of(text: &str) -> Self {
        let mut form = String::with_capacity(text.len());
        push_normal_form(text, &mut form);
        Self(form)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length in code points.
    pub fn chars(&self) -> usize {
        self.0.chars().count()
    }
}

/// Appends the normal form of `text` to `form`, which must be empty.
pub fn push_normal_form(text: &str, form: &mut String) {
    debug_assert!(
        form.is_empty(),
        "white space at the start is found by the form being empty"
    );
    let mut sink = Sink { form, space: false };
    for code_point in text.chars() {
        if code_point.is_ascii() {
            sink.push(code_point.to_ascii_lowercase());
        } else if is_younger(code_point) {
            sink.push(code_point);
        } else {
            each_unmarked(code_point, |base| {
                for folded in std::iter::once(base).default_case_fold() {
                    each_unmarked(folded, |last| sink.push(last));
                }
            });
        }
    }
}

/// Where code points go: it collapses white space.
struct Sink<'a> {
    form: &'a mut String,
    space: bool,
}

impl Sink<'_> {
    fn push(&mut self, code_point: char) {
        if matches!(code_point, '\t'..='\r' | ' ') {
            self.space = !self.form.is_empty();
            return;
        }
        if self.space {
            self.form.push(' ');
            self.space = false;
        }
        self.form.push(code_point);
    }
}

/// The code points of the compatibility decomposition whose combining class is 0.
fn each_unmarked(code_point: char, mut each: impl FnMut(char)) {
    decompose_compatible(code_point, |part| {
        if canonical_combining_class(part) == 0 {
            each(part);
        }
    });
}

/// Whether a code point is in a run that Unicode 14 had not assigned and that now has
/// decompositions, combining classes or case foldings.
fn is_younger(code_point: char) -> bool {
    let code_point = u32::from(code_point);
    let after = YOUNGER.partition_point(|&(first, _)| first <= code_point);
    after > 0 && code_point <= YOUNGER[after - 1].1
}

/// First and last code points of the runs that [`is_younger`] is about.
const YOUNGER: &[(u32, u32)] = &[
    (0x558, 0x558),
    (0x58B, 0x58C),
    (0x5C8, 0x5C9),
    (0x897, 0x897),
    (0x1ACF, 0x1AF0),
    (0x1C89, 0x1C89),
    (0x209D, 0x209F),
    (0xA7CB, 0xA7CC),
    (0xA7DA, 0xA7F1),
    (0x105C9, 0x105E4),
    (0x107BB, 0x107BF),
    (0x10D50, 0x10D6D),
    (0x10ECB, 0x10EFF),
    (0x11383, 0x113D0),
    (0x11F41, 0x11F42),
    (0x16121, 0x1612F),
    (0x16D68, 0x16D6A),
    (0x1B123, 0x1B126),
    (0x1CCD6, 0x1CCF9),
    (0x1D127, 0x1D128),
    (0x1D250, 0x1D281),
    (0x1D6A6, 0x1D6A6),
    (0x1DF95, 0x1DFFF),
    (0x1E030, 0x1E08F),
    (0x1E4EC, 0x1E6F5),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(NormalForm::of(text).as_str(), expected, "{text:?}");
    }

    #[test]
    fn folds_case_fully() {
        check("STRASSE", "strasse");
        check("Straße", "strasse");
        check("ΣΊΣΥΦΟΣ", "σισυφοσ");
        check("σίσυφος", "σισυφοσ");
        check("İstanbul", "istanbul");
        check("\u{AB70}", "\u{13A0}");
    }

    #[test]
    fn decomposes_and_drops_marks() {
        check("São Tomé", "sao tome");
        check("\u{FB01}ne Å", "fine a");
        check("Hà Nội", "ha noi");
        check("각", "\u{1100}\u{1161}\u{11A8}");
    }

    #[test]
    fn collapses_white_space_of_any_origin_but_no_other_separators() {
        check("\t a \u{A0}\u{3000}\r\n b ", "a b");
        check(" \u{301}\t", "");
        check("a\u{1C}b\u{85}c", "a\u{1C}b\u{85}c");
    }

    #[test]
    fn knows_no_property_younger_than_unicode_14() {
        check("\u{1C89}", "\u{1C89}");
        check("\u{A7CB}", "\u{A7CB}");
    }

    /// The checksum is that of Python 3.11's `unicodedata` and `str.casefold` for the same texts.
    #[test]
    fn agrees_with_python_on_every_code_point() {
        let mut fnv1a: u64 = 0xCBF2_9CE4_8422_2325;
        for code_point in '\0'..=char::MAX {
            let form = NormalForm::of(&format!("a{code_point}b"));
            for byte in form.as_str().bytes().chain([b'\n']) {
                fnv1a = (fnv1a ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
            }
        }
        assert_eq!(fnv1a, 0xE5A8_3B29_9E69_35B2);
    }

    proptest! {
        #[test]
        fn is_its_own_normal_form(text in any::<String>()) {
            let form = NormalForm::of(&text);
            prop_assert_eq!(&NormalForm::of(form.as_str()), &form);
        }

        #[test]
        fn ignores_ascii_case_and_outer_space(text in any::<String>()) {
            let form = NormalForm::of(&text);
            prop_assert_eq!(&NormalForm::of(&format!(" {}\t", text.to_ascii_uppercase())), &form);
        }
    }
}
