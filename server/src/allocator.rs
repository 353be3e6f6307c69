//! Keeps the C library's allocator small. This file is about the one call that needs `unsafe`.
#![allow(unsafe_code, reason = "the allocator has no safe interface")]

/// Arenas of the allocator. By default there are eight for each core, and each keeps some MiB of
/// what threads that read the database left behind; a thread's own cache needs no arena.
#[cfg(target_env = "gnu")]
const MAX_ARENAS: libc::c_int = 2;

/// Bounds the allocator's arenas; to be called before threads are started.
#[cfg(target_env = "gnu")]
pub(crate) fn limit_arenas() {
    // SAFETY: `mallopt` only stores a number, and locks the allocator while it does.
    let stored = unsafe { libc::mallopt(libc::M_ARENA_MAX, MAX_ARENAS) };
    debug_assert_eq!(stored, 1, "the allocator knows the option");
}

/// Other C libraries have no such arenas.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn limit_arenas() {}
