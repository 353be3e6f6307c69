//! What spans of one sort have in common: they are many, and their names and operations few.

use super::key::{self, Operation};
use super::{Span, SpanKind};

/// The name, kind and operation of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The span's own name.
    pub name: String,
    /// What it stands for.
    pub kind: SpanKind,
    /// The outbound operation, if it is one.
    pub operation: Option<Operation>,
    /// Whether its attributes say that it failed, whatever its status says: instrumentations differ
    /// in which failures they set the status for.
    pub failed: bool,
}

impl Label {
    /// The label of a span with these attributes; of them, those named in
    /// [`ATTRIBUTES`](super::ATTRIBUTES) are looked at. Where one is named twice, the first counts.
    #[must_use]
    pub fn new(kind: SpanKind, name: &str, attributes: &[(&str, &str)]) -> Label {
        Label {
            name: name.to_owned(),
            kind,
            operation: key::operation(kind, name, attributes),
            failed: key::failed(kind, attributes),
        }
    }

    /// Bytes that it holds, those of the structure included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let operation = self.operation.as_ref().map_or(0, |of| {
            let plain = of.without_statement.as_ref();
            of.key.capacity() + plain.map_or(0, String::capacity)
        });
        size_of::<Label>() + self.name.capacity() + operation
    }
}

impl Span {
    /// The span's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.label.name
    }

    /// What it stands for.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        self.label.kind
    }

    /// The key of its operation, such as `db sqlite SELECT places`,
    /// `rpc grpc pkg.Service/Method`, `http GET /users/{}` or `messaging kafka send orders`. `None`
    /// where it is no outbound operation: INTERNAL, SERVER and CONSUMER spans, and statements that
    /// only frame a transaction.
    #[must_use]
    pub fn operation_key(&self) -> Option<&str> {
        self.label.operation.as_ref().map(|of| of.key.as_str())
    }
}
