//! The increments of the Wiener processes that drive a stochastic field.

use crate::State;
use crate::model::Clock;
use crate::random::NormalNoise;
use crate::state::Place;

/// ΔW of one step, normal with variance `dt`, independent for every element of `state`. A trajectory's increments do not
/// depend on how many others there are in the batch.
pub(super) fn increments(noise: &NormalNoise, at: Clock, state: &State) -> State {
    let Some(first) = state.tensors().first() else {
        return state.clone();
    };
    let widths = state.tensors().iter().map(|x| x.dims()[1]);
    let shape = [first.dims()[0], widths.clone().sum()];
    let all = noise.at(at.step, shape, &Place::of(first));
    let all = all.mul_scalar(at.dt.sqrt());
    let mut from = 0;
    let columns = widths.map(|width| {
        from += width;
        all.clone().narrow(1, from - width, width)
    });
    State::new(columns.collect())
}
