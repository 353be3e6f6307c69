//! Numbers and answers in words.

use super::verdict::{GateAnswer, VerdictKind};

/// A share as percent without needless digits: `0.1 %`, `95 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent >= 1.0 || percent <= 0.0 {
        2
    } else {
        2 - percent.log10() as i32
    };
    let text = format!("{percent:.*}", usize::try_from(digits).unwrap_or(2));
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} %")
}

/// An answer without a test's numbers.
pub(super) fn say(
    name: &'static str,
    verdict: VerdictKind,
    reason: String,
    n: u64,
    s: u64,
) -> GateAnswer {
    let (log_e, log_threshold, more_calls) = (None, None, None);
    GateAnswer {
        name,
        verdict,
        reason,
        n,
        s,
        log_e,
        log_threshold,
        more_calls,
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percents_have_no_needless_digits() {
        let texts = [0.95, 0.001, 1e-4, 0.01, 0.0, 1.0, 0.05234].map(percent);
        assert_eq!(
            texts,
            ["95 %", "0.1 %", "0.01 %", "1 %", "0 %", "100 %", "5.23 %"]
        );
    }
}
