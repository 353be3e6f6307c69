//! Many runs at once: each has a seed of its own, so it doesn't matter which core does it.

use std::num::NonZero;
use std::thread;

/// What each run gave, for the seeds from 0, by seed.
pub(crate) fn each<T: Send>(runs: u32, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let of_core = |core: usize| {
        let seeds = (core as u64..u64::from(runs)).step_by(cores);
        seeds.map(|seed| (seed, run(seed))).collect::<Vec<_>>()
    };
    let of_core = &of_core;
    let mut all = thread::scope(|scope| {
        let cores: Vec<_> = (0..cores)
            .map(|core| scope.spawn(move || of_core(core)))
            .collect();
        let ended = cores
            .into_iter()
            .map(|core| core.join().expect("a run that ends"));
        ended.flatten().collect::<Vec<_>>()
    });
    all.sort_unstable_by_key(|(seed, _)| *seed);
    all.into_iter().map(|(_, given)| given).collect()
}
