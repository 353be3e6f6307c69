//! The manifest, typed and complete: every default filled in, everything that can be wrong with
//! the text alone found. What only the arms can tell (does the method exist?) is asked by
//! [`Manifest::check_methods`].

mod compare;
mod limits;
mod notify;
mod reader;
mod tracing;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{ManifestError, Position};
use crate::raw::RawManifest;
use crate::rules::{CompareRules, FieldPath};
use crate::words::{Arm, MethodPath, Percent, Weight};

pub use limits::Limits;
pub use notify::{Event, Notify};
pub use tracing::Tracing;

/// What a person wrote, complete and checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// `metadata.name`.
    pub name: String,
    /// Where the proxy takes calls; `HOST:PORT`, default `127.0.0.1:50050`.
    pub listen: String,
    /// Where the proxy serves `/metrics`, `/livez`, `/readyz`; default `127.0.0.1:50053`.
    pub admin: String,
    /// The control plane's own settings.
    pub control: ControlConfig,
    /// The Python side.
    pub legacy: ArmConfig,
    /// The Rust side.
    pub candidate: ArmConfig,
    /// Where the descriptors come from.
    pub descriptors: DescriptorSource,
    /// What fixes a caller's arm; without it, the trace id does, else chance.
    pub sticky_key: Option<StickyKey>,
    /// Whether callers may choose the arm themselves.
    pub override_header: OverrideHeader,
    /// The rules, in the order of the text.
    pub rules: Vec<Rule>,
    /// The ramp; without it, every weight is 0 unless pinned or overridden.
    pub ramp: Option<Ramp>,
    /// Named bounds of the proxy.
    pub limits: Limits,
    /// Who is told about decisions; default nobody.
    pub notify: Vec<Notify>,
    /// The text itself, as handed to [`Manifest::parse`].
    pub text: String,
}

/// Settings of the control plane.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Where proxies (Sync) and arms (OTLP) connect; default `127.0.0.1:4317`.
    pub listen: String,
    /// Where operators and the dashboard connect; default `127.0.0.1:50054`.
    pub operator: String,
    /// The SQLite file, or the URL of a Postgres; default `cutover.db`.
    pub store: String,
    /// How long, and how much, of what was seen is kept.
    pub retention: Retention,
    /// How the traces of both arms are paired.
    pub tracing: Tracing,
}

/// How long, and how much, of what was seen is kept: examples, and what decisions were drawn from.
/// The ramp's place, the evidence and the log's lines stay whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What is older goes; default 90 d.
    pub age: Duration,
    /// Beyond it the oldest goes; bytes, default 200 MiB, without what the database adds.
    pub size_bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            age: Duration::from_secs(90 * 86_400),
            size_bytes: 200 << 20,
        }
    }
}

/// One implementation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmConfig {
    /// `http://HOST:PORT`, without a path.
    pub url: String,
    /// `HOST:PORT`.
    pub authority: String,
}

/// Where the descriptors come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorSource {
    /// Server reflection on the legacy, else on the candidate.
    Reflection,
    /// A file with an encoded `FileDescriptorSet`.
    File(String),
}

/// What fixes a caller's arm while the weight stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyKey {
    /// Lower-case name of the metadata that holds the key.
    pub metadata: String,
    /// Salt of the hash; default the manifest's name. Changing it reshuffles all callers.
    pub salt: String,
}

/// Whether the header [`crate::OVERRIDE_HEADER`] is honoured or stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideHeader {
    /// Stripped and ignored; the default.
    Strip,
    /// Honoured where it names an arm.
    Honour,
}

/// What a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One method.
    Method(MethodPath),
    /// All methods of one service.
    Service(String),
    /// Whatever no other rule is for.
    Default,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is for, with the place in the text.
    pub targets: Vec<(Target, Position)>,
    /// A pinned weight; without it the ramp decides.
    pub weight: Option<Weight>,
    /// How its calls are mirrored.
    pub mirror: Mirror,
    /// How its answers are compared.
    pub compare: CompareRules,
    /// The fields that `compare` names, with their places in the text.
    pub named_fields: Vec<NamedField>,
}

/// A field that a rule names under one of the keys of `compare`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedField {
    /// What is to be done with it.
    pub key: CompareKey,
    /// Which.
    pub path: FieldPath,
    /// Where in the text.
    pub position: Position,
}

/// The keys of `compare` that name fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareKey {
    /// Not compared.
    Ignore,
    /// Floats that may differ a little.
    Tolerance,
    /// Lists compared as multisets.
    Unordered,
    /// Lists matched by key fields.
    Keyed,
    /// Texts compared without some of their form.
    Normalize,
    /// Stored only as hashes.
    Redact,
}

impl CompareKey {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CompareKey::Ignore => "ignore",
            CompareKey::Tolerance => "tolerance",
            CompareKey::Unordered => "unordered",
            CompareKey::Keyed => "keyed",
            CompareKey::Normalize => "normalize",
            CompareKey::Redact => "redact",
        }
    }
}

/// How calls are mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Share of calls that get a shadow call; default 0.
    pub percent: Percent,
    /// Share of mirrored calls that get a noise call too; default 0.
    pub noise: Percent,
    /// What is done with methods that may have side effects.
    pub side_effects: MirrorSideEffects,
}

/// What mirroring does with methods that are not marked `NO_SIDE_EFFECTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorSideEffects {
    /// They are not mirrored; the default.
    Refuse,
    /// They are: the manifest names the method and accepts doubled side effects.
    Accept,
}

/// The steps of weight and the gates between them.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// Whether each method moves on its own evidence.
    pub scope: RampScope,
    /// How often the evidence is looked at; default 1 s.
    pub interval: Duration,
    /// The steps, weights rising.
    pub steps: Vec<Step>,
    /// What must hold before the next step.
    pub gates: Gates,
    /// What a bad sign does.
    pub on_failure: OnFailure,
}

/// What moves together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RampScope {
    /// Each method by itself; the default.
    Method,
    /// All methods together.
    Service,
}

/// What a bad sign does to the ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Weight 0, latched; the default.
    Rollback,
    /// The weight stays, latched.
    Hold,
}

/// One step of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The weight of this step.
    pub weight: Weight,
    /// How long it is held at least; default none.
    pub hold: Duration,
}

/// What must hold before the next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// Least calls compared (weight 0) or answered by the candidate (above); default 500.
    pub min_calls: u64,
    /// How much higher the candidate's error rate may be, as a share of calls; default 0.001.
    pub error_rate_margin: f64,
    /// The share of mismatches that must be ruled out; default 0.001.
    pub mismatch_below: f64,
    /// How many times the legacy's p99 the candidate's may be; `None`: not asked.
    pub p99_ratio: Option<f64>,
    /// By how much more than `p99_ratio` times it must be proven not to be, as a share; default
    /// 0.5. Without any, equality would have to be proven, which no number of calls does.
    pub p99_tolerance: f64,
    /// What is done where the arms' traces differ; default [`TracesGate::Rollback`].
    pub traces: TracesGate,
    /// What is done where the candidate's memory grows without end; default [`LeakGate::Hold`].
    pub leak: LeakGate,
    /// How many times the legacy's memory the candidate's may be; `None`: not asked.
    pub memory_ratio: Option<f64>,
    /// One minus the chance of a wrong rollback or advance; default 0.95.
    pub confidence: f64,
}

/// What is done where one arm calls an operation more often than the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracesGate {
    /// It is only reported.
    Report,
    /// It holds the ramp.
    Hold,
    /// Missing, doubled and additional writes roll back, the rest holds; without traces, nothing
    /// does.
    Rollback,
    /// Likewise, and without traces the ramp is held.
    Required,
}

/// What is done where the candidate's memory grows without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakGate {
    /// It is only shown.
    Report,
    /// It holds the ramp for as long as it goes on.
    Hold,
    /// It rolls back.
    Rollback,
}

impl TracesGate {
    /// As the manifest has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TracesGate::Report => "report",
            TracesGate::Hold => "hold",
            TracesGate::Rollback => "rollback",
            TracesGate::Required => "required",
        }
    }

    /// From the manifest's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<TracesGate> {
        [Self::Report, Self::Hold, Self::Rollback, Self::Required]
            .into_iter()
            .find(|gate| gate.as_str() == word)
    }
}

impl LeakGate {
    /// As the manifest has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LeakGate::Report => "report",
            LeakGate::Hold => "hold",
            LeakGate::Rollback => "rollback",
        }
    }

    /// From the manifest's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<LeakGate> {
        [Self::Report, Self::Hold, Self::Rollback]
            .into_iter()
            .find(|gate| gate.as_str() == word)
    }
}

impl Default for Gates {
    fn default() -> Self {
        Gates {
            min_calls: 500,
            error_rate_margin: 0.001,
            mismatch_below: 0.001,
            p99_ratio: None,
            p99_tolerance: 0.5,
            traces: TracesGate::Rollback,
            leak: LeakGate::Hold,
            memory_ratio: None,
            confidence: 0.95,
        }
    }
}

impl Manifest {
    /// Reads YAML (or JSON). `file` is only a name for errors. Everything that is wrong with the
    /// text is an error with its place; nothing is half accepted.
    pub fn parse(file: &str, text: &str) -> Result<Manifest, ManifestError> {
        let raw: RawManifest = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            let message = error.without_snippet().to_string();
            // The location is in the prefix of our own error already.
            let message = message
                .split(" at line ")
                .next()
                .unwrap_or(&message)
                .to_owned();
            ManifestError {
                file: file.to_owned(),
                position: place.as_ref().map(reader::position).unwrap_or_default(),
                message,
            }
        })?;
        reader::Reader { file }.manifest(raw, text)
    }

    /// One arm's settings.
    #[must_use]
    pub fn arm(&self, arm: Arm) -> &ArmConfig {
        match arm {
            Arm::Legacy => &self.legacy,
            Arm::Candidate => &self.candidate,
        }
    }

    /// The rules that name a method or service which `known` doesn't have, with the nearest known
    /// name. `file` is only a name for errors.
    #[must_use]
    pub fn check_methods(&self, file: &str, known: &BTreeSet<MethodPath>) -> Vec<ManifestError> {
        let services: BTreeSet<&str> = known.iter().map(MethodPath::service).collect();
        let mut errors = Vec::new();
        for (target, position) in self.rules.iter().flat_map(|rule| &rule.targets) {
            let (what, name, nearest) = match target {
                Target::Method(path) if !known.contains(path) => {
                    let names = known.iter().map(MethodPath::as_str);
                    ("method", path.as_str(), nearest(path.as_str(), names))
                }
                Target::Service(service) if !services.contains(service.as_str()) => (
                    "service",
                    service.as_str(),
                    nearest(service, services.iter().copied()),
                ),
                _ => continue,
            };
            let hint = nearest
                .map(|n| format!("; did you mean {n}?"))
                .unwrap_or_default();
            errors.push(ManifestError {
                file: file.to_owned(),
                position: *position,
                message: format!("unknown {what} {name}: the descriptors don't have it{hint}"),
            });
        }
        errors
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::normalized_levenshtein(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

impl Mirror {
    /// No mirroring.
    pub const OFF: Mirror = Mirror {
        percent: Percent::ZERO,
        noise: Percent::ZERO,
        side_effects: MirrorSideEffects::Refuse,
    };
}
