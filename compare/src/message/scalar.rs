//! Single values: when two are equal, and how one is shown.

use std::borrow::Cow;
use std::collections::BTreeSet;

use cutover_manifest::{Normalization, Tolerance};
use prost_reflect::{Kind as FieldKind, Value};

/// Most bytes of a `bytes` field that are shown.
const MAX_SHOWN_BYTES: usize = 48;

/// Two floats compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Floats {
    /// Equal: NaN equals NaN, -0.0 equals 0.0, or within one of the tolerances.
    Equal,
    /// Not equal; with the relative tolerance that would have sufficed, where one would.
    Differ(Option<f64>),
}

/// Compares two floats, with a tolerance where one is given.
pub(super) fn floats(one: f64, other: f64, tolerance: Option<Tolerance>) -> Floats {
    if one == other || (one.is_nan() && other.is_nan()) {
        return Floats::Equal;
    }
    if !one.is_finite() || !other.is_finite() {
        return Floats::Differ(None);
    }
    let (distance, larger) = ((one - other).abs(), one.abs().max(other.abs()));
    let within = |tolerance: Tolerance| {
        distance <= tolerance.absolute || distance <= tolerance.relative * larger
    };
    if tolerance.is_some_and(within) {
        return Floats::Equal;
    }
    // The distance of two huge numbers of opposite sign may overflow; the share can't.
    Floats::Differ(Some((one / larger - other / larger).abs()))
}

/// A float value as `f64`.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_f32().map(f64::from))
}

/// Whether two texts are equal but for their form.
pub(super) fn same_text(one: &str, other: &str, form: &BTreeSet<Normalization>) -> bool {
    normalized(one, form) == normalized(other, form)
}

/// A text without what is no difference.
pub(super) fn normalized<'t>(text: &'t str, form: &BTreeSet<Normalization>) -> Cow<'t, str> {
    let text = match form.contains(&Normalization::Trim) {
        true => text.trim(),
        false => text,
    };
    match form.contains(&Normalization::Case) {
        true => caseless::default_case_fold_str(text).into(),
        false => text.into(),
    }
}

/// A single value as people read it; `None` for messages, lists and maps, which may hold fields
/// that must not be shown.
pub(super) fn show(value: &Value, kind: &FieldKind) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        // Shortest text that reads back as the same float.
        Value::F32(value) => format!("{value:?}"),
        Value::F64(value) => format!("{value:?}"),
        Value::String(value) => value.clone(),
        Value::Bytes(value) => {
            let shown = &value[..value.len().min(MAX_SHOWN_BYTES)];
            shown.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        Value::EnumNumber(number) => match kind.as_enum().and_then(|e| e.get_value(*number)) {
            Some(value) => value.name().to_owned(),
            None => number.to_string(),
        },
        Value::Message(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tolerance(relative: f64, absolute: f64) -> Option<Tolerance> {
        Some(Tolerance { relative, absolute })
    }

    #[test]
    fn floats_are_exact_by_default_but_for_nan_and_zero() {
        assert_eq!(floats(f64::NAN, -f64::NAN, None), Floats::Equal);
        assert_eq!(floats(-0.0, 0.0, None), Floats::Equal);
        assert_eq!(floats(1.0, f64::NAN, None), Floats::Differ(None));
        assert_eq!(
            floats(f64::INFINITY, f64::NEG_INFINITY, None),
            Floats::Differ(None)
        );
        assert!(
            matches!(floats(0.1 + 0.2, 0.3, None), Floats::Differ(Some(share)) if share < 1e-15)
        );
    }

    #[test]
    fn either_bound_of_a_tolerance_suffices() {
        assert_eq!(floats(100.0, 101.0, tolerance(0.01, 0.0)), Floats::Equal);
        assert_eq!(floats(0.0, 1e-9, tolerance(0.0, 1e-6)), Floats::Equal);
        assert!(matches!(
            floats(100.0, 102.0, tolerance(0.01, 0.1)),
            Floats::Differ(Some(_))
        ));
        assert!(
            matches!(floats(1e-9, 0.0, tolerance(0.5, 0.0)), Floats::Differ(Some(share)) if share == 1.0)
        );
        assert!(
            matches!(floats(f64::MAX, f64::MIN, None), Floats::Differ(Some(share)) if share == 2.0)
        );
        assert_eq!(
            floats(f64::INFINITY, 1.0, tolerance(1.0, 1e300)),
            Floats::Differ(None)
        );
    }

    #[test]
    fn texts_are_equal_but_for_the_form_that_is_named() {
        use Normalization::{Case, Trim};
        let check = |form: &[Normalization], one: &str, other: &str, expected: bool| {
            let form = form.iter().copied().collect();
            assert_eq!(same_text(one, other, &form), expected, "{one:?} {other:?}");
        };
        check(&[Case], "Straße", "STRASSE", true);
        check(&[Case], "ΣΊΣΥΦΟΣ", "σίσυφος", true);
        check(&[Case], "İ", "i", false);
        check(&[Case], "é", "e", false);
        check(&[Case], " a", "A", false);
        check(&[Trim], "\u{2003}a\n", "a", true);
        check(&[Trim], "a b", "ab", false);
        check(&[Trim], "a", "A", false);
        check(&[Case, Trim], " a", "A ", true);
    }
}
