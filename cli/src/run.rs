//! The commands that run until a signal: `up`, `proxy`, `record` and `control`. They read the manifest,
//! start what their crates hold, say where it listens, and end it gracefully.

mod manifest;
mod ready;
mod record;
mod signals;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use cutover_control::{Control, ControlOptions};
use cutover_manifest::Manifest;
use cutover_proxy::{Comparer, Proxy, ProxyOptions};

use crate::args::{ControlArgs, ProxyArgs, UpArgs};
use crate::failure::{Failure, Outcome};

pub(crate) use manifest::read as read_manifest;
pub(crate) use record::record;
pub(crate) use signals::Signals;

/// Runs the control plane, then a proxy that follows it.
pub(crate) async fn up(args: UpArgs) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    let manifest = Arc::new(read_manifest(&args.file)?);
    let control = start_control(ControlOptions {
        manifest_path: args.file,
        listen: args.control_listen,
        operator: args.operator,
        store: args.store,
    })
    .await?;
    let proxy = start_proxy(ProxyOptions {
        bootstrap: Some(manifest),
        control: Some(format!("http://{}", reachable(control.listen_address()))),
        listen: args.listen,
        admin: args.admin,
        threads: args.threads,
        otlp: args.otlp,
        journal: None,
        comparer: Comparer::default(),
    })
    .await;
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(failure) => {
            control.shutdown().await;
            return Err(failure);
        }
    };
    ready::control(&control);
    ready::proxy(&proxy);
    signals.first().await;
    // The proxy first: its last report still reaches the control plane.
    or_second_signal(&mut signals, async {
        proxy.shutdown().await;
        control.shutdown().await;
    })
    .await
}

/// Runs a proxy alone.
pub(crate) async fn proxy(args: ProxyArgs) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    let bootstrap: Option<Arc<Manifest>> = match &args.bootstrap {
        Some(file) => Some(Arc::new(read_manifest(file)?)),
        None => None,
    };
    let proxy = start_proxy(ProxyOptions {
        bootstrap,
        control: args.control.map(|url| control_url(&url)).transpose()?,
        listen: args.listen,
        admin: args.admin,
        threads: args.threads,
        otlp: args.otlp,
        journal: None,
        comparer: Comparer::default(),
    })
    .await?;
    ready::proxy(&proxy);
    signals.first().await;
    or_second_signal(&mut signals, proxy.shutdown()).await
}

/// Runs the control plane alone.
pub(crate) async fn control(args: ControlArgs) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    // Read here too, so that a wrong manifest is told like everywhere else.
    read_manifest(&args.file)?;
    let control = start_control(ControlOptions {
        manifest_path: args.file,
        listen: args.listen,
        operator: args.operator,
        store: args.store,
    })
    .await?;
    ready::control(&control);
    signals.first().await;
    or_second_signal(&mut signals, control.shutdown()).await
}

async fn start_control(options: ControlOptions) -> Result<Control, Failure> {
    Control::start(options).await.map_err(|error| {
        let usage = error.is_usage();
        Failure::of(&error, usage)
    })
}

async fn start_proxy(options: ProxyOptions) -> Result<Proxy, Failure> {
    Proxy::start(options).await.map_err(|error| {
        let usage = error.is_usage();
        Failure::of(&error, usage)
    })
}

/// Waits for `shutdown`; a second signal ends the process at once, with the code that shells
/// expect (128 and the signal's number).
async fn or_second_signal(
    signals: &mut Signals,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, Failure> {
    tokio::select! {
        () = shutdown => Ok(Outcome::Good),
        signal = signals.next() => {
            tracing::warn!(signal, "second signal: ending at once");
            // No destructor and no thread is waited for: that is what the second signal asks.
            std::process::exit(128 + signal)
        }
    }
}

/// The address by which this machine reaches a listener: loopback where it listens on all.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Checks the shape of `--control`.
fn control_url(url: &str) -> Result<String, Failure> {
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    match authority.and_then(|authority| authority.rsplit_once(':')) {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(format!("http://{host}:{port}"))
        }
        _ => Err(Failure::usage(format!(
            "--control {url:?} is not the URL of a control plane"
        ))
        .help("write it as http://HOST:PORT, with the port of spec.control.listen")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_a_listener_on_all_addresses_by_loopback() {
        let check = |given: &str, expected: &str| {
            assert_eq!(reachable(given.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:4317", "127.0.0.1:4317");
        check("[::]:4317", "[::1]:4317");
        check("10.0.0.7:4317", "10.0.0.7:4317");
    }

    #[test]
    fn a_control_url_has_scheme_host_and_port() {
        assert_eq!(control_url("http://c:4317/").unwrap(), "http://c:4317");
        for bad in [
            "c:4317",
            "http://c",
            "https://c:4317",
            "http://:1",
            "http://c:99999",
        ] {
            assert!(control_url(bad).is_err(), "{bad}");
        }
    }
}
