//! The lines on standard output that say where a process listens, one for each listener, flushed:
//! tests, scripts and people wait for them.

use std::io::{self, Write};

use cutover_control::Control;
use cutover_proxy::Proxy;

/// Tells where the control plane listens.
pub(crate) fn control(control: &Control) {
    print(&format!(
        "control listening on {}",
        control.listen_address()
    ));
    print(&format!(
        "dashboard at http://{}/",
        control.operator_address()
    ));
}

/// Tells where the proxy listens.
pub(crate) fn proxy(proxy: &Proxy) {
    print(&format!("proxy listening on {}", proxy.listen_address()));
    print(&format!("admin listening on {}", proxy.admin_address()));
}

fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    // Nobody reading is no reason to stop serving.
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, line, "can't write to standard output");
    }
}
