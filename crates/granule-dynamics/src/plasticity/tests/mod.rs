//! Tests of the rules, their gradients and their uses.

mod config;
mod gradients;
mod mnist;
mod rates;
mod spikes;
mod training;
mod uses;

use burn::tensor::Tensor;

use super::*;
use crate::state::host;
use crate::{Place, State};

/// The weights after `steps` steps of 1 ms under activities that may depend on the weights.
fn run(
    rule: &dyn Rule,
    weights: Tensor<3>,
    steps: usize,
    mut activity: impl FnMut(usize, &Tensor<3>) -> Activity,
) -> (Tensor<3>, State) {
    let [_, pre, post] = weights.dims();
    let limits = rule.limits();
    let signs = limits.signs(&weights);
    let batch = activity(0, &weights).pre.dims()[0];
    let mut traces = rule.initial(batch, pre, post, &Place::of(&weights));
    let mut weights = weights;
    for step in 0..steps {
        let activity = activity(step, &weights);
        activity.check(&weights).unwrap();
        let (change, after) = rule.change(&weights, &activity, &traces);
        assert_eq!(change.dims(), weights.dims());
        weights = limits.apply(weights, change, signs.as_ref());
        traces = after;
    }
    (weights, traces)
}

/// A small generator for patterns of spikes.
fn draws(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `steps` rows of spikes that come with a probability.
fn spike_trains(seed: u64, steps: usize, units: usize, probability: f64) -> Vec<Vec<f64>> {
    let mut draw = draws(seed);
    let mut row = || {
        (0..units)
            .map(|_| f64::from(draw() < probability))
            .collect()
    };
    (0..steps).map(|_| row()).collect()
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    host(tensor.clone()).unwrap()
}
