//! From the raw manifest to the typed one: defaults filled in, and every mistake that the text
//! alone shows found, with its place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};

use super::{
    ArmConfig, ControlConfig, DescriptorSource, Gates, LeakGate, Manifest, Mirror,
    MirrorSideEffects, OnFailure, OverrideHeader, Ramp, RampScope, Retention, Rule, Step,
    StickyKey, Target, TracesGate,
};
use crate::error::{ManifestError, Position};
use crate::raw::{self, RawManifest};
use crate::words::{MethodPath, Percent};

/// Most rules that a manifest may have.
const MAX_RULES: usize = 1_000;
/// Most steps that a ramp may have.
const MAX_STEPS: usize = 100;

/// What `gates.traces` and `gates.memory.leak` may say.
const TRACES: &str = "report, hold, rollback and required";
const LEAK: &str = "report, hold and rollback";

/// Turns the raw manifest into the typed one.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
}

impl Reader<'_> {
    pub(super) fn error(&self, at: &Location, message: impl Into<String>) -> ManifestError {
        ManifestError {
            file: self.file.to_owned(),
            position: position(at),
            message: message.into(),
        }
    }

    pub(super) fn manifest(&self, raw: RawManifest, text: &str) -> Result<Manifest, ManifestError> {
        let expect = |field: &Spanned<String>, key: &str, right: &str| {
            if field.value == right {
                return Ok(());
            }
            let message = format!("{key} is {:?}: this version reads {right:?}", field.value);
            Err(self.error(&field.referenced, message))
        };
        expect(&raw.api_version, "apiVersion", "cutover.dev/v1alpha1")?;
        expect(&raw.kind, "kind", "Cutover")?;
        let name = &raw.metadata.name;
        if name.value.is_empty() {
            return Err(self.error(&name.referenced, "metadata.name must not be empty"));
        }
        let spec = raw.spec;
        let sticky_key = match spec.sticky_key {
            None => None,
            Some(key) => Some(StickyKey {
                metadata: self.metadata_name(&key.metadata)?,
                salt: key.salt.unwrap_or_else(|| name.value.clone()),
            }),
        };
        Ok(Manifest {
            listen: self.address(spec.listen.as_ref(), "spec.listen", "127.0.0.1:50050")?,
            admin: self.address(spec.admin.as_ref(), "spec.admin", "127.0.0.1:50053")?,
            control: ControlConfig {
                listen: self.address(
                    spec.control.listen.as_ref(),
                    "spec.control.listen",
                    "127.0.0.1:4317",
                )?,
                operator: self.address(
                    spec.control.operator.as_ref(),
                    "spec.control.operator",
                    "127.0.0.1:50054",
                )?,
                store: spec
                    .control
                    .store
                    .unwrap_or_else(|| "cutover.db".to_owned()),
                retention: retention(spec.control.retention),
                tracing: self.tracing(spec.control.tracing)?,
            },
            legacy: self.arm(&spec.legacy, "spec.legacy.url")?,
            candidate: self.arm(&spec.candidate, "spec.candidate.url")?,
            descriptors: match spec.descriptors {
                None => DescriptorSource::Reflection,
                Some(descriptors) => DescriptorSource::File(descriptors.file),
            },
            sticky_key,
            override_header: match spec.override_header.allow {
                true => OverrideHeader::Honour,
                false => OverrideHeader::Strip,
            },
            rules: self.rules(spec.rules)?,
            ramp: spec.ramp.map(|ramp| self.ramp(ramp)).transpose()?,
            limits: spec.limits.into(),
            notify: self.notify(spec.notify)?,
            name: name.value.clone(),
            text: text.to_owned(),
        })
    }

    fn metadata_name(&self, name: &Spanned<String>) -> Result<String, ManifestError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.value.is_empty() || !name.value.chars().all(valid) || name.value.ends_with("-bin") {
            let message = format!("{:?} is not the name of text metadata", name.value);
            return Err(self.error(&name.referenced, message));
        }
        Ok(name.value.to_ascii_lowercase())
    }

    fn address(
        &self,
        given: Option<&Spanned<String>>,
        key: &str,
        default: &str,
    ) -> Result<String, ManifestError> {
        let Some(given) = given else {
            return Ok(default.to_owned());
        };
        if host_port(&given.value).is_none() {
            let message = format!("{key} is {:?}: write it as HOST:PORT", given.value);
            return Err(self.error(&given.referenced, message));
        }
        Ok(given.value.clone())
    }

    fn arm(&self, raw: &raw::RawArm, key: &str) -> Result<ArmConfig, ManifestError> {
        let url = &raw.url;
        let authority = url
            .value
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        match authority.filter(|authority| host_port(authority).is_some()) {
            Some(authority) => Ok(ArmConfig {
                url: url.value.clone(),
                authority: authority.to_owned(),
            }),
            None => {
                let message = format!("{key} is {:?}: write it as http://HOST:PORT", url.value);
                Err(self.error(&url.referenced, message))
            }
        }
    }

    fn rules(&self, raw: Vec<Spanned<raw::RawRule>>) -> Result<Vec<Rule>, ManifestError> {
        let mut seen: BTreeMap<Target, Position> = BTreeMap::new();
        if let Some(extra) = raw.get(MAX_RULES) {
            let message = format!("more than {MAX_RULES} rules");
            return Err(self.error(&extra.referenced, message));
        }
        let mut rules = Vec::with_capacity(raw.len());
        for rule in raw {
            let mut targets = Vec::new();
            for m in &rule.value.matches {
                targets.push((self.target(&m.value.method, &m.referenced)?, m.referenced));
            }
            if rule.value.matches.is_empty() {
                targets.push((Target::Default, rule.referenced));
            }
            let mut placed = Vec::with_capacity(targets.len());
            for (target, location) in targets {
                let position = position(&location);
                if let Some(first) = seen.insert(target.clone(), position) {
                    let what = match &target {
                        Target::Method(path) => path.to_string(),
                        Target::Service(service) => format!("service {service}"),
                        Target::Default => "the default (no matches)".to_owned(),
                    };
                    let message = format!(
                        "duplicate rule for {what}: line {} has one already; join them",
                        first.line
                    );
                    return Err(self.error(&location, message));
                }
                placed.push((target, position));
            }
            rules.push(self.rule(rule, placed)?);
        }
        Ok(rules)
    }

    fn target(&self, raw: &raw::RawMethod, at: &Location) -> Result<Target, ManifestError> {
        // A service is checked as part of a path, with a method that is surely valid.
        let method = raw.method.as_deref();
        let path = MethodPath::new(&raw.service, method.unwrap_or("Any"))
            .map_err(|error| self.error(at, error.to_string()))?;
        Ok(match method {
            Some(_) => Target::Method(path),
            None => Target::Service(raw.service.clone()),
        })
    }

    fn rule(
        &self,
        rule: Spanned<raw::RawRule>,
        targets: Vec<(Target, Position)>,
    ) -> Result<Rule, ManifestError> {
        let at = rule.referenced;
        let raw = rule.value;
        let mirror = match raw.mirror {
            None => Mirror::OFF,
            Some(mirror) => Mirror {
                percent: mirror.percent.map_or(Percent::FULL, |percent| percent.0),
                noise: mirror
                    .noise_percent
                    .map_or(Percent::ZERO, |percent| percent.0),
                side_effects: match mirror.accept_side_effects {
                    true => MirrorSideEffects::Accept,
                    false => MirrorSideEffects::Refuse,
                },
            },
        };
        let names_methods = targets
            .iter()
            .all(|(target, _)| matches!(target, Target::Method(_)));
        if mirror.side_effects == MirrorSideEffects::Accept && !names_methods {
            let message = "acceptSideEffects needs a rule that names the method it is for";
            return Err(self.error(&at, message));
        }
        let (compare, named_fields) = self.compare(raw.compare)?;
        Ok(Rule {
            targets,
            weight: raw.weight.map(|weight| weight.0),
            mirror,
            compare,
            named_fields,
        })
    }

    fn ramp(&self, raw: raw::RawRamp) -> Result<Ramp, ManifestError> {
        let at = raw.steps.referenced;
        if raw.steps.value.is_empty() || raw.steps.value.len() > MAX_STEPS {
            let message = format!("spec.ramp.steps must have 1 to {MAX_STEPS} steps");
            return Err(self.error(&at, message));
        }
        let mut steps: Vec<Step> = Vec::new();
        for step in raw.steps.value {
            let weight = step.value.weight.0;
            if steps.last().is_some_and(|last| last.weight >= weight) {
                let message = "the weights of spec.ramp.steps must rise from step to step";
                return Err(self.error(&step.referenced, message));
            }
            let hold = step.value.hold.map_or(Duration::ZERO, |hold| hold.0);
            steps.push(Step { weight, hold });
        }
        let default = Gates::default();
        let confidence = match raw.gates.confidence {
            None => default.confidence,
            Some(c) if c.value >= 0.5 && c.value < 1.0 => c.value,
            Some(c) => {
                let message = format!("confidence {} must be at least 0.5 and below 1", c.value);
                return Err(self.error(&c.referenced, message));
            }
        };
        let (leak, ratio) = raw
            .gates
            .memory
            .map_or((None, None), |memory| (memory.leak, memory.ratio));
        let memory_ratio = match ratio {
            Some(ratio) if !(ratio.value.is_finite() && ratio.value > 0.0) => {
                let message = format!("ratio {} must be positive", ratio.value);
                return Err(self.error(&ratio.referenced, message));
            }
            ratio => ratio.map(|ratio| ratio.value),
        };
        let p99_tolerance = match &raw.gates.latency {
            Some(raw::RawLatency {
                tolerance: Some(tolerance),
                ..
            }) => tolerance.0,
            _ => default.p99_tolerance,
        };
        let p99_ratio = match raw.gates.latency {
            None => None,
            Some(l) if l.p99_ratio.value.is_finite() && l.p99_ratio.value > 0.0 => {
                Some(l.p99_ratio.value)
            }
            Some(l) => {
                let message = format!("p99Ratio {} must be positive", l.p99_ratio.value);
                return Err(self.error(&l.p99_ratio.referenced, message));
            }
        };
        Ok(Ramp {
            scope: match raw.scope {
                Some(raw::RawScope::Service) => RampScope::Service,
                Some(raw::RawScope::Method) | None => RampScope::Method,
            },
            interval: raw
                .interval
                .map_or(Duration::from_secs(1), |interval| interval.0),
            steps,
            gates: Gates {
                min_calls: raw.gates.min_calls.unwrap_or(default.min_calls),
                error_rate_margin: raw
                    .gates
                    .error_rate_margin
                    .map_or(default.error_rate_margin, |m| m.0),
                mismatch_below: raw
                    .gates
                    .mismatch_below
                    .map_or(default.mismatch_below, |m| m.0),
                p99_ratio,
                p99_tolerance,
                traces: self.word(raw.gates.traces, default.traces, TracesGate::parse, TRACES)?,
                leak: self.word(leak, default.leak, LeakGate::parse, LEAK)?,
                memory_ratio,
                confidence,
            },
            on_failure: match raw.on_failure {
                Some(raw::RawOnFailure::Hold) => OnFailure::Hold,
                Some(raw::RawOnFailure::Rollback) | None => OnFailure::Rollback,
            },
        })
    }
}

impl Reader<'_> {
    /// One of a few words; `expects` lists them.
    fn word<T>(
        &self,
        given: Option<Spanned<String>>,
        default: T,
        parse: fn(&str) -> Option<T>,
        expects: &str,
    ) -> Result<T, ManifestError> {
        let Some(word) = given else {
            return Ok(default);
        };
        parse(&word.value).ok_or_else(|| {
            let message = format!("{:?} is none of {expects}", word.value);
            self.error(&word.referenced, message)
        })
    }
}

fn retention(raw: raw::RawRetention) -> Retention {
    let default = Retention::default();
    Retention {
        age: raw.age.map_or(default.age, |age| age.0),
        size_bytes: raw.size.map_or(default.size_bytes, |size| size.0),
    }
}

/// The host and port of `HOST:PORT` or `[V6]:PORT`.
pub(super) fn host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let plain = host
        .strip_prefix('[')
        .map_or(Some(host), |v6| v6.strip_suffix(']'))?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let v6_needs_brackets = plain.contains(':') && plain.len() == host.len();
    if plain.is_empty() || !plain.chars().all(valid) || v6_needs_brackets {
        return None;
    }
    Some((plain, port.parse().ok()?))
}

pub(super) fn position(location: &Location) -> Position {
    Position {
        line: location.line(),
        column: location.column(),
    }
}
