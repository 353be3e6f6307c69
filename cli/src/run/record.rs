//! `record`: a proxy that writes the calls that pass to a file.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use cutover_manifest::Manifest;
use cutover_proxy::ProxyOptions;
use cutover_proxy::journal::{Journal, JournalCounts, JournalError, JournalOptions};
use cutover_proxy::reflection;

use super::signals::Signals;
use super::{or_second_signal, read_manifest, ready, start_proxy};
use crate::args::RecordArgs;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text;

/// Runs a proxy and records until a signal or the duration ends it.
pub(crate) async fn record(args: RecordArgs) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    let manifest = Arc::new(read_manifest(&args.file)?);
    let journal = start_journal(&args, &manifest).await?;
    let proxy = start_proxy(ProxyOptions {
        bootstrap: Some(manifest),
        listen: args.listen,
        admin: args.admin,
        threads: args.threads,
        journal: Some(journal.clone()),
        ..ProxyOptions::default()
    })
    .await;
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(failure) => {
            // Nothing is in it; one that stays would only be in the next attempt's way.
            let _ = std::fs::remove_file(&args.out);
            return Err(failure);
        }
    };
    ready::proxy(&proxy);
    match args.duration {
        None => signals.first().await,
        Some(duration) => tokio::select! {
            () = signals.first() => {}
            () = tokio::time::sleep(duration) => tracing::info!("the time is over: ending"),
        },
    }
    or_second_signal(&mut signals, proxy.shutdown()).await?;
    let finished = tokio::task::spawn_blocking(move || journal.finish()).await;
    let counts = match finished {
        Ok(finished) => finished.map_err(|error| Failure::of(&error, false))?,
        Err(_) => return Err(Failure::of(&JournalError::Thread, false)),
    };
    print(&summary(&args.out, &counts))?;
    Ok(Outcome::Good)
}

async fn start_journal(args: &RecordArgs, manifest: &Arc<Manifest>) -> Result<Journal, Failure> {
    let descriptors = reflection::descriptors(manifest).await.map_err(|reason| {
        Failure::failed("there are no descriptors, so nothing could be redacted")
            .at(reason)
            .help(
                "start an arm that serves reflection, or name a file in spec.descriptors.file; \
                 `cutover check` says more",
            )
    })?;
    let options = JournalOptions {
        file: args.out.clone(),
        share: args.percent,
        max_bytes: args.max_bytes,
        descriptors,
        manifest: manifest.clone(),
    };
    Journal::create(options).map_err(|error| {
        let kind = match &error {
            JournalError::Create { source, .. } => source.kind(),
            _ => ErrorKind::Other,
        };
        let out = args.out.display();
        match kind {
            ErrorKind::AlreadyExists => Failure::usage(format!("{out} is there already"))
                .help("take another name for --out, or remove the file"),
            ErrorKind::NotFound => Failure::usage(format!("--out {out}: no such directory"))
                .help("make the directory first"),
            _ => Failure::of(&error, false),
        }
    })
}

fn summary(out: &Path, counts: &JournalCounts) -> String {
    let JournalCounts {
        calls,
        entries,
        bytes,
        fields_cleared,
        messages_dropped,
        calls_dropped_behind,
        calls_dropped_over_bound,
        calls_dropped_full,
    } = counts;
    let size = text::bytes(*bytes);
    let mut lines = format!(
        "recorded {calls} calls in {entries} entries, {size}, to {}\n",
        out.display()
    );
    for (count, what) in [
        (fields_cleared, "fields cleared"),
        (messages_dropped, "messages left out: they don't decode"),
        (
            calls_dropped_behind,
            "calls left out: the writer was behind",
        ),
        (
            calls_dropped_over_bound,
            "calls left out: larger than limits.maxComparedMessageBytes",
        ),
        (calls_dropped_full, "calls left out: the file was full"),
    ] {
        lines += &format!("  {count} {what}\n");
    }
    lines
}
