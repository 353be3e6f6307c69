//! Are the addresses to listen on free, and each for one thing only?

use std::collections::BTreeMap;
use std::net::TcpListener;

use cutover_manifest::Manifest;

use super::list::List;

/// Binds each address for a moment.
pub(super) fn check(manifest: &Manifest, list: &mut List) {
    let wanted = [
        ("spec.listen", &manifest.listen),
        ("spec.admin", &manifest.admin),
        ("spec.control.listen", &manifest.control.listen),
        ("spec.control.operator", &manifest.control.operator),
    ];
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, address) in wanted {
        if !address.ends_with(":0")
            && let Some(first) = taken.insert(address, key)
        {
            list.mistake("ports", format!("{first} and {key} are both {address}"));
            continue;
        }
        if let Err(error) = TcpListener::bind(address.as_str()) {
            list.failed(
                "ports",
                format!("{key} {address}: {error}\n  help: is it running already?"),
            );
        }
    }
    if !list.is_wrong("ports") {
        list.good("ports", format!("all {} are free", wanted.len()));
    }
}
