//! The words of the wire and the words of the manifest, into each other.

use cutover_manifest::{Arm, Role};
use cutover_proto::cutover::v1 as wire;

/// The scope that means all methods.
pub(crate) const ALL: &str = "*";
/// The name under which proxies count methods that the descriptors don't have.
pub(crate) const OTHER: &str = "_OTHER";

pub(crate) fn arm_to_wire(arm: Arm) -> wire::Arm {
    match arm {
        Arm::Legacy => wire::Arm::Legacy,
        Arm::Candidate => wire::Arm::Candidate,
    }
}

pub(crate) fn arm_from_wire(number: i32) -> Option<Arm> {
    match wire::Arm::try_from(number) {
        Ok(wire::Arm::Legacy) => Some(Arm::Legacy),
        Ok(wire::Arm::Candidate) => Some(Arm::Candidate),
        _ => None,
    }
}

pub(crate) fn role_to_wire(role: Role) -> wire::Role {
    match role {
        Role::Primary => wire::Role::Primary,
        Role::Shadow => wire::Role::Shadow,
        Role::Noise => wire::Role::Noise,
    }
}

pub(crate) fn role_from_wire(number: i32) -> Option<Role> {
    match wire::Role::try_from(number) {
        Ok(wire::Role::Primary) => Some(Role::Primary),
        Ok(wire::Role::Shadow) => Some(Role::Shadow),
        Ok(wire::Role::Noise) => Some(Role::Noise),
        _ => None,
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `text` is `digits` lower-case hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
