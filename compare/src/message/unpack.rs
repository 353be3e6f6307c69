//! What is packed into other messages: `google.protobuf.Any`, `google.rpc.Status`, field masks.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

/// Types of gRPC's status and its usual details, for services that don't import them.
static RPC_POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok());

/// `google.rpc.Status`.
pub(super) fn status_descriptor() -> Option<MessageDescriptor> {
    RPC_POOL.as_ref()?.get_message_by_name("google.rpc.Status")
}

/// What an `Any` holds.
pub(super) enum Packed {
    /// A message of a known type, and its size in bytes.
    Known(DynamicMessage, usize),
    /// The type's name with the bytes: it is not known, or they are no such message.
    Opaque(String, bytes::Bytes),
}

impl Packed {
    /// The full name of its type.
    pub(super) fn name(&self) -> String {
        match self {
            Packed::Known(message, _) => message.descriptor().full_name().to_owned(),
            Packed::Opaque(name, _) => name.clone(),
        }
    }
}

/// Unpacks a message if it is a `google.protobuf.Any`.
pub(super) fn any(message: &DynamicMessage, pool: &DescriptorPool) -> Option<Packed> {
    if message.descriptor().full_name() != "google.protobuf.Any" {
        return None;
    }
    let url = message.get_field_by_number(1)?.as_str()?.to_owned();
    let bytes = message.get_field_by_number(2)?.as_bytes()?.clone();
    let name = url.rsplit('/').next().unwrap_or_default().to_owned();
    let descriptor = pool.get_message_by_name(&name).or_else(|| {
        RPC_POOL
            .as_ref()
            .and_then(|pool| pool.get_message_by_name(&name))
    });
    let decoded = descriptor.and_then(|found| DynamicMessage::decode(found, bytes.clone()).ok());
    let size = bytes.len();
    Some(match decoded {
        Some(message) => Packed::Known(message, size),
        None => Packed::Opaque(name, bytes),
    })
}

/// The paths of a `google.protobuf.FieldMask`, which is a set: sorted, each once.
pub(super) fn field_mask(message: &DynamicMessage) -> Option<Vec<String>> {
    if message.descriptor().full_name() != "google.protobuf.FieldMask" {
        return None;
    }
    let value = message.get_field_by_number(1)?;
    let paths = value
        .as_list()?
        .iter()
        .filter_map(|path| path.as_str().map(str::to_owned));
    let mut paths: Vec<String> = paths.collect();
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}
