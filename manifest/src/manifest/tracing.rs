//! `spec.control.tracing`: how long spans wait for their counterparts, and how many of them.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::reader::Reader;
use crate::error::ManifestError;
use crate::raw::RawTracing;

/// Least memory: less holds nothing beside what is held in any case.
const LEAST_MEMORY_BYTES: usize = 16 << 20;
/// Longest that any trace may be waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// The bounds of pairing; what is over one is left out and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// How long a trace must have been quiet until it counts as whole; default 2 s.
    pub quiet: Duration,
    /// How long a trace may wait for what is missing; default 30 s, at most 10 min.
    pub longest: Duration,
    /// Memory of all spans that wait; default 128 MiB, at least 16 MiB.
    pub memory_bytes: usize,
    /// Most spans that wait; default 1,000,000.
    pub max_spans: usize,
    /// Most spans of one trace; default 5,000.
    pub max_spans_per_trace: usize,
}

impl Default for Tracing {
    fn default() -> Tracing {
        Tracing {
            quiet: Duration::from_secs(2),
            longest: Duration::from_secs(30),
            memory_bytes: 128 << 20,
            max_spans: 1_000_000,
            max_spans_per_trace: 5_000,
        }
    }
}

impl Reader<'_> {
    pub(super) fn tracing(
        &self,
        raw: Option<Spanned<RawTracing>>,
    ) -> Result<Tracing, ManifestError> {
        let default = Tracing::default();
        let Some(raw) = raw else {
            return Ok(default);
        };
        let given = &raw.value;
        let time = |given: &Option<crate::raw::RawDuration>, default| {
            given.as_ref().map_or(default, |time| time.0)
        };
        let tracing = Tracing {
            quiet: time(&given.quiet, default.quiet),
            longest: time(&given.longest, default.longest),
            memory_bytes: given
                .memory
                .as_ref()
                .map_or(default.memory_bytes, |size| size.0),
            max_spans: given.max_spans.unwrap_or(default.max_spans),
            max_spans_per_trace: given
                .max_spans_per_trace
                .unwrap_or(default.max_spans_per_trace),
        };
        let wrong = if tracing.memory_bytes < LEAST_MEMORY_BYTES {
            "memory must be at least 16MiB"
        } else if tracing.quiet > tracing.longest || tracing.longest > LONGEST {
            "quiet must not be longer than longest, and longest not longer than 10m"
        } else if tracing.max_spans == 0 || tracing.max_spans_per_trace == 0 {
            "maxSpans and maxSpansPerTrace must be at least 1"
        } else {
            return Ok(tracing);
        };
        Err(self.error(&raw.referenced, format!("spec.control.tracing: {wrong}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn parse(tracing: &str) -> Result<Tracing, ManifestError> {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: {{ name: a }}
spec:
  legacy: {{ url: \"http://127.0.0.1:1\" }}
  candidate: {{ url: \"http://127.0.0.1:2\" }}
  control: {{ tracing: {tracing} }}
"
        );
        Ok(Manifest::parse("a.yaml", &text)?.control.tracing)
    }

    #[test]
    fn every_bound_can_be_set_and_has_a_default() {
        assert_eq!(parse("{}").unwrap(), Tracing::default());
        let all = "{ quiet: 500ms, longest: 1m, memory: 64MiB, maxSpans: 9, maxSpansPerTrace: 3 }";
        let expected = Tracing {
            quiet: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            memory_bytes: 64 << 20,
            max_spans: 9,
            max_spans_per_trace: 3,
        };
        assert_eq!(parse(all).unwrap(), expected);
    }

    #[test]
    fn bounds_that_hold_nothing_are_refused_with_their_place() {
        for (tracing, part) in [
            ("{ memory: 1MiB }", "at least 16MiB"),
            ("{ quiet: 31s }", "quiet must not be longer"),
            ("{ longest: 11m }", "10m"),
            ("{ maxSpans: 0 }", "at least 1"),
            ("{ memory: much }", "is not a size"),
            ("{ patience: 1s }", "patience"),
        ] {
            let error = parse(tracing).unwrap_err().to_string();
            assert!(
                error.starts_with("a.yaml:7:") && error.contains(part),
                "{error}"
            );
        }
    }
}
