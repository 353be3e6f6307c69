//! What two observations of the same call have in common and what not, and what follows from many
//! of them: message diff, evidence, verdict and trace diff. Pure: bytes and counters in, findings
//! out; no I/O, no clock, no randomness.

mod descriptors;
mod difference;
mod fields;
mod histogram;
mod message;

pub mod evidence;
pub mod observation;
pub mod trace;

pub use descriptors::{DescriptorError, Descriptors, Method, SideEffects};
pub use difference::{Comparison, Difference, Kind, MAX_DIFFERENCES, Misfit, Redaction};
pub use evidence::{CallCell, GateAnswer, MethodEvidence, PairCell, Verdict, VerdictKind, judge};
pub use fields::check_fields;
pub use histogram::Histogram;
pub use message::{Cleared, clear_redacted, compare};
pub use observation::{Message, Observation, is_failure};
