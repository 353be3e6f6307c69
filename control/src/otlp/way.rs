//! The way of a span without sockets: an export's bytes are read, paired, compared and counted, on
//! the caller's thread. For benches and for measuring what it holds; the control plane itself goes
//! the same way in `otlp` and `driver`.

use std::time::Duration;

use cutover_compare::trace::diff_pair;
use cutover_manifest::Tracing;

use super::labels::Labels;
use super::spans;
use crate::pairing::{Bounds, Outcome, Pairing};
use crate::traces::{Examined, Traces};

/// What was left out, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Rejected when they were read.
    pub rejected: u64,
    /// Evicted because a bound was reached.
    pub evicted: u64,
}

/// Reads, pairs and compares.
#[derive(Debug)]
pub struct Way {
    labels: Labels,
    pairing: Pairing,
    traces: Traces,
    compared: u64,
    rejected: u64,
}

impl Way {
    /// With the bounds that a manifest gives.
    #[must_use]
    pub fn new(tracing: &Tracing) -> Way {
        Way {
            labels: Labels::default(),
            pairing: Pairing::new(Bounds::from(tracing), 0),
            traces: Traces::alone(&[]),
            compared: 0,
            rejected: 0,
        }
    }

    /// Takes an encoded `ExportTraceServiceRequest` in that came at `now`, which is `unix_ns` since
    /// the Unix epoch; returns how many spans it brought. An export that is malformed brings none.
    pub fn take(&mut self, export: &[u8], now: Duration, unix_ns: u64) -> usize {
        let Ok(read) = spans::read(export, &mut self.labels, unix_ns) else {
            return 0;
        };
        self.rejected += read.rejected.count();
        let count = read.spans.len();
        for span in read.spans {
            let outcomes = self.pairing.add(span, now);
            self.count(outcomes, now);
        }
        count
    }

    /// Compares what is complete, and gives up what has waited for too long.
    pub fn sweep(&mut self, now: Duration) {
        let outcomes = self.pairing.sweep(now);
        self.count(outcomes, now);
    }

    /// Pairs that were compared.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Spans that wait, and the bytes that they take at most.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.pairing.held()
    }

    /// What was left out so far.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        LeftOut {
            rejected: self.rejected,
            evicted: self.pairing.dropped().evicted,
        }
    }

    fn count(&mut self, outcomes: Vec<Outcome>, now: Duration) {
        for outcome in outcomes {
            let examined = Examined::new(outcome, diff_pair);
            self.compared += u64::from(matches!(examined, Examined::Compared(..)));
            self.traces.count(&examined, now);
        }
    }
}
