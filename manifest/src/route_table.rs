//! The route table: a manifest and the weights of the moment, made ready for look-ups by path.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::manifest::{Manifest, Mirror, OverrideHeader, Target};
use crate::rules::CompareRules;
use crate::words::{Arm, MethodPath, Weight};

/// The metadata by which a caller may choose the arm, where the manifest allows it; its value is
/// `legacy` or `candidate`, anything else is ignored. Stripped otherwise.
pub const OVERRIDE_HEADER: &str = "x-cutover-arm";

/// Weights that the manifest leaves to the ramp, and an operator's overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// The ramp's weight for methods that have none of their own.
    pub ramp: Weight,
    /// The ramp's weight by method.
    pub ramp_by_method: BTreeMap<MethodPath, Weight>,
    /// An operator's override of everything.
    pub override_all: Option<Weight>,
    /// An operator's overrides by method.
    pub override_by_method: BTreeMap<MethodPath, Weight>,
}

/// Who decided a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightOwner {
    /// An operator.
    Override,
    /// The manifest: the rule is pinned.
    Manifest,
    /// The ramp.
    Ramp,
}

impl WeightOwner {
    /// `override`, `manifest` or `ramp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WeightOwner::Override => "override",
            WeightOwner::Manifest => "manifest",
            WeightOwner::Ramp => "ramp",
        }
    }
}

/// How the calls of one method are routed, mirrored and compared.
#[derive(Clone, Debug)]
pub struct MethodRoute {
    /// The weight in force.
    pub weight: Weight,
    /// Who decided it.
    pub owner: WeightOwner,
    /// How calls are mirrored.
    pub mirror: Mirror,
    /// How answers are compared.
    pub compare: Arc<CompareRules>,
}

/// What a proxy routes by. Look-ups cost one hash of the path, two for a method without a rule of
/// its own, whatever the number of rules.
#[derive(Debug)]
pub struct RouteTable {
    /// Rises with every change.
    pub generation: u64,
    /// Evidence belongs to an epoch.
    pub epoch: u64,
    /// The manifest it comes from.
    pub manifest: Arc<Manifest>,
    methods: HashMap<Box<str>, MethodRoute>,
    services: HashMap<Box<str>, MethodRoute>,
    default: MethodRoute,
    hash_keys: (u64, u64),
}

/// What fixes the arm of a call, strongest first.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// The sticky key's value.
    Sticky(&'a [u8]),
    /// The trace id, so that calls of one trace stay together.
    Trace(&'a [u8]),
    /// Chance: any 64 random bits.
    Random(u64),
}

impl RouteTable {
    /// Puts a manifest and the weights of the moment together.
    #[must_use]
    pub fn build(manifest: Arc<Manifest>, weights: &Weights, generation: u64, epoch: u64) -> Self {
        let mut by_target: BTreeMap<&Target, (Option<Weight>, Mirror, Arc<CompareRules>)> =
            BTreeMap::new();
        for rule in &manifest.rules {
            let compare = Arc::new(rule.compare.clone());
            for (target, _) in &rule.targets {
                by_target.insert(target, (rule.weight, rule.mirror, compare.clone()));
            }
        }
        let fallback = by_target
            .get(&Target::Default)
            .cloned()
            .unwrap_or_else(|| (None, Mirror::OFF, Arc::default()));
        let rule_of = |path: &MethodPath| {
            by_target
                .get(&Target::Method(path.clone()))
                .or_else(|| by_target.get(&Target::Service(path.service().to_owned())))
                .unwrap_or(&fallback)
                .clone()
        };
        let route = |rule: (Option<Weight>, Mirror, Arc<CompareRules>),
                     path: Option<&MethodPath>| {
            let (weight, owner) = decide(weights, rule.0, path);
            MethodRoute {
                weight,
                owner,
                mirror: rule.1,
                compare: rule.2,
            }
        };

        let ruled = by_target.keys().filter_map(|target| match target {
            Target::Method(path) => Some(path),
            _ => None,
        });
        let weighted = weights
            .ramp_by_method
            .keys()
            .chain(weights.override_by_method.keys());
        let methods = ruled
            .chain(weighted)
            .map(|path| (path.as_str().into(), route(rule_of(path), Some(path))))
            .collect();
        let services = by_target
            .iter()
            .filter_map(|(target, rule)| match target {
                Target::Service(service) => {
                    Some((service.as_str().into(), route(rule.clone(), None)))
                }
                _ => None,
            })
            .collect();
        let default = route(fallback, None);
        let salt = manifest
            .sticky_key
            .as_ref()
            .map_or(manifest.name.as_str(), |key| &key.salt);
        let hash_keys = hash_keys(salt);
        RouteTable {
            generation,
            epoch,
            manifest,
            methods,
            services,
            default,
            hash_keys,
        }
    }

    /// The route of a path (`/package.Service/Method`), most specific rule first.
    #[must_use]
    pub fn route(&self, path: &str) -> &MethodRoute {
        if let Some(route) = self.methods.get(path) {
            return route;
        }
        if self.services.is_empty() {
            return &self.default;
        }
        let service = path
            .strip_prefix('/')
            .and_then(|p| p.split_once('/'))
            .map(|(s, _)| s);
        service
            .and_then(|service| self.services.get(service))
            .unwrap_or(&self.default)
    }

    /// The arm that answers a call on `route` with `key`.
    #[must_use]
    pub fn arm(&self, route: &MethodRoute, key: Key<'_>) -> Arm {
        let bucket = match key {
            Key::Sticky(bytes) | Key::Trace(bytes) => bucket(self.hash_keys, bytes),
            Key::Random(bits) => (bits % 10_000) as u16,
        };
        choose_arm(bucket, route.weight)
    }

    /// Whether callers may choose the arm.
    #[must_use]
    pub fn override_header(&self) -> OverrideHeader {
        self.manifest.override_header
    }
}

/// The bucket, 0 to 9,999, of a key: SipHash-1-3 (Aumasson and Bernstein) keyed by the salt, so it
/// is the same in every replica and version.
#[must_use]
pub fn bucket(hash_keys: (u64, u64), key: &[u8]) -> u16 {
    let mut hasher = SipHasher13::new_with_keys(hash_keys.0, hash_keys.1);
    hasher.write(key);
    (hasher.finish() % 10_000) as u16
}

/// Candidate if and only if the bucket is below the weight: raising the weight only adds keys,
/// lowering it removes the same ones.
#[must_use]
pub fn choose_arm(bucket: u16, weight: Weight) -> Arm {
    if bucket < weight.bp() {
        Arm::Candidate
    } else {
        Arm::Legacy
    }
}

/// Strongest first: an override of the method, the override of all, the pinned weight, the ramp's
/// weight of the method, the ramp's weight of all.
fn decide(
    weights: &Weights,
    pinned: Option<Weight>,
    path: Option<&MethodPath>,
) -> (Weight, WeightOwner) {
    let overridden = path
        .and_then(|path| weights.override_by_method.get(path))
        .copied()
        .or(weights.override_all);
    if let Some(weight) = overridden {
        return (weight, WeightOwner::Override);
    }
    if let Some(weight) = pinned {
        return (weight, WeightOwner::Manifest);
    }
    let ramp = path
        .and_then(|path| weights.ramp_by_method.get(path))
        .copied();
    (ramp.unwrap_or(weights.ramp), WeightOwner::Ramp)
}

fn hash_keys(salt: &str) -> (u64, u64) {
    let half = |seed: u64| {
        let mut hasher = SipHasher13::new_with_keys(seed, 0);
        hasher.write(salt.as_bytes());
        hasher.finish()
    };
    (half(1), half(2))
}
