//! Many questions at once: which of them may be answered with yes?

/// e-BH (Wang and Ramdas, arXiv 2009.02824): flags the k largest e-values where the k-th reaches
/// K / (alpha k). At most a share `alpha` of the flags is wrong on average, whatever the
/// dependence between the questions.
#[must_use]
pub fn e_bh(ln_e: &[f64], alpha: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..ln_e.len()).collect();
    order.sort_by(|a, b| ln_e[*b].total_cmp(&ln_e[*a]));
    let all = ln_e.len() as f64;
    let reaches = |rank: usize| ln_e[order[rank]] >= (all / (alpha * (rank + 1) as f64)).ln();
    let flagged = (0..order.len())
        .rev()
        .find(|rank| reaches(*rank))
        .map_or(0, |rank| rank + 1);
    let mut flags = vec![false; ln_e.len()];
    for index in &order[..flagged] {
        flags[*index] = true;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_the_largest_together() {
        let ln = |values: &[f64]| values.iter().map(|e| f64::ln(*e)).collect::<Vec<_>>();
        // K = 4, alpha = 0.05: thresholds 80, 40, 26.7, 20.
        assert_eq!(
            e_bh(&ln(&[50.0, 1.0, 45.0, 0.1]), 0.05),
            [true, false, true, false]
        );
        assert_eq!(e_bh(&ln(&[50.0, 1.0, 1.0, 0.1]), 0.05), [false; 4]);
        assert_eq!(e_bh(&ln(&[20.0, 21.0, 22.0, 23.0]), 0.05), [true; 4]);
        assert!(e_bh(&[], 0.05).is_empty());
    }
}
