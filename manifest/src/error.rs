//! What is wrong with a manifest, and where.

use std::fmt;

/// A place in a manifest's text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Line, from 1; 0 where unknown.
    pub line: u64,
    /// Column, from 1; 0 where unknown.
    pub column: u64,
}

/// A mistake in a manifest. Its `Display` is `FILE:LINE:COLUMN: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Where.
    pub position: Position,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        if line == 0 {
            write!(f, "{}: {}", self.file, self.message)
        } else {
            write!(f, "{}:{line}:{column}: {}", self.file, self.message)
        }
    }
}

impl std::error::Error for ManifestError {}
