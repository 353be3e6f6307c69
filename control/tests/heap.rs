//! What pairing really holds of the heap, against the bound that the manifest sets. A binary of its
//! own, whose allocator counts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "spans/exports.rs"]
mod spans;

use std::time::Duration;

use cutover_control::Way;
use cutover_manifest::Tracing;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The bound; several times as much comes in.
const MEMORY_BYTES: usize = 16 << 20;

#[test]
fn the_bound_is_true_of_the_bytes_really_held() {
    let bounds = Tracing {
        memory_bytes: MEMORY_BYTES,
        ..Tracing::default()
    };
    // Pairs of which one arm's spans never come wait for the longest time.
    for without in [0, 2] {
        let before = HEAP.current_usage();
        let mut way = Way::new(&bounds);
        let (mut taken, mut most) = (0, 0);
        for round in 0..100 {
            let mut exports = spans::exports(round * 500..(round + 1) * 500);
            exports[without].clear();
            let input: usize = exports.iter().map(Vec::capacity).sum();
            for export in &exports {
                taken += way.take(export, Duration::ZERO, spans::NOW);
                most = most.max(HEAP.current_usage() - before - input);
                assert!(way.held().1 <= MEMORY_BYTES);
            }
            way.sweep(Duration::from_secs(1));
        }
        let (spans, bytes) = way.held();
        println!("{taken} spans came, {spans} are held: {bytes} bytes by count, {most} at most");
        assert!(
            way.left_out().evicted > 3 * spans as u64,
            "several times the bound came"
        );
        assert!(most <= MEMORY_BYTES, "{most} bytes of the heap");
        assert!(most > MEMORY_BYTES / 4, "the bound is used: {most} bytes");
        way.sweep(Duration::from_secs(60));
        assert_eq!(way.held(), (0, 0));
    }
}
