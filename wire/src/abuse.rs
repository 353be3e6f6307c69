//! The budgets against floods: what takes from them, what gives back. The limits are named in
//! `limits`; what a budget that ran out is called is in `error`.

use crate::error::Rule;
use crate::limits::Limits;

/// Frames of one kind that the peer may still send.
#[derive(Debug)]
struct Budget {
    left: u32,
    full: u32,
    rule: Rule,
}

impl Budget {
    fn new(full: u32, rule: Rule) -> Self {
        Self {
            left: full,
            full,
            rule,
        }
    }

    fn take(&mut self) -> Result<(), Rule> {
        self.left = self.left.checked_sub(1).ok_or(self.rule)?;
        Ok(())
    }

    fn give(&mut self, back: u32) {
        self.left = self.left.saturating_add(back).min(self.full);
    }
}

macro_rules! budgets {
    ($($budget:ident, $rule:ident;)*) => {
        #[derive(Debug)]
        pub(crate) struct Abuse {
            $($budget: Budget,)*
        }

        impl Abuse {
            pub(crate) fn new(limits: &Limits) -> Self {
                Self { $($budget: Budget::new(limits.$budget, Rule::$rule),)* }
            }

            /// Fills every budget.
            pub(crate) fn replenish(&mut self) {
                $(self.$budget.left = self.$budget.full;)*
            }

            $(
                pub(crate) fn $budget(&mut self) -> Result<(), Rule> {
                    self.$budget.take()
                }
            )*
        }
    };
}

budgets! {
    empty_data, EmptyDataFlood;
    premature_resets, PrematureResetFlood;
    resets, ResetFlood;
    provoked_resets, ProvokedResetFlood;
    refused, RefusedFlood;
    interim_responses, InterimFlood;
    pings, PingFlood;
    settings, SettingsFlood;
    window_updates, WindowUpdateFlood;
    priorities, PriorityFlood;
    goaways, GoAwayFlood;
    unknown_frames, UnknownFlood;
}

impl Abuse {
    pub(crate) fn stream_opened(&mut self) {
        self.pings.give(1);
        self.window_updates.give(2);
        self.priorities.give(10);
    }

    pub(crate) fn stream_ended_well(&mut self) {
        self.premature_resets.give(1);
        self.resets.give(1);
        self.provoked_resets.give(1);
        self.refused.give(1);
        self.interim_responses.give(1);
    }

    pub(crate) fn data_received(&mut self) {
        self.empty_data.give(1);
        self.pings.give(1);
    }

    pub(crate) fn data_sent(&mut self) {
        self.pings.give(1);
        self.window_updates.give(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_runs_out_and_is_given_back() {
        let limits = Limits {
            pings: 2,
            ..Limits::default()
        };
        let mut abuse = Abuse::new(&limits);
        assert_eq!(abuse.pings(), Ok(()));
        assert_eq!(abuse.pings(), Ok(()));
        assert_eq!(abuse.pings(), Err(Rule::PingFlood));
        abuse.data_received();
        assert_eq!(abuse.pings(), Ok(()));
        assert_eq!(abuse.pings(), Err(Rule::PingFlood));
        abuse.replenish();
        assert_eq!(abuse.pings(), Ok(()));
    }
}
