//! The gate that asks whether the candidate is too slow.
//!
//! Only like is compared with like: the calls of clients that each arm answered at the same weight,
//! and shadows with shadows at the same weight. A shadow waits for a core while the primary works,
//! so a candidate that has only answered shadows (weight 0) is never rolled back for its times.
//!
//! *Rollback:* the candidate exceeds R times the legacy's 99th percentile more often than the
//! legacy exceeds it, wherever that percentile may lie by what is known; or it exceeds 2 R times
//! some duration more often than the legacy exceeds that duration, so also where only one call in a
//! thousand is slow. R is `p99_ratio`, rounded up to the next of the histogram's edges, which are
//! 9 % apart: what is slower by less is not called slower. *Advance:* the candidate's p99 is proven
//! to be at most (1 + tolerance) R times the legacy's; equality itself can't be proven.

use cutover_manifest::{Arm, Role, Weight};

use super::Question;
use crate::Histogram;
use crate::evidence::counters::CallCell;
use crate::evidence::latency::{
    Stratum, ln_e_longer, quantile_above, quantile_below, quantile_low,
};
use crate::evidence::rate::clean_needed;
use crate::evidence::verdict::{GateAnswer, VerdictKind};
use crate::evidence::words::say;

/// The quantile that the manifest speaks of.
const P99: f64 = 0.99;
/// Buckets for each doubling of a duration.
const DOUBLING: isize = 8;
/// The durations that the whole distribution is looked at with: 2^6 µs and every doubling up to
/// 2^26 µs (67 s).
const DOUBLINGS: std::ops::RangeInclusive<usize> = 6..=26;
/// How many times what there is may be said to be needed: fourth roots of 2, up to 1024. Finer
/// steps would only take time.
const MORE_STEPS: i32 = 40;
/// The guard's error is for the legacy's percentile, for the calls beyond it, and for the whole
/// distribution.
const PARTS: f64 = 3.0;

/// What speaks against the candidate most.
struct Longer {
    /// The legacy's duration in question, as a bucket.
    bucket: usize,
    shift: isize,
    ln_e: f64,
    ln_threshold: f64,
}

impl Question<'_> {
    /// Is the candidate proven to be too slow, or proven not to be?
    pub(in crate::evidence) fn latency(&self) -> Option<GateAnswer> {
        let ratio = self.gates.p99_ratio?;
        // Up to the next edge, and one more where it is an edge.
        let shift = (ratio.log2() * DOUBLING as f64 + 1e-9).floor() as isize + 1;
        if self.weight == Weight::ZERO {
            return Some(self.latency_of_shadows(shift));
        }
        let clients = self.clients();
        let figures = format!(
            "p99 of the candidate {}, of the legacy {}",
            p99(&sum(&clients, Arm::Candidate)),
            p99(&sum(&clients, Arm::Legacy))
        );
        let all: Vec<Stratum> = clients.iter().cloned().chain(self.shadows()).collect();
        let beyond = self.beyond_p99(&clients, shift);
        let anywhere = self.anywhere(&all, shift + DOUBLING);
        for (strata, longer) in [(&clients, beyond), (&all, anywhere)] {
            let proven = longer.filter(|longer| longer.ln_e >= longer.ln_threshold);
            if let Some(longer) = proven {
                return Some(longer.answer(strata, &figures));
            }
        }
        if self.weight == Weight::FULL {
            let n = sum(&clients, Arm::Candidate).count();
            let reason = format!("{figures}: not proven to be slower");
            return Some(say("latency", VerdictKind::Advance, reason, n, 0));
        }
        Some(self.p99_within(&clients, &figures, ratio))
    }

    /// Before any client is answered by the candidate, its times only hold the ramp back where
    /// they are far off.
    fn latency_of_shadows(&self, shift: isize) -> GateAnswer {
        // Copies of calls in which the client streams are counted, and have no times.
        let (sent, _) = self
            .evidence
            .sum(|cell| (cell.arm, cell.role) == (Arm::Candidate, Role::Shadow));
        if sent == 0 {
            let reason = "no call was mirrored to the candidate yet".to_owned();
            return say("latency", VerdictKind::Wait, reason, 0, 0);
        }
        let cells = |arm: Arm, role: Role| {
            self.evidence
                .latency(|cell| (cell.arm, cell.role, cell.weight) == (arm, role, Weight::ZERO))
        };
        let stratum = Stratum {
            share: 0.5,
            legacy: cells(Arm::Legacy, Role::Primary),
            candidate: cells(Arm::Candidate, Role::Shadow),
        };
        let n = stratum.candidate.count();
        let figures = format!(
            "p99 of the candidate's shadows {}, of the legacy {}",
            p99(&stratum.candidate),
            p99(&stratum.legacy)
        );
        let strata = [stratum];
        let far_off = self
            .anywhere(&strata, shift + DOUBLING)
            .filter(|longer| longer.ln_e >= longer.ln_threshold);
        match far_off {
            Some(longer) => GateAnswer {
                verdict: VerdictKind::Wait,
                ..longer.answer(&strata, &figures)
            },
            None => {
                let reason =
                    format!("{figures}: not far off, and judged once clients are answered by it");
                say("latency", VerdictKind::Advance, reason, n, 0)
            }
        }
    }

    /// Calls that clients got answers to. At weight 100 the legacy answers shadows only, which
    /// favours the candidate.
    fn clients(&self) -> Vec<Stratum> {
        let at_full = |arm| self.cells(Weight::FULL, arm);
        let between = self
            .weights()
            .into_iter()
            .map(|weight| self.stratum(weight, weight.percent() / 100.0, Role::Primary));
        let full = Stratum {
            share: 0.5,
            legacy: self
                .evidence
                .latency(|cell| at_full(Arm::Legacy)(cell) && cell.role == Role::Shadow),
            candidate: self
                .evidence
                .latency(|cell| at_full(Arm::Candidate)(cell) && cell.role == Role::Primary),
        };
        between
            .chain(std::iter::once(full))
            .filter(Stratum::has_both)
            .collect()
    }

    /// Shadows: each arm's are as many as the other one's primaries.
    fn shadows(&self) -> impl Iterator<Item = Stratum> {
        self.weights()
            .into_iter()
            .map(|weight| self.stratum(weight, 1.0 - weight.percent() / 100.0, Role::Shadow))
            .filter(Stratum::has_both)
    }

    fn stratum(&self, weight: Weight, share: f64, role: Role) -> Stratum {
        let [legacy, candidate] = Arm::BOTH.map(|arm| {
            let of_arm = self.cells(weight, arm);
            self.evidence
                .latency(|cell| of_arm(cell) && cell.role == role)
        });
        Stratum {
            share,
            legacy,
            candidate,
        }
    }

    fn cells(&self, weight: Weight, arm: Arm) -> impl Fn(&CallCell) -> bool {
        move |cell| cell.weight == weight && cell.arm == arm
    }

    /// The weights at which both arms answer.
    fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<Weight> = self.evidence.calls.iter().map(|cell| cell.weight).collect();
        weights.sort_unstable();
        weights.dedup();
        weights.retain(|weight| ![Weight::ZERO, Weight::FULL].contains(weight));
        weights
    }

    /// At every duration that may be the legacy's p99: does the candidate exceed it more often?
    fn beyond_p99(&self, strata: &[Stratum], shift: isize) -> Option<Longer> {
        let legacy = sum(strata, Arm::Legacy);
        let alpha = self.levels.guard() / PARTS;
        let below = quantile_below(&legacy, P99, alpha / 2.0);
        let above = quantile_above(&legacy, P99, alpha / 2.0)?;
        let perhaps = below.saturating_sub(1)..=above;
        let longer = |bucket| Longer {
            bucket,
            shift,
            ln_e: ln_e_longer(strata, bucket, shift),
            ln_threshold: -alpha.ln(),
        };
        perhaps.map(longer).min_by(|a, b| a.ln_e.total_cmp(&b.ln_e))
    }

    /// At any duration: does the candidate exceed it more often? The mean over all of them is what
    /// is tested, so the largest may be as much larger as there are of them.
    fn anywhere(&self, strata: &[Stratum], shift: isize) -> Option<Longer> {
        let among = DOUBLINGS.count() as f64;
        let longer = |doublings: usize| {
            let bucket = doublings * DOUBLING.unsigned_abs();
            Longer {
                bucket,
                shift,
                ln_e: ln_e_longer(strata, bucket, shift) - among.ln(),
                ln_threshold: (PARTS / self.levels.guard()).ln(),
            }
        };
        DOUBLINGS
            .map(longer)
            .max_by(|a, b| a.ln_e.total_cmp(&b.ln_e))
    }

    /// Is the candidate's p99 proven to be within the tolerance?
    fn p99_within(&self, clients: &[Stratum], figures: &str, ratio: f64) -> GateAnswer {
        let legacy = sum(clients, Arm::Legacy);
        let candidate = sum(clients, Arm::Candidate);
        // Its shadows took longer than its clients' calls, so where even they are within the
        // bound, it is.
        let mut with_shadows = candidate.clone();
        for stratum in self.shadows() {
            with_shadows.merge(&stratum.candidate);
        }
        let bound = ratio * (1.0 + self.gates.p99_tolerance);
        // Two ways to be wrong, each by one of two percentiles.
        let alpha = self.levels.proof / 4.0;
        let within = |times: f64| {
            let of = |histogram: &Histogram| histogram.times(times);
            let most = bound * quantile_low(&of(&legacy), P99, alpha);
            let is_within = |candidate: &Histogram| {
                let high = quantile_above(&of(candidate), P99, alpha);
                high.is_some_and(|high| Histogram::upper_edge_us(high) <= most)
            };
            is_within(&candidate) || is_within(&with_shadows)
        };
        let n = candidate.count();
        if within(1.0) {
            let reason = format!(
                "{figures}: at most {bound:.4} times at {}",
                self.confidence()
            );
            return say("latency", VerdictKind::Advance, reason, n, 0);
        }
        let more_calls = match n.min(legacy.count()) {
            0 => clean_needed(1.0 - P99, alpha).map(|needed| {
                let share = self.weight.percent() / 100.0;
                (needed as f64 / share.min(1.0 - share)).ceil() as u64
            }),
            _ => {
                let times: Vec<f64> = (1..=MORE_STEPS)
                    .map(|i| (f64::from(i) / 4.0).exp2())
                    .collect();
                let all = (n + legacy.count()) as f64;
                let enough = times.get(times.partition_point(|times| !within(*times)));
                enough.map(|times| (all * (times - 1.0)).ceil() as u64)
            }
        };
        let reason = format!(
            "{figures}: more than {bound:.4} times is not ruled out at {} yet",
            self.confidence()
        );
        GateAnswer {
            more_calls,
            ..say("latency", VerdictKind::Wait, reason, n, 0)
        }
    }
}

impl Stratum {
    fn has_both(&self) -> bool {
        self.legacy.count() > 0 && self.candidate.count() > 0
    }
}

impl Longer {
    fn answer(&self, strata: &[Stratum], figures: &str) -> GateAnswer {
        let exceed = |arm: Arm, bucket: usize| {
            let histogram = sum(strata, arm);
            (histogram.count_above(bucket), histogram.count())
        };
        let theirs = exceed(Arm::Legacy, self.bucket);
        let own_bucket = self.bucket.saturating_add_signed(self.shift);
        let (s, n) = exceed(Arm::Candidate, own_bucket.min(Histogram::BUCKETS - 1));
        let edge = |bucket: usize| ms(Histogram::upper_edge_us(bucket));
        let reason = format!(
            "{figures}: {s} of the candidate's {n} calls took more than {}, and {} of the legacy's \
             {} more than {}",
            edge(own_bucket),
            theirs.0,
            theirs.1,
            edge(self.bucket)
        );
        GateAnswer {
            log_e: Some(self.ln_e),
            log_threshold: Some(self.ln_threshold),
            ..say("latency", VerdictKind::Rollback, reason, n, s)
        }
    }
}

fn sum(strata: &[Stratum], arm: Arm) -> Histogram {
    let mut sum = Histogram::default();
    for stratum in strata {
        sum.merge(match arm {
            Arm::Legacy => &stratum.legacy,
            Arm::Candidate => &stratum.candidate,
        });
    }
    sum
}

fn p99(histogram: &Histogram) -> String {
    let us = histogram.quantile(P99).as_secs_f64() * 1e6;
    format!("{} (n = {})", ms(us), histogram.count())
}

fn ms(us: f64) -> String {
    format!("{:.3} ms", us / 1e3)
}
