//! Walks two messages of one type side by side, field by field. What is equal is passed over at
//! once: no rule can make equal values differ.

use std::cell::Cell;
use std::collections::BTreeMap;

use cutover_manifest::CompareRules;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind as FieldKind, OneofDescriptor,
    ReflectMessage, Value,
};

use super::finding::Findings;
use super::place::{Place, RuleBook};
use super::scalar::{self, Floats};
use super::unpack::{self, Packed};
use crate::difference::{Comparison, Kind, Redaction, clip};

/// Deepest nesting that is compared, unpacked messages included.
pub(super) const MAX_DEPTH: u32 = 64;
/// Most values that are looked at in one call; those of list elements count once for each list
/// around them that differs.
const MAX_VALUES: u32 = 1_000_000;

/// A comparison under way.
pub(super) struct Walk<'a> {
    pub(super) rules: &'a CompareRules,
    pub(super) rule: RuleBook<'a>,
    pub(super) redaction: &'a Redaction,
    pub(super) pool: DescriptorPool,
    pub(super) findings: Findings,
    /// The kind that stands for all kinds in a part of the call that has its own.
    pub(super) call_kind: Option<Kind>,
    values: Cell<u32>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        rules: &'a CompareRules,
        redaction: &'a Redaction,
        pool: DescriptorPool,
    ) -> Walk<'a> {
        Walk {
            rules,
            rule: RuleBook(rules),
            redaction,
            pool,
            findings: Findings::default(),
            call_kind: None,
            values: Cell::new(0),
        }
    }

    /// What was found; that there was too much to look at is a finding of its own.
    pub(super) fn done(mut self) -> Comparison {
        if self.values.get() > MAX_VALUES {
            let reason = format!("more than {MAX_VALUES} values");
            self.find_whole([reason.clone(), reason]);
        }
        self.findings.done()
    }

    /// Counts values that are looked at; false once there were too many.
    pub(super) fn spend(&self, values: u32) -> bool {
        let spent = self.values.get().saturating_add(values);
        self.values.set(spent);
        spent <= MAX_VALUES
    }

    /// Compares the details of two `google.rpc.Status`; code and message are compared elsewhere.
    pub(super) fn details(
        &mut self,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: &Place<'_>,
    ) {
        let Some(field) = legacy.descriptor().get_field_by_name("details") else {
            return;
        };
        let (one, other) = (legacy.get_field(&field), candidate.get_field(&field));
        self.values(&field.kind(), &one, &other, at);
    }

    /// Compares two messages of one type.
    pub(super) fn messages(
        &mut self,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: &Place<'_>,
    ) {
        if at.depth > MAX_DEPTH {
            if legacy == candidate {
                return;
            }
            let reason = format!("deeper than {MAX_DEPTH}");
            return self.find_plain(at, Kind::Undecodable, [reason.clone(), reason]);
        }
        if let (Some(one), Some(other)) =
            (unpack::field_mask(legacy), unpack::field_mask(candidate))
        {
            if one != other {
                self.find_texts(at, Kind::Value, [&one.join(","), &other.join(",")]);
            }
            return;
        }
        if let (Some(one), Some(other)) = (self.unpack(legacy), self.unpack(candidate)) {
            return self.packed(&one, &other, &at.packed());
        }
        let fields = [legacy.fields().peekable(), candidate.fields().peekable()];
        for (field, values) in side_by_side(fields, FieldDescriptor::number) {
            if values[0] == values[1] {
                continue;
            }
            let mut below = at.field(field.name());
            if !self.rule.ignores(&below) {
                below.redacted |= self.rules.capture_values && is_redacted(&field);
                self.field(&field, values, [legacy, candidate], at, &below);
            }
        }
        let extensions = [
            legacy.extensions().peekable(),
            candidate.extensions().peekable(),
        ];
        for (extension, values) in side_by_side(extensions, |extension| extension.number()) {
            let mut below = at.field(extension.name());
            if !self.rule.ignores(&below) {
                below.redacted |=
                    self.rules.capture_values && is_redact_option(&extension.options());
                let empty = Value::default_value_for_extension(&extension);
                let presence = extension.supports_presence();
                self.either(&extension.kind(), values, presence, &empty, &below);
            }
        }
        self.unknown_fields(legacy, candidate, at);
    }

    /// Compares two values of one field, both there; `place` is the field, or its element.
    pub(super) fn values(
        &mut self,
        kind: &FieldKind,
        one: &Value,
        other: &Value,
        place: &Place<'_>,
    ) {
        if one == other || !self.spend(1) {
            return;
        }
        match (one, other) {
            (Value::Message(one), Value::Message(other)) => self.messages(one, other, place),
            (Value::List(one), Value::List(other)) => self.lists(kind, one, other, place),
            (Value::Map(one), Value::Map(other)) => self.maps(kind, one, other, place),
            (Value::String(text), Value::String(other_text)) => {
                let form = self.rule.normalizations(place);
                if !form.is_some_and(|form| scalar::same_text(text, other_text, form)) {
                    self.find(kind, Kind::Value, [Some(one), Some(other)], None, place);
                }
            }
            _ => {
                let mut sufficient = None;
                if let Some((a, b)) = scalar::as_float(one).zip(scalar::as_float(other)) {
                    match scalar::floats(a, b, self.rule.tolerance(place)) {
                        Floats::Equal => return,
                        Floats::Differ(share) => sufficient = share,
                    }
                }
                self.find(
                    kind,
                    Kind::Value,
                    [Some(one), Some(other)],
                    sufficient,
                    place,
                );
            }
        }
    }

    /// Records a value that only one side has.
    pub(super) fn find_one_sided(
        &mut self,
        kind: &FieldKind,
        values: [Option<&Value>; 2],
        place: &Place<'_>,
    ) {
        let found = match values {
            [Some(_), _] => Kind::Missing,
            [None, _] => Kind::Extra,
        };
        self.find(kind, found, values, None, place);
    }

    /// Records texts that come from no payload: counts, codes, names of types.
    pub(super) fn find_plain(&mut self, place: &Place<'_>, kind: Kind, values: [String; 2]) {
        let kind = self.call_kind.unwrap_or(kind);
        self.findings.add(place.path(), kind, None, || values);
    }

    /// Records why a whole message can't be compared, or not to its end.
    pub(super) fn find_whole(&mut self, reasons: [String; 2]) {
        let messages = Place::ROOT.field(super::MESSAGES);
        self.find_plain(&messages.element(), Kind::Undecodable, reasons);
    }

    /// Records texts from payloads, shown only where values may be; nothing for an empty one.
    pub(super) fn find_texts(&mut self, place: &Place<'_>, kind: Kind, values: [&str; 2]) {
        let shows = self.shows(place);
        let (kind, redaction) = (self.call_kind.unwrap_or(kind), self.redaction);
        let render = |text: &str| match text {
            "" => String::new(),
            _ if shows => clip(text),
            _ => redaction.hash(text.as_bytes()),
        };
        self.findings
            .add(place.path(), kind, None, || values.map(render));
    }

    /// Records byte strings, always as hashes; nothing for an empty one.
    pub(super) fn find_bytes(&mut self, place: &Place<'_>, kind: Kind, values: [&[u8]; 2]) {
        let (kind, redaction) = (self.call_kind.unwrap_or(kind), self.redaction);
        let hash = |bytes: &[u8]| match bytes {
            [] => String::new(),
            _ => redaction.hash(bytes),
        };
        self.findings
            .add(place.path(), kind, None, || values.map(hash));
    }

    /// Unpacks an `Any`; what is unpacked counts as looked at.
    pub(super) fn unpack(&self, message: &DynamicMessage) -> Option<Packed> {
        let packed = unpack::any(message, &self.pool)?;
        if let Packed::Known(_, bytes) = &packed {
            // A value takes some eight bytes.
            self.spend(u32::try_from(bytes / 8).unwrap_or(u32::MAX));
        }
        Some(packed)
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        values: [Option<&Value>; 2],
        messages: [&DynamicMessage; 2],
        at: &Place<'_>,
        below: &Place<'_>,
    ) {
        let oneof = field.containing_oneof().filter(|o| !o.is_synthetic());
        if let (Some(oneof), [Some(_), None] | [None, Some(_)]) = (oneof, values)
            && let [Some(one), Some(other)] = messages.map(|m| self.case(&oneof, m, at))
        {
            // Both have a case, so both fields come by here: report one of them.
            let place = at.field(oneof.name());
            if values[0].is_some() && !self.rule.ignores(&place) {
                self.find_plain(&place, Kind::Type, [one, other]);
            }
            return;
        }
        let empty = Value::default_value_for_field(field);
        let presence = field.supports_presence();
        self.either(&field.kind(), values, presence, &empty, below);
    }

    /// Compares values that may be on one side only; without presence the default stands in.
    fn either(
        &mut self,
        kind: &FieldKind,
        values: [Option<&Value>; 2],
        presence: bool,
        empty: &Value,
        place: &Place<'_>,
    ) {
        match values {
            [Some(one), Some(other)] => self.values(kind, one, other, place),
            [None, None] => {}
            _ if presence => self.find_one_sided(kind, values, place),
            [one, other] => self.values(kind, one.unwrap_or(empty), other.unwrap_or(empty), place),
        }
    }

    /// The name of the case that a oneof has, if it is not ignored.
    fn case(
        &self,
        oneof: &OneofDescriptor,
        message: &DynamicMessage,
        at: &Place<'_>,
    ) -> Option<String> {
        let field = oneof.fields().find(|field| message.has_field(field))?;
        let ignored = self.rule.ignores(&at.field(field.name()));
        (!ignored).then(|| field.name().to_owned())
    }

    fn packed(&mut self, one: &Packed, other: &Packed, at: &Place<'_>) {
        if one.name() != other.name() {
            return self.find_plain(at, Kind::Type, [one.name(), other.name()]);
        }
        match (one, other) {
            (Packed::Known(one, _), Packed::Known(other, _)) => self.messages(one, other, at),
            (Packed::Opaque(_, one), Packed::Opaque(_, other)) if one == other => {}
            (Packed::Opaque(_, one), Packed::Opaque(_, other)) => {
                self.find_bytes(at, Kind::Value, [one, other]);
            }
            _ => {
                let reason = |packed: &Packed| match packed {
                    Packed::Known(..) => String::new(),
                    Packed::Opaque(name, _) => format!("not a {name}"),
                };
                self.find_plain(at, Kind::Undecodable, [reason(one), reason(other)]);
            }
        }
    }

    /// Fields that the descriptors don't have stand under their numbers.
    fn unknown_fields(
        &mut self,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: &Place<'_>,
    ) {
        let mut numbers: BTreeMap<u32, [Vec<u8>; 2]> = BTreeMap::new();
        for (side, message) in [legacy, candidate].into_iter().enumerate() {
            for unknown in message.unknown_fields() {
                unknown.encode(&mut numbers.entry(unknown.number()).or_default()[side]);
            }
        }
        for (number, [one, other]) in &numbers {
            let number = number.to_string();
            let place = at.field(&number);
            if one != other && !self.rule.ignores(&place) {
                self.find_bytes(&place, Kind::UnknownField, [one, other]);
            }
        }
    }

    /// Whether values from payloads may be stored here.
    fn shows(&self, place: &Place<'_>) -> bool {
        self.rules.capture_values && !place.redacted && !self.rule.redacts(place)
    }

    fn find(
        &mut self,
        kind: &FieldKind,
        found: Kind,
        values: [Option<&Value>; 2],
        sufficient_relative: Option<f64>,
        place: &Place<'_>,
    ) {
        // The findings are taken out, so that values can be rendered by the walk itself.
        let mut findings = std::mem::take(&mut self.findings);
        let found = self.call_kind.unwrap_or(found);
        findings.add(place.path(), found, sufficient_relative, || {
            let shows = self.shows(place);
            let render = |value: &Value| {
                // Not the signature of single values: that leaves out floats with a tolerance.
                match scalar::show(value, kind) {
                    Some(text) if shows => clip(&text),
                    Some(text) => self.redaction.hash(text.as_bytes()),
                    None => format!("#{:016x}", self.signature(value, place)),
                }
            };
            values.map(|value| value.map(render).unwrap_or_default())
        });
        self.findings = findings;
    }
}

/// Whether the field is marked `debug_redact`.
pub(super) fn is_redacted(field: &FieldDescriptor) -> bool {
    is_redact_option(&field.options())
}

/// Whether a field's options say `debug_redact`.
pub(super) fn is_redact_option(options: &DynamicMessage) -> bool {
    const DEBUG_REDACT: u32 = 16;
    options
        .get_field_by_number(DEBUG_REDACT)
        .is_some_and(|value| value.as_bool() == Some(true))
        || options
            .unknown_fields()
            .any(|unknown| unknown.number() == DEBUG_REDACT)
}

/// The fields of two messages, both by rising number, each with the values that there are.
fn side_by_side<'m, D, I: Iterator<Item = (D, &'m Value)>>(
    mut sides: [std::iter::Peekable<I>; 2],
    number: impl Fn(&D) -> u32,
) -> impl Iterator<Item = (D, [Option<&'m Value>; 2])> {
    std::iter::from_fn(move || {
        let next = sides
            .each_mut()
            .map(|side| side.peek().map(|(descriptor, _)| number(descriptor)));
        let first = next.iter().flatten().min().copied()?;
        let [one, other] = sides
            .each_mut()
            .map(|side| side.next_if(|(descriptor, _)| number(descriptor) == first));
        let values = [&one, &other].map(|side| side.as_ref().map(|(_, value)| *value));
        Some((one.or(other)?.0, values))
    })
}
