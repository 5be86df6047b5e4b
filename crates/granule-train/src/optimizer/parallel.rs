//! Host updates over several threads; a parameter's elements are independent, so the split changes no bit.

use std::env;
use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;

use super::{Rule, UpdateContext};

/// Below this many elements per thread, starting one costs more than it saves.
const MIN_PER_THREAD: usize = 1 << 18;

/// Asked for once: the system looks through several files for the answer.
static THREADS: LazyLock<usize> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    threads(cores, env::var("RAYON_NUM_THREADS").ok().as_deref())
});

/// No more threads than the kernels' pool has.
fn threads(cores: usize, setting: Option<&str>) -> usize {
    let set = setting
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|set| *set > 0);
    set.map_or(cores, |set| set.min(cores))
}

/// Elements summed in one run; part of the result, so it depends on nothing.
const SUM_CHUNK: usize = 4096;

pub(super) fn update(
    rule: &dyn Rule,
    at: &UpdateContext,
    weight: &mut [f32],
    gradient: &[f32],
    mut state: Vec<&mut [f32]>,
) {
    let parts = (weight.len() / MIN_PER_THREAD).clamp(1, *THREADS);
    if parts == 1 {
        rule.update(at, weight, gradient, &mut state);
        return;
    }
    let part = weight.len().div_ceil(parts);
    let mut state: Vec<_> = state
        .into_iter()
        .map(|slot| slot.chunks_mut(part))
        .collect();
    thread::scope(|scope| {
        for (weight, gradient) in weight.chunks_mut(part).zip(gradient.chunks(part)) {
            let mut state: Vec<_> = state.iter_mut().filter_map(Iterator::next).collect();
            scope.spawn(move || rule.update(at, weight, gradient, &mut state));
        }
    });
}

pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let chunk = |chunk: &[f32]| {
        let mut lanes = [0.0f64; 8];
        let (heads, tail) = chunk.as_chunks::<8>();
        for head in heads {
            for (lane, x) in lanes.iter_mut().zip(head) {
                *lane += f64::from(*x) * f64::from(*x);
            }
        }
        let tail: f64 = tail.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        lanes.iter().sum::<f64>() + tail
    };
    values.chunks(SUM_CHUNK).map(chunk).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_threads_than_the_pool() {
        for (setting, expected) in [
            (None, 4),
            (Some("1"), 1),
            (Some("3"), 3),
            (Some("9"), 4),
            (Some("0"), 4),
            (Some("many"), 4),
        ] {
            assert_eq!(threads(4, setting), expected, "{setting:?}");
        }
    }
}
