//! Why a control plane can't start: what the user wrote wrong, and what failed.

use std::io;
use std::path::PathBuf;

use cutover_manifest::ManifestError;

use crate::store::OpenError;

/// Why [`crate::Control::start`] gave up. Nothing was bound, or all of it was released again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The manifest's file can't be read.
    #[error("{}: cannot read the manifest", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(ManifestError),
    /// An address is no `HOST:PORT`, or its host has no address.
    #[error("{what} is {given:?}: write it as HOST:PORT, such as 127.0.0.1:4317")]
    Address {
        /// The setting.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// The operator's listener would be open to others without a token.
    #[error(
        "the operator listener {given} is not a loopback address: set CUTOVER_OPERATOR_TOKEN to \
         the token that operators have to send, or listen on 127.0.0.1"
    )]
    OpenOperator {
        /// The address.
        given: String,
    },
    /// The token can't be sent in a header.
    #[error("CUTOVER_OPERATOR_TOKEN must be 16 or more visible ASCII characters")]
    BadToken,
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A port can't be bound.
    #[error("cannot listen on {given} ({what})")]
    Bind {
        /// The setting.
        what: &'static str,
        /// The address.
        given: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The manifest's folder can't be watched, or a thread can't be started.
    #[error("cannot start {what}")]
    Start {
        /// What.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl StartError {
    /// Whether the user wrote something wrong (exit code 2), rather than something failing (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            StartError::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            StartError::Manifest(_)
            | StartError::Address { .. }
            | StartError::OpenOperator { .. }
            | StartError::BadToken => true,
            StartError::Store(OpenError::Url { .. }) => true,
            StartError::Store(_) | StartError::Bind { .. } | StartError::Start { .. } => false,
        }
    }
}
