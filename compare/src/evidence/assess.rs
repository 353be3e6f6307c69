//! From counters to a verdict. The evidence of the whole epoch decides about advancing; a rollback
//! is decided by it and by a recent window as well, so that a bad build in the middle of a long,
//! clean ramp is not hidden behind its history.
//!
//! With alpha = 1 - confidence, the chance of a wrong rollback stays at most alpha: half of it goes
//! to the whole epoch, and of the other half the k-th window of the epoch gets the share
//! 6 / (pi² k²), which adds up to one over all windows there can ever be. Each window is an
//! e-process of its own, begun at a stopping time.
//!
//! Pairs that differ only in noisy fields should not count. From counters alone their number is
//! known only between two bounds, so each side gets the bound that is safe for it: advancing is
//! judged with the most mismatches there can be, rolling back with the fewest. Where repeats are
//! asked for, a field counts for rolling back only once it is proven to differ more readily than
//! they do; see [`super::noise`].

use std::f64::consts::PI;

use cutover_manifest::{Gates, Weight};

use super::counters::{MemoryCell, MethodEvidence};
use super::gates::Levels;
use super::noise::{FieldNoise, noisy, real};
use super::verdict::{Verdict, VerdictKind, judge};

/// What is asked about one ramp.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What must hold.
    pub gates: Gates,
    /// The weight in force.
    pub weight: Weight,
    /// Which window of the epoch the recent evidence is from, from 1.
    pub window: u64,
    /// One entry for each method of the ramp.
    pub methods: Vec<MethodQuestion<'a>>,
    /// The arms' memory.
    pub memory: MemoryCell,
}

/// The evidence of one method.
#[derive(Clone, Debug, Default)]
pub struct MethodQuestion<'a> {
    /// Since the epoch began; mismatches with noise and all.
    pub whole: MethodEvidence,
    /// Since the window opened, likewise.
    pub recent: MethodEvidence,
    /// The share of mirrored calls that are asked once more for noise; 0: noise is not learned, so
    /// every difference counts.
    pub noise_share: f64,
    /// The fields that differed.
    pub fields: Vec<FieldCell<'a>>,
}

/// How often a field differed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldCell<'a> {
    /// Its path.
    pub path: &'a str,
    /// Since the epoch began.
    pub whole: FieldCounts,
    /// Since the window opened.
    pub recent: FieldCounts,
}

/// Counters of one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldCounts {
    /// Pairs in which it differed.
    pub pairs: u64,
    /// Triples in which it differed.
    pub noise: FieldNoise,
}

/// A verdict, and what it was drawn from: judging that again gives the same gates.
#[derive(Clone, Debug)]
pub struct Assessed {
    /// The verdict.
    pub verdict: Verdict,
    /// What it was drawn from.
    pub basis: Basis,
}

/// What a verdict was drawn from.
#[derive(Clone, Debug)]
pub struct Basis {
    /// What was asked.
    pub gates: Gates,
    /// At which weight.
    pub weight: Weight,
    /// The allowed errors.
    pub levels: Levels,
    /// Which window the counters are from; 0 for the whole epoch.
    pub window: u64,
    /// Of all methods together, mismatches without noise.
    pub evidence: MethodEvidence,
}

/// The verdict on a ramp.
#[must_use]
pub fn assess(question: &Question<'_>) -> Assessed {
    let levels = Levels::of(&question.gates);
    let alpha = levels.proof;
    let k = question.window.max(1) as f64;
    let [of_whole, of_recent] = [alpha / 2.0, alpha / 2.0 * 6.0 / (PI * PI * k * k)];
    let at = |guards| Levels { guards, ..levels };
    let known = Known::new(question, at(of_whole).guard(), at(of_recent).guard());

    let recent = sum(question, &known.recent, |method| &method.recent, recent_of);
    let recent = ask(question, question.window.max(1), at(of_recent), recent);
    if recent.verdict.kind == VerdictKind::Rollback {
        return recent;
    }
    let mut whole = sum(question, &known.whole, |method| &method.whole, whole_of);
    whole.memory = question.memory;
    let mut whole = ask(question, 0, at(of_whole), whole);
    if let Some(learning) = learning(question, &known, at(of_whole).guard()) {
        learning.say(&mut whole.verdict);
    }
    whole
}

fn ask(question: &Question<'_>, window: u64, levels: Levels, evidence: MethodEvidence) -> Assessed {
    let verdict = judge(&question.gates, question.weight, levels, &evidence);
    let basis = Basis {
        gates: question.gates,
        weight: question.weight,
        levels,
        window,
        evidence,
    };
    Assessed { verdict, basis }
}

/// What is known about each field, method by method.
struct Known {
    whole: Vec<Vec<Field>>,
    recent: Vec<Vec<Field>>,
}

/// What is known about a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// It counts: it differs by more than noise, or no noise is asked for.
    Real,
    /// Repeats differ as readily.
    Noisy,
    /// It is too early to tell.
    Unknown,
}

impl Known {
    /// A field that is proven to be real in the whole epoch is so in its windows too: it takes an
    /// error in the one or in the other to be wrong.
    fn new(question: &Question<'_>, of_whole: f64, of_recent: f64) -> Known {
        let all = || question.methods.iter().flat_map(|method| &method.fields);
        let whole: Vec<FieldNoise> = all().map(|field| field.whole.noise).collect();
        let recent: Vec<FieldNoise> = all().map(|field| field.recent.noise).collect();
        // What is noisy is said at the level of the epoch in both.
        let noise = noisy(&whole, of_whole);
        let real = real_in_either(&whole, of_whole, &recent, of_recent);
        let mut flags = noise.into_iter().zip(real);
        let mut known = Known {
            whole: Vec::new(),
            recent: Vec::new(),
        };
        for method in &question.methods {
            let flags: Vec<_> = flags.by_ref().take(method.fields.len()).collect();
            let field = |noisy: bool, real: bool| match (noisy, real) {
                (_, true) => Field::Real,
                (true, false) => Field::Noisy,
                (false, false) if method.noise_share > 0.0 => Field::Unknown,
                (false, false) => Field::Real,
            };
            let of_whole = flags.iter().map(|(noisy, (real, _))| field(*noisy, *real));
            known.whole.push(of_whole.collect());
            let of_recent = flags
                .iter()
                .map(|(noisy, (real, lately))| field(*noisy, *real || *lately));
            known.recent.push(of_recent.collect());
        }
        known
    }
}

fn real_in_either(
    whole: &[FieldNoise],
    of_whole: f64,
    recent: &[FieldNoise],
    of_recent: f64,
) -> Vec<(bool, bool)> {
    let (whole, recent) = (real(whole, of_whole), real(recent, of_recent));
    whole.into_iter().zip(recent).collect()
}

fn whole_of(field: &FieldCell<'_>) -> FieldCounts {
    field.whole
}

fn recent_of(field: &FieldCell<'_>) -> FieldCounts {
    field.recent
}

/// All methods together, with mismatches as far as they count.
fn sum(
    question: &Question<'_>,
    known: &[Vec<Field>],
    evidence: for<'b> fn(&'b MethodQuestion<'_>) -> &'b MethodEvidence,
    counts: fn(&FieldCell<'_>) -> FieldCounts,
) -> MethodEvidence {
    let mut all = MethodEvidence::default();
    for (method, known) in question.methods.iter().zip(known) {
        let mine = evidence(method);
        let pairs = method.fields.iter().map(|field| counts(field).pairs);
        let (most, fewest) = mismatched(mine.pairs.mismatched, pairs.zip(known.iter().copied()));
        all.merge_with(mine, most, most - fewest);
    }
    all
}

/// Pairs that differ by more than noise: the most and the fewest there can be, of `mismatched`
/// pairs, from the number of pairs in which each field differs. At most all such differences had
/// pairs of their own; at least as many pairs differ as have the worst such field, and as remain
/// when every other difference had a pair of its own. Where the fields don't explain all
/// mismatches, all count.
fn mismatched(mismatched: u64, fields: impl Iterator<Item = (u64, Field)>) -> (u64, u64) {
    let (mut noise, mut unknown, mut real, mut worst) = (0u64, 0u64, 0u64, 0u64);
    for (pairs, known) in fields {
        let sum = match known {
            Field::Noisy => &mut noise,
            Field::Unknown => &mut unknown,
            Field::Real => {
                worst = worst.max(pairs);
                &mut real
            }
        };
        *sum = sum.saturating_add(pairs);
    }
    let may_count = unknown.saturating_add(real);
    if noise.saturating_add(may_count) < mismatched {
        return (mismatched, mismatched);
    }
    let most = may_count.min(mismatched);
    let others = noise.saturating_add(unknown);
    let fewest = worst.max(mismatched.saturating_sub(others));
    (most, fewest.min(most))
}

/// What is still to be learned about noise.
struct Learning {
    path: String,
    triples: u64,
    more_triples: u64,
    more_calls: u64,
}

/// The field that differs most often among those about which nothing is known.
fn learning(question: &Question<'_>, known: &Known, alpha: f64) -> Option<Learning> {
    let fields: usize = question.methods.iter().map(|m| m.fields.len()).sum();
    let methods = question.methods.iter().zip(&known.whole);
    let unknown = methods.flat_map(|(method, known)| {
        let of_method = method.fields.iter().zip(known);
        of_method.filter_map(move |(field, known)| {
            (*known == Field::Unknown && field.whole.pairs > 0).then_some((method, field))
        })
    });
    let (method, field) = unknown.max_by_key(|(_, field)| field.whole.pairs)?;
    let pairs = &method.whole.pairs;
    let rate = field.whole.pairs as f64 / pairs.compared.max(1) as f64;
    let discordant = field.whole.noise.more_triples(fields, alpha);
    let more_triples = (discordant as f64 / rate.min(1.0)).ceil();
    Some(Learning {
        path: field.path.to_owned(),
        triples: pairs.triples,
        more_triples: more_triples as u64,
        more_calls: (more_triples / method.noise_share.min(1.0)).ceil() as u64,
    })
}

impl Learning {
    /// Says so where the mismatches are judged and do not pass.
    fn say(self, verdict: &mut Verdict) {
        let mut waits = verdict.gates.iter_mut();
        let mismatch =
            waits.find(|gate| gate.name == "mismatch" && gate.verdict == VerdictKind::Wait);
        if let Some(gate) = mismatch {
            gate.reason += &format!(
                "; learning noise of {}: {} triples so far, about {} more",
                self.path, self.triples, self.more_triples
            );
            gate.more_calls = gate.more_calls.or(Some(self.more_calls));
        }
    }
}

#[cfg(test)]
mod tests;
