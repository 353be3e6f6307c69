//! The capital of a gambler who splits a stake over a grid of fixed bets. The logarithm of each
//! bet's capital is a sum over outcomes, so it is linear in the counts: it merges, and it can be
//! extrapolated.

use super::special::ln_mean_exp;

/// What each bet of a grid has grown to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Capital {
    /// ln of the capital of each bet, all begun with 1.
    bets: Vec<f64>,
}

impl Capital {
    /// From the ln of the capital of each bet.
    pub(super) fn new(bets: impl IntoIterator<Item = f64>) -> Capital {
        Capital {
            bets: bets.into_iter().collect(),
        }
    }

    /// ln e-value.
    pub(super) fn ln_e(&self) -> f64 {
        self.ln_e_after(1.0)
    }

    /// ln e-value if all that was counted had been counted so many times.
    pub(super) fn ln_e_after(&self, times: f64) -> f64 {
        ln_mean_exp(&self.bets.iter().map(|bet| bet * times).collect::<Vec<_>>())
    }
}
