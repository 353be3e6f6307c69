//! Walks two messages of one type side by side, field by field.

use cutover_manifest::CompareRules;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, OneofDescriptor, ReflectMessage, Value,
};

use super::finding::Findings;
use super::place::{Place, RuleBook};
use super::scalar::{self, Floats};
use super::unpack::{self, Packed};
use crate::difference::{Kind, Redaction};

/// Deepest nesting that is compared, unpacked messages included.
pub(super) const MAX_DEPTH: u32 = 64;
/// Most values that are compared in one call.
const MAX_VALUES: u32 = 1_000_000;

/// A comparison under way.
pub(super) struct Walk<'a> {
    pub(super) rules: &'a CompareRules,
    pub(super) rule: RuleBook<'a>,
    pub(super) redaction: &'a Redaction,
    pub(super) pool: DescriptorPool,
    pub(super) findings: Findings<'a>,
    /// The kind that stands for all kinds in a part of the call that has its own.
    pub(super) call_kind: Option<Kind>,
    values: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        rules: &'a CompareRules,
        redaction: &'a Redaction,
        pool: DescriptorPool,
        findings: Findings<'a>,
    ) -> Walk<'a> {
        let rule = RuleBook(rules);
        Walk {
            rules,
            rule,
            redaction,
            pool,
            findings,
            call_kind: None,
            values: 0,
        }
    }

    /// Compares the details of two `google.rpc.Status`; code and message are compared elsewhere.
    pub(super) fn details(
        &mut self,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: Place,
    ) {
        let Some(field) = legacy.descriptor().get_field_by_name("details") else {
            return;
        };
        let (one, other) = (legacy.get_field(&field), candidate.get_field(&field));
        self.values(&field, &one, &other, &at);
    }

    /// Compares two messages of one type.
    pub(super) fn messages(
        &mut self,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: Place,
    ) {
        if at.depth > MAX_DEPTH {
            if legacy == candidate {
                return;
            }
            let reason = format!("deeper than {MAX_DEPTH}");
            return self.find_plain(&at.path, Kind::Undecodable, [reason.clone(), reason]);
        }
        if let (Some(one), Some(other)) =
            (unpack::field_mask(legacy), unpack::field_mask(candidate))
        {
            if one != other {
                self.find_texts(&at, Kind::Value, [one.join(","), other.join(",")]);
            }
            return;
        }
        if let (Some(one), Some(other)) = (
            unpack::any(legacy, &self.pool),
            unpack::any(candidate, &self.pool),
        ) {
            return self.packed(&one, &other, at);
        }
        for field in legacy.descriptor().fields() {
            let mut below = at.clone();
            below.field(field.name());
            below.redacted |= self.rules.capture_values && is_redacted(&field);
            if !self.rule.ignores(&below.path) {
                self.fields(&field, legacy, candidate, &at, &below);
            }
        }
        self.unknown_fields(legacy, candidate, &at);
    }

    /// Compares two values of one field, both there; `place` is the field, or its element.
    pub(super) fn values(
        &mut self,
        field: &FieldDescriptor,
        one: &Value,
        other: &Value,
        place: &Place,
    ) {
        self.values += 1;
        if self.values > MAX_VALUES {
            if self.values == MAX_VALUES + 1 {
                let reason = format!("more than {MAX_VALUES} values");
                self.find_plain("", Kind::Undecodable, [reason.clone(), reason]);
            }
            return;
        }
        match (one, other) {
            (Value::Message(one), Value::Message(other)) => {
                self.messages(one, other, place.clone())
            }
            (Value::List(one), Value::List(other)) if one != other => {
                self.lists(field, one, other, place);
            }
            (Value::List(_), Value::List(_)) => {}
            (Value::Map(one), Value::Map(other)) => self.maps(field, one, other, place),
            _ => match scalar::as_float(one).zip(scalar::as_float(other)) {
                Some((a, b)) => {
                    if let Floats::Differ(share) =
                        scalar::floats(a, b, self.rule.tolerances(&place.path))
                    {
                        self.find(field, Kind::Value, [Some(one), Some(other)], share, place);
                    }
                }
                None if one != other => {
                    self.find(field, Kind::Value, [Some(one), Some(other)], None, place);
                }
                None => {}
            },
        }
    }

    /// Records a value that only one side has.
    pub(super) fn find_one_sided(
        &mut self,
        field: &FieldDescriptor,
        legacy: Option<&Value>,
        candidate: Option<&Value>,
        place: &Place,
    ) {
        let kind = if legacy.is_some() {
            Kind::Missing
        } else {
            Kind::Extra
        };
        self.find(field, kind, [legacy, candidate], None, place);
    }

    /// Records texts that come from no payload.
    pub(super) fn find_plain(&mut self, path: &str, kind: Kind, values: [String; 2]) {
        self.findings
            .plain(path, self.call_kind.unwrap_or(kind), values);
    }

    /// Hash of a whole list.
    pub(super) fn hash_list(&self, list: &[Value], place: &Place) -> String {
        format!(
            "#{:016x}",
            self.signature(&Value::List(list.to_vec()), place)
        )
    }

    fn fields(
        &mut self,
        field: &FieldDescriptor,
        legacy: &DynamicMessage,
        candidate: &DynamicMessage,
        at: &Place,
        below: &Place,
    ) {
        if field.supports_presence() {
            match (legacy.has_field(field), candidate.has_field(field)) {
                (false, false) => return,
                (true, true) => {}
                (has, _) => {
                    if let Some(oneof) = field.containing_oneof().filter(|o| !o.is_synthetic())
                        && let [Some(one), Some(other)] =
                            [legacy, candidate].map(|message| case(&oneof, message))
                    {
                        // Both have a case, so both fields come by here: report one of them.
                        if has {
                            let mut at = at.clone();
                            at.field(oneof.name());
                            self.find_plain(&at.path, Kind::Type, [one, other]);
                        }
                        return;
                    }
                    let values =
                        [legacy, candidate].map(|m| m.has_field(field).then(|| m.get_field(field)));
                    let [one, other] = values;
                    return self.find_one_sided(field, one.as_deref(), other.as_deref(), below);
                }
            }
        }
        self.values(
            field,
            &legacy.get_field(field),
            &candidate.get_field(field),
            below,
        );
    }

    fn packed(&mut self, one: &Packed, other: &Packed, mut at: Place) {
        at.depth += 1;
        let name = |packed: &Packed| match packed {
            Packed::Known(message) => message.descriptor().full_name().to_owned(),
            Packed::Opaque(name, _) => name.clone(),
        };
        if name(one) != name(other) {
            return self.find_plain(&at.path, Kind::Type, [name(one), name(other)]);
        }
        match (one, other) {
            (Packed::Known(one), Packed::Known(other)) => self.messages(one, other, at),
            (Packed::Opaque(_, one), Packed::Opaque(_, other)) if one == other => {}
            (Packed::Opaque(_, one), Packed::Opaque(_, other)) => {
                let kind = self.call_kind.unwrap_or(Kind::Value);
                self.findings.bytes(&at.path, kind, [one, other]);
            }
            _ => {
                let reason = |packed: &Packed| match packed {
                    Packed::Known(_) => String::new(),
                    Packed::Opaque(name, _) => format!("not a {name}"),
                };
                self.find_plain(&at.path, Kind::Undecodable, [reason(one), reason(other)]);
            }
        }
    }

    fn unknown_fields(&mut self, legacy: &DynamicMessage, candidate: &DynamicMessage, at: &Place) {
        let of = |message: &DynamicMessage| {
            let mut bytes = Vec::new();
            message
                .unknown_fields()
                .for_each(|unknown| unknown.encode(&mut bytes));
            bytes
        };
        let (one, other) = (of(legacy), of(candidate));
        if one != other {
            let kind = self.call_kind.unwrap_or(Kind::UnknownField);
            self.findings.bytes(&at.path, kind, [&one, &other]);
        }
    }

    fn find_texts(&mut self, place: &Place, kind: Kind, [one, other]: [String; 2]) {
        let kind = self.call_kind.unwrap_or(kind);
        if place.redacted {
            self.findings
                .bytes(&place.path, kind, [one.as_bytes(), other.as_bytes()]);
        } else {
            self.findings.text(&place.path, kind, [&one, &other]);
        }
    }

    fn find(
        &mut self,
        field: &FieldDescriptor,
        kind: Kind,
        values: [Option<&Value>; 2],
        sufficient_relative: Option<f64>,
        place: &Place,
    ) {
        let shows = !place.redacted && self.findings.shows(&place.path);
        let render = |value: &Value| {
            // Not the signature of single values: that leaves out floats with a tolerance.
            match scalar::show(value, &field.kind()) {
                Some(text) if shows => crate::difference::clip(&text),
                Some(text) => self.redaction.hash(text.as_bytes()),
                None => format!("#{:016x}", self.signature(value, place)),
            }
        };
        let values = values.map(|value| value.map(render).unwrap_or_default());
        let kind = self.call_kind.unwrap_or(kind);
        self.findings
            .add(&place.path, kind, values, sufficient_relative);
    }
}

/// The name of the case that a oneof has.
fn case(oneof: &OneofDescriptor, message: &DynamicMessage) -> Option<String> {
    let field = oneof.fields().find(|field| message.has_field(field))?;
    Some(field.name().to_owned())
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
