//! Spans out of an export. What is no span is rejected, with its reason, and the others of the same
//! export are kept; all that is kept of a span is bounded.

use std::collections::BTreeSet;

use cutover_compare::trace::{ANSWER_BYTES, Span, SpanKind};
use cutover_manifest::Arm;

use super::labels::Labels;
use super::resource::Sender;
use super::wire::{Fields, Malformed, Value, each, key_value, text_of};
use crate::deploys::Running;
use crate::pairing::Received;

/// Most attributes that a span may have.
const MAX_ATTRIBUTES: usize = 1_024;
/// Most senders of one export whose versions are looked at.
pub(super) const MAX_RUNNING: usize = 64;
/// How far a span's clock may be off. The skew of a clock never matters to the comparison; what is
/// further away is no time at all. 30 days.
const MAX_SKEW_NS: u64 = 30 * 24 * 3_600 * 1_000_000_000;
/// OTLP's number of a status that is an error.
const STATUS_ERROR: u64 = 2;

/// What an export brought.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) spans: Vec<Received>,
    pub(super) rejected: Rejected,
    /// What the senders run.
    pub(super) running: BTreeSet<Running>,
}

/// How many parts of an export were rejected, by reason.
#[derive(Debug, Default)]
pub(super) struct Rejected(Vec<(&'static str, u64)>);

impl Rejected {
    /// Counts one.
    pub(super) fn add(&mut self, reason: &'static str) {
        match self.0.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.0.push((reason, 1)),
        }
    }

    /// All of them.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The reasons, for the exporter's log.
    pub(super) fn message(&self) -> String {
        let one = |(reason, count): &(&str, u64)| format!("{reason} ({count})");
        self.0.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Reads an `ExportTraceServiceRequest` that came at `unix_ns`.
pub(super) fn read(request: &[u8], labels: &mut Labels, unix_ns: u64) -> Result<Spans, Malformed> {
    let mut read = Spans::default();
    for resource_spans in each(request, 1) {
        let resource_spans = resource_spans?;
        let mut sender = Sender::default();
        for resource in each(resource_spans, 1) {
            sender = Sender::read(resource?)?;
        }
        if read.running.len() < MAX_RUNNING {
            read.running.extend(sender.running());
        }
        for scope_spans in each(resource_spans, 2) {
            for span in each(scope_spans?, 2) {
                let draft = Draft::read(span?, labels)?;
                match draft.check(sender.arm, labels, unix_ns) {
                    Ok(received) => read.spans.push(received),
                    Err(reason) => read.rejected.add(reason),
                }
            }
        }
    }
    Ok(read)
}

/// A span as it stands on the wire; its attributes are with the labels.
struct Draft<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    /// `None` if it is not UTF-8.
    name: Option<&'a str>,
    kind: SpanKind,
    start_ns: u64,
    end_ns: u64,
    error: bool,
    attributes: usize,
    answer_bytes: Option<u32>,
}

impl<'a> Draft<'a> {
    fn read(message: &'a [u8], labels: &mut Labels) -> Result<Draft<'a>, Malformed> {
        labels.begin();
        let mut draft = Draft {
            trace_id: &[],
            span_id: &[],
            parent_id: &[],
            name: Some(""),
            kind: SpanKind::Internal,
            start_ns: 0,
            end_ns: 0,
            error: false,
            attributes: 0,
            answer_bytes: None,
        };
        for field in Fields(message) {
            let (number, value) = field?;
            match number {
                1 => draft.trace_id = value.bytes(),
                2 => draft.span_id = value.bytes(),
                4 => draft.parent_id = value.bytes(),
                5 => draft.name = value.text(),
                6 => draft.kind = SpanKind::from_otlp(value.number().try_into().unwrap_or(0)),
                7 => draft.start_ns = value.number(),
                8 => draft.end_ns = value.number(),
                9 => {
                    let (key, value) = key_value(value.bytes())?;
                    draft.attributes += 1;
                    // It differs from call to call, so it is no part of a label.
                    if key == ANSWER_BYTES.as_bytes() {
                        draft.answer_bytes = text_of(value).and_then(|text| text.parse().ok());
                    } else {
                        labels.attribute(key, value);
                    }
                }
                15 => {
                    for field in Fields(value.bytes()) {
                        if let (3, Value::Varint(code)) = field? {
                            draft.error = code == STATUS_ERROR;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(draft)
    }

    /// The span, or why it is none.
    fn check(
        self,
        sender: Option<Arm>,
        labels: &mut Labels,
        unix_ns: u64,
    ) -> Result<Received, &'static str> {
        let trace_id = self
            .trace_id
            .try_into()
            .map_err(|_| "trace_id is not 16 bytes")?;
        let span_id = self
            .span_id
            .try_into()
            .map_err(|_| "span_id is not 8 bytes")?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err("trace_id or span_id is all zeros");
        }
        let parent_id = match self.parent_id {
            [] => None,
            bytes => Some(
                bytes
                    .try_into()
                    .map_err(|_| "parent_span_id is not 8 bytes")?,
            ),
        };
        if self.attributes > MAX_ATTRIBUTES {
            return Err("a span has more than 1024 attributes");
        }
        let times = [self.start_ns, self.end_ns];
        if times
            .iter()
            .any(|time| time.abs_diff(unix_ns) > MAX_SKEW_NS)
        {
            return Err("start or end is more than 30 days away");
        }
        let entry = labels.end(self.kind, self.name.ok_or("name is not UTF-8")?);
        Ok(Received {
            span: Span {
                trace_id,
                span_id,
                parent_id: parent_id.filter(|parent| *parent != [0; 8]),
                start_ns: self.start_ns,
                // A clock that went back must not make a duration of centuries.
                end_ns: self.end_ns.max(self.start_ns),
                error: self.error || entry.label.failed,
                label: entry.label,
            },
            sender,
            answer_bytes: self.answer_bytes.filter(|_| entry.root.is_some()),
            root: entry.root,
        })
    }
}

#[cfg(test)]
mod tests;
