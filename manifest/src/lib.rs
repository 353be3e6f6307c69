//! The words of Cutover as types, and the way from YAML to a route table:
//! text → [`Manifest`] (parsed, complete, checked) → [`RouteTable`] (with the weights of the
//! moment). Pure: no I/O, no clock, no randomness.

mod error;
mod manifest;
mod raw;
mod route_table;
mod rules;
mod units;
mod words;

pub use error::{ManifestError, Position};
pub use manifest::{
    ArmConfig, CompareKey, ControlConfig, DescriptorSource, Limits, Manifest, Mirror,
    MirrorSideEffects, NamedField, OverrideHeader, Retention, Rule, StickyKey, Target,
};
pub use manifest::{Event, Notify, Tracing};
pub use manifest::{Gates, LeakGate, OnFailure, Ramp, RampScope, Step, TracesGate};
pub use route_table::{
    Key, MethodRoute, OVERRIDE_HEADER, RouteTable, WeightOwner, Weights, bucket, choose_arm,
};
pub use rules::{CompareRules, FieldPath, Normalization, Tolerance};
pub use words::{Arm, MethodPath, PathError, Percent, Role, Weight};
