//! Answers as proto3 JSON, drawn from the descriptors, so that names and enums are those of the
//! contract. Fields with their default value are written too: scripts need not guess.

use cutover_proto::cutover::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::failure::Failure;

/// `message` of type `cutover.v1.NAME` as JSON text, pretty or on one line, with a line's end.
pub(super) fn render(name: &str, message: &impl Message, shape: Shape) -> Result<String, Failure> {
    let failed = |error: String| Failure::failed(format!("can't write {name} as JSON: {error}"));
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|e| failed(e.to_string()))?;
    let descriptor = pool
        .get_message_by_name(&format!("cutover.v1.{name}"))
        .ok_or_else(|| failed("no such message".to_owned()))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic
        .transcode_from(message)
        .map_err(|e| failed(e.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|e| failed(e.to_string()))?;
    Ok(match shape {
        Shape::Pretty => format!("{value:#}\n"),
        Shape::Line => format!("{value}\n"),
    })
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Indented: one answer.
    Pretty,
    /// One line: one of many answers.
    Line,
}

#[cfg(test)]
mod tests {
    use cutover_proto::cutover::v1::{Phase, RampStatus};

    use super::*;

    #[test]
    fn writes_the_contracts_names_and_defaults() {
        let ramp = RampStatus {
            scope: "*".to_owned(),
            phase: Phase::Healthy.into(),
            entered_unix_ms: 7,
            ..RampStatus::default()
        };
        let text = render("RampStatus", &ramp, Shape::Line).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["phase"], "PHASE_HEALTHY");
        assert_eq!(value["step"], 0);
        assert_eq!(value["enteredUnixMs"], "7");
    }
}
