//! Evidence: mergeable counters, and tests on them that stay valid however often one looks.
//!
//! Every test is an e-process: a number that, while its null hypothesis holds, exceeds 1/alpha at
//! *any* time with a chance of at most alpha (Ville's inequality). All numbers are natural
//! logarithms of e-values. Only counters go in, so the evidence of replicas adds up.

mod assess;
mod betting;
mod capital;
mod coin;
mod counters;
mod forecast;
mod gates;
mod latency;
mod many;
mod noise;
mod rate;
mod routed;
mod special;
mod spells;
mod verdict;
mod words;

pub use assess::{Assessed, Basis, FieldCell, FieldCounts, MethodQuestion, Question, assess};
pub use betting::ln_e_no_worse;
pub use coin::{interval, ln_e_above, ln_e_below, ln_e_two_sided};
pub use counters::{CallCell, MemoryCell, MethodEvidence, OperationCell, PairCell, TraceCell};
pub use forecast::{Needed, Stage, forecast};
pub use gates::Levels;
pub use latency::{Shift, Stratum, ln_e_longer, ln_e_slower, p_quantile_bounds, radius, shift};
pub use many::e_bh;
pub use noise::{FieldNoise, noisy, real};
pub use rate::{clean_needed, ln_e_rate_below};
pub use routed::{Step, ln_e_fails_more, ln_e_fails_no_more};
pub use spells::{SPELL_LENGTHS, SpellCount, Spells, ln_e_grows};
pub use verdict::{GateAnswer, Verdict, VerdictKind, judge};
