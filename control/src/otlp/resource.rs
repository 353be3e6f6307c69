//! Who sent an export: the attributes of its resource that anything here looks at.

use cutover_manifest::Arm;

use super::wire::{Malformed, each, key_value, text_of};
use crate::deploys::Running;
use crate::pairing::ARM;

/// Longest value that is kept, bytes.
const MAX_TEXT_BYTES: usize = 256;

/// The sender of spans or metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    /// The arm whose process it is; the proxy's has none.
    pub(super) arm: Option<Arm>,
    service: String,
    version: String,
    /// `service.instance.id`, `host.name` and `process.pid`.
    instance: [String; 3],
}

impl Sender {
    /// Reads a `Resource`.
    pub(super) fn read(resource: &[u8]) -> Result<Sender, Malformed> {
        let mut sender = Sender::default();
        for attribute in each(resource, 1) {
            let (key, value) = key_value(attribute?)?;
            let to = match key {
                b"service.name" => &mut sender.service,
                b"service.version" => &mut sender.version,
                b"service.instance.id" => &mut sender.instance[0],
                b"host.name" => &mut sender.instance[1],
                b"process.pid" => &mut sender.instance[2],
                key if key == ARM.as_bytes() => {
                    sender.arm = text_of(value).and_then(|arm| Arm::parse(&arm));
                    continue;
                }
                _ => continue,
            };
            let text = text_of(value).unwrap_or_default();
            *to = text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned();
        }
        Ok(sender)
    }

    /// What it runs, if it is an arm's and says its version.
    pub(super) fn running(&self) -> Option<Running> {
        Some(Running {
            arm: self.arm?,
            service: self.service.clone(),
            version: Some(self.version.clone()).filter(|version| !version.is_empty())?,
        })
    }

    /// What tells processes of one arm apart.
    pub(super) fn instance(&self) -> String {
        let known = self.instance.iter().filter(|part| !part.is_empty());
        known.map(String::as_str).collect::<Vec<_>>().join("/")
    }
}
