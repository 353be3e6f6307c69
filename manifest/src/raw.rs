//! The manifest as it is written: every key optional unless it must be there, unknown and
//! duplicate keys refused. [`crate::Manifest`] is what it becomes.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

use crate::rules::FieldPath;
use crate::units;
use crate::words::Weight;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawManifest {
    pub(crate) api_version: Spanned<String>,
    pub(crate) kind: Spanned<String>,
    pub(crate) metadata: RawMetadata,
    pub(crate) spec: RawSpec,
}

/// Kubernetes puts more into `metadata` than Cutover reads, so unknown keys are let through here.
#[derive(Deserialize)]
pub(crate) struct RawMetadata {
    pub(crate) name: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSpec {
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) admin: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) control: RawControl,
    pub(crate) legacy: RawArm,
    pub(crate) candidate: RawArm,
    pub(crate) descriptors: Option<RawDescriptors>,
    pub(crate) sticky_key: Option<RawStickyKey>,
    #[serde(default)]
    pub(crate) override_header: RawOverride,
    #[serde(default)]
    pub(crate) rules: Vec<Spanned<RawRule>>,
    pub(crate) ramp: Option<RawRamp>,
    #[serde(default)]
    pub(crate) limits: RawLimits,
    #[serde(default)]
    pub(crate) notify: Vec<Spanned<RawNotify>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawControl {
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) operator: Option<Spanned<String>>,
    pub(crate) store: Option<String>,
    #[serde(default)]
    pub(crate) retention: RawRetention,
    pub(crate) tracing: Option<Spanned<RawTracing>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRetention {
    pub(crate) age: Option<RawDuration>,
    pub(crate) size: Option<RawSize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTracing {
    pub(crate) quiet: Option<RawDuration>,
    pub(crate) longest: Option<RawDuration>,
    pub(crate) memory: Option<RawSize>,
    pub(crate) max_spans: Option<usize>,
    pub(crate) max_spans_per_trace: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawNotify {
    pub(crate) url: Spanned<String>,
    pub(crate) events: Option<Vec<RawEvent>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawEvent {
    Advance,
    Rollback,
    Hold,
    Pause,
    Resume,
    Promote,
    Abort,
    Override,
    Reset,
    Manifest,
    Deploy,
    Healthy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawArm {
    pub(crate) url: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDescriptors {
    pub(crate) file: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawStickyKey {
    pub(crate) metadata: Spanned<String>,
    pub(crate) salt: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOverride {
    #[serde(default)]
    pub(crate) allow: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRule {
    #[serde(default)]
    pub(crate) matches: Vec<Spanned<RawMatch>>,
    pub(crate) weight: Option<RawWeight>,
    pub(crate) mirror: Option<RawMirror>,
    #[serde(default)]
    pub(crate) compare: RawCompare,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMatch {
    pub(crate) method: RawMethod,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMethod {
    pub(crate) service: String,
    pub(crate) method: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMirror {
    pub(crate) percent: Option<RawWeight>,
    pub(crate) noise_percent: Option<RawWeight>,
    #[serde(default)]
    pub(crate) accept_side_effects: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCompare {
    #[serde(default)]
    pub(crate) ignore: Vec<Spanned<RawPath>>,
    #[serde(default)]
    pub(crate) tolerance: ByPath<RawTolerance>,
    #[serde(default)]
    pub(crate) unordered: Vec<Spanned<RawPath>>,
    #[serde(default)]
    pub(crate) keyed: ByPath<Vec<String>>,
    #[serde(default)]
    pub(crate) normalize: ByPath<Vec<RawNormalization>>,
    #[serde(default)]
    pub(crate) trailers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) redact: Vec<Spanned<RawPath>>,
    #[serde(default)]
    pub(crate) capture_values: bool,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawNormalization {
    Trim,
    Case,
}

/// A mapping from field paths, in the order of the text and with the places of its keys.
pub(crate) struct ByPath<V>(pub(crate) Vec<(Spanned<RawPath>, V)>);

impl<V> Default for ByPath<V> {
    fn default() -> Self {
        ByPath(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for ByPath<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = ByPath<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from field paths")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByPath<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(ByPath(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTolerance {
    pub(crate) relative: Option<f64>,
    pub(crate) absolute: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRamp {
    pub(crate) scope: Option<RawScope>,
    pub(crate) interval: Option<RawDuration>,
    pub(crate) steps: Spanned<Vec<Spanned<RawStep>>>,
    #[serde(default)]
    pub(crate) gates: RawGates,
    pub(crate) on_failure: Option<RawOnFailure>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawScope {
    Method,
    Service,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawOnFailure {
    Rollback,
    Hold,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawStep {
    pub(crate) weight: RawWeight,
    pub(crate) hold: Option<RawDuration>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGates {
    pub(crate) min_calls: Option<u64>,
    pub(crate) error_rate_margin: Option<RawRatio>,
    pub(crate) mismatch_below: Option<RawRatio>,
    pub(crate) latency: Option<RawLatency>,
    pub(crate) traces: Option<Spanned<String>>,
    pub(crate) memory: Option<RawMemory>,
    pub(crate) confidence: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMemory {
    pub(crate) leak: Option<Spanned<String>>,
    pub(crate) ratio: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLatency {
    #[serde(rename = "p99Ratio")]
    pub(crate) p99_ratio: Spanned<f64>,
    pub(crate) tolerance: Option<RawRatio>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawLimits {
    pub(crate) max_concurrent_streams: Option<u32>,
    pub(crate) max_header_list_bytes: Option<RawSize>,
    pub(crate) max_compared_message_bytes: Option<RawSize>,
    pub(crate) mirror_queue: Option<usize>,
    pub(crate) mirror_memory: Option<RawSize>,
    pub(crate) mirror_deadline: Option<RawDuration>,
    pub(crate) connect_timeout: Option<RawDuration>,
    pub(crate) shutdown_grace: Option<RawDuration>,
    pub(crate) header_timeout: Option<RawTimeout>,
    pub(crate) keepalive_time: Option<RawTimeout>,
    pub(crate) keepalive_timeout: Option<RawTimeout>,
    pub(crate) stuck_timeout: Option<RawTimeout>,
    pub(crate) max_connection_age: Option<RawTimeout>,
    pub(crate) max_connection_age_grace: Option<RawDuration>,
}

/// A value written as a scalar and read by `$read`, with a message that says what would be right.
macro_rules! scalar {
    ($name:ident($inner:ty), $expects:literal, $read:expr) => {
        #[derive(Clone)]
        pub(crate) struct $name(pub(crate) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Scalar;
                impl Visitor<'_> for Scalar {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        let read: fn(&str) -> Result<$inner, String> = $read;
                        read(text).map($name).map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Scalar)
            }
        }
    };
}

scalar!(
    RawDuration(Duration),
    "a duration such as 10m",
    units::duration
);
scalar!(
    RawTimeout(Duration),
    "a duration above 0 such as 30s",
    |text| match units::duration(text)? {
        Duration::ZERO => Err(format!(
            "{text:?} is not above 0: write it as 500ms, 10s, 5m or 1h"
        )),
        time => Ok(time),
    }
);
scalar!(RawRatio(f64), "a share such as 0.1%", units::ratio);
scalar!(RawSize(usize), "a size such as 4MiB", units::bytes);
scalar!(RawWeight(Weight), "a number from 0 to 100", |text| {
    let percent = text
        .parse::<f64>()
        .map_err(|_| format!("{text:?} is not a number from 0 to 100 in steps of 0.01"))?;
    Weight::from_percent(percent)
        .map_err(|e| format!("{e}: write a number from 0 to 100 in steps of 0.01"))
});

pub(crate) struct RawPath(pub(crate) FieldPath);

impl<'de> Deserialize<'de> for RawPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        FieldPath::parse(&text)
            .map(RawPath)
            .map_err(de::Error::custom)
    }
}
