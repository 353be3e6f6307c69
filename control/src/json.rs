//! Messages as proto3 JSON (lowerCamelCase, 64-bit numbers as strings), fields at their defaults
//! included, by the embedded descriptors.

use std::sync::LazyLock;

use cutover_proto::cutover::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote a valid descriptor set")
});

/// Why a message can't be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("the descriptors lack {0}")]
    Unknown(&'static str),
    #[error("the message can't be decoded")]
    Decode(#[from] prost::DecodeError),
    #[error("the message can't be written")]
    Write(#[from] serde_json::Error),
}

/// The JSON of a message of type `cutover.v1.{name}`, on one line.
pub(crate) fn json(name: &'static str, message: &impl Message) -> Result<String, JsonError> {
    let descriptor = POOL
        .get_message_by_name(&format!("cutover.v1.{name}"))
        .ok_or(JsonError::Unknown(name))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut serializer = serde_json::Serializer::new(Vec::new());
    dynamic.serialize_with_options(&mut serializer, &options)?;
    Ok(String::from_utf8(serializer.into_inner()).expect("serde_json writes UTF-8"))
}

#[cfg(test)]
mod tests {
    use cutover_proto::cutover::v1 as wire;

    use super::*;

    #[test]
    fn is_the_json_mapping_of_protobuf() {
        let status = wire::Status {
            name: "a".into(),
            epoch: 7,
            ramps: vec![wire::RampStatus {
                phase: wire::Phase::Paused.into(),
                weight_bp: 100,
                ..Default::default()
            }],
            ..Default::default()
        };
        let text = json("Status", &status).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["epoch"], "7");
        assert_eq!(value["ramps"][0]["weightBp"], 100);
        assert_eq!(value["ramps"][0]["phase"], "PHASE_PAUSED");
        assert_eq!(value["manifestError"], "");
        assert!(!text.contains('\n'));
    }
}
