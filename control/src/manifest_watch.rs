//! Follows the manifest's file. The folder is watched, not the file: editors and Kubernetes put a
//! new file (or a new `..data` link) in its place. A look at the content twice a second finds what
//! the watch does not tell. A manifest that is wrong stays out; the table in force stays in force.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cutover_manifest::Manifest;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::core::ChangeError;
use crate::fingerprint::content_hash;
use crate::shared::Shared;

/// How often the content is looked at without being told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long writing may take after the first sign of it; also bounds how often a file that changes
/// without end makes us look.
const SETTLE: Duration = Duration::from_millis(20);
/// Largest manifest that is read, bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Watches a folder as long as it lives.
pub(crate) struct ManifestWatch {
    path: PathBuf,
    seen: [u8; 32],
    told: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

/// Reads a manifest's text, within bounds.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let too_large = || {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(too_large());
    }
    std::fs::read_to_string(path)
}

/// Whether an event may mean another content: reading the file is an event too, and so is every
/// write to a store that lies beside it. Kubernetes swaps names that begin with two dots.
fn concerns(event: &notify::Event, name: Option<&OsStr>) -> bool {
    let swapped = |file: &OsStr| file.as_encoded_bytes().starts_with(b"..");
    let mut files = event.paths.iter().filter_map(|path| path.file_name());
    !event.kind.is_access() && files.any(|file| Some(file) == name || swapped(file))
}

impl ManifestWatch {
    /// Watches the folder of `path`, whose content was `text` when it was read.
    pub(crate) fn new(path: &Path, text: &str) -> ManifestWatch {
        let told = Arc::new(Notify::new());
        let tell = told.clone();
        let name = path.file_name().map(OsStr::to_owned);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| concerns(&event, name.as_deref())) {
                tell.notify_one();
            }
        });
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let watching = watcher.and_then(|mut watcher| {
            watcher
                .watch(folder, RecursiveMode::NonRecursive)
                .map(|()| watcher)
        });
        let watcher = watching.map_err(|error| {
            tracing::warn!(%error, "the manifest's folder can't be watched: it is only polled");
        });
        ManifestWatch {
            path: path.to_owned(),
            seen: content_hash(text.as_bytes()),
            told,
            _watcher: watcher.ok(),
        }
    }

    /// Follows the file until shutdown.
    pub(crate) async fn follow(mut self, shared: Arc<Shared>) {
        loop {
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                () = self.told.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let path = self.path.clone();
            let Ok(text) = tokio::task::spawn_blocking(move || read(&path)).await else {
                return;
            };
            let (hash, parsed) = match text {
                Ok(text) => {
                    let hash = content_hash(text.as_bytes());
                    if hash == self.seen {
                        continue;
                    }
                    let name = self.path.display().to_string();
                    (
                        hash,
                        Manifest::parse(&name, &text).map_err(|error| error.to_string()),
                    )
                }
                Err(error) => {
                    let message = format!("{}: cannot read it: {error}", self.path.display());
                    let hash = content_hash(message.as_bytes());
                    if hash == self.seen {
                        continue;
                    }
                    (hash, Err(message))
                }
            };
            self.seen = hash;
            take(&shared, parsed).await;
        }
    }
}

async fn take(shared: &Arc<Shared>, parsed: Result<Manifest, String>) {
    match parsed {
        Err(error) => {
            tracing::error!(
                error,
                "the manifest on disk is wrong: the one in force stays"
            );
            shared.core().manifest_error = error;
            shared.touch();
        }
        Ok(manifest) => {
            let manifest = Arc::new(manifest);
            let decide = move |core: &mut crate::core::Core, at| {
                if core.manifest.text == manifest.text {
                    // The one in force is back.
                    core.manifest_error.clear();
                    return Ok(Vec::new());
                }
                if control_addresses(&core.manifest) != control_addresses(&manifest) {
                    tracing::warn!("spec.control takes effect at the next start");
                }
                Ok::<_, ChangeError>(core.take_manifest(manifest.clone(), at))
            };
            // What could not be saved was logged, and the next snapshot saves it again.
            let _ = shared.change(decide).await;
            shared.touch();
        }
    }
}

/// What only a start reads.
fn control_addresses(manifest: &Manifest) -> [&str; 3] {
    let control = &manifest.control;
    [&control.listen, &control.operator, &control.store]
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
    use notify::{Event, EventKind};

    use super::*;

    #[test]
    fn only_what_can_change_the_manifest_is_a_sign() {
        let check = |kind, file: &str, expected| {
            let event = Event::new(kind).add_path(Path::new("/etc/cutover").join(file));
            let name = OsStr::new("cutover.yaml");
            assert_eq!(concerns(&event, Some(name)), expected, "{kind:?} {file}");
        };
        let (written, read) = (
            EventKind::Modify(ModifyKind::Any),
            AccessKind::Open(AccessMode::Any),
        );
        check(written, "cutover.yaml", true);
        check(EventKind::Create(CreateKind::File), "cutover.yaml", true);
        check(EventKind::Create(CreateKind::Any), "..data", true);
        check(EventKind::Access(read), "cutover.yaml", false);
        check(written, "cutover.db-wal", false);
    }
}
