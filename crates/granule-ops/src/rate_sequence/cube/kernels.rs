//! The sweeps over a sequence, one workgroup for each trial and one of its units for each unit of the network, and single
//! steps of a network that no workgroup holds. A long sequence is several launches.
//!
//! `room` is a number of units for which there is room in a workgroup, so that one kernel serves several sizes.
//!
//! What the units of a workgroup tell each other is in shared memory; between two steps all of them wait for each other.

// Kernels have the operator alone.
#![allow(clippy::manual_is_multiple_of)]

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::firing_rate::cube::{Curve, rate, slope};

/// `x_{t+1} = (1 − α) ∘ x_t + α ∘ (r_t W + d_t)`
#[cube]
fn advanced(x: f32, alpha: f32, product: f32, drive: f32) -> f32 {
    (1.0 - alpha) * x + alpha * (product + drive)
}

/// `λ_t = (1 − α) ∘ λ_{t+1} + φ′(x_t) ∘ ((α ∘ λ_{t+1}) Wᵀ)`
#[cube]
fn retreated(adjoint: f32, alpha: f32, product: f32, slope: f32) -> f32 {
    (1.0 - alpha) * adjoint + slope * product
}

/// An element of a vector of this workgroup times a matrix.
#[cube]
fn product(vector: &[f32], matrix: &[f32], column: usize, units: usize) -> f32 {
    let mut sum = 0.0f32;
    for row in 0..units {
        sum += vector[row] * matrix[row * units + column];
    }
    sum
}

/// `steps` steps after `done` ones, which left the state in `carried`; `states` gets those after every `every` steps.
#[cube(launch, address_type = "dynamic")]
pub(super) fn forward(
    x0: &[f32],
    drive: &[f32],
    weight: &[f32],
    alpha: &[f32],
    states: &mut [f32],
    carried: &mut [f32],
    done: u32,
    steps: u32,
    every: u32,
    gain: f32,
    exponent: f32,
    units: u32,
    #[comptime] room: usize,
    #[comptime] curve: Curve,
) {
    let mut rates = Shared::<[f32]>::new_slice(room);
    let units = units as usize;
    let unit = UNIT_POS as usize;
    let own = CUBE_POS * units + unit;
    let step_len = CUBE_COUNT * units;
    let a = alpha[unit];
    let mut x = x0[own];
    if done > 0 {
        x = carried[own];
    }
    rates[unit] = rate(x, gain, exponent, curve);
    sync_cube();
    for number in 0..steps {
        let step = done + number;
        let sum = product(&rates, weight, unit, units);
        sync_cube();
        x = advanced(x, a, sum, drive[step as usize * step_len + own]);
        rates[unit] = rate(x, gain, exponent, curve);
        sync_cube();
        if (step + 1) % every == 0 {
            states[(step / every) as usize * step_len + own] = x;
        }
    }
    carried[own] = x;
}

/// The state before a step.
#[cube]
fn before(x0: &[f32], states: &[f32], own: usize, step: usize, step_len: usize) -> f32 {
    let mut x = x0[own];
    if step > 0 {
        x = states[(step - 1) * step_len + own];
    }
    x
}

/// The adjoint `λ_t`, of which `x` is the state and `later` is `λ_{t+1}`. `adjoints` gets it, and `rates` gets `r_t`.
#[cube]
fn earlier(
    grad: &[f32],
    adjoints: &mut [f32],
    rates: &mut [f32],
    x: f32,
    later: f32,
    alpha: f32,
    product: f32,
    own: usize,
    step: usize,
    step_len: usize,
    every: usize,
    gain: f32,
    exponent: f32,
    #[comptime] curve: Curve,
) -> f32 {
    let at = step * step_len + own;
    rates[at] = rate(x, gain, exponent, curve);
    let mut adjoint = retreated(later, alpha, product, slope(x, gain, exponent, curve));
    if step > 0 {
        if step % every == 0 {
            adjoint += grad[(step / every - 1) * step_len + own];
        }
        adjoints[at - step_len] = adjoint;
    }
    adjoint
}

/// The adjoint sweep from after `done + steps` steps to after `done` ones. `states` are those after every step, `grad` is the
/// gradient of those after every `every` steps. `carried` has the adjoint to begin with, and then that at the end; over all steps
/// `adjoints` gets `λ_1 … λ_T`, `rates` `r_0 … r_{T−1}`, and `of_alpha` each trial's part of `Σ_t λ_{t+1} ∘ (d_t − x_t)`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward(
    x0: &[f32],
    drive: &[f32],
    states: &[f32],
    grad: &[f32],
    transposed: &[f32],
    alpha: &[f32],
    adjoints: &mut [f32],
    carried: &mut [f32],
    rates: &mut [f32],
    of_alpha: &mut [f32],
    done: u32,
    steps: u32,
    every: u32,
    gain: f32,
    exponent: f32,
    units: u32,
    #[comptime] room: usize,
    #[comptime] curve: Curve,
) {
    let mut scaled = Shared::<[f32]>::new_slice(room);
    let units = units as usize;
    let unit = UNIT_POS as usize;
    let own = CUBE_POS * units + unit;
    let step_len = CUBE_COUNT * units;
    let a = alpha[unit];
    let mut adjoint = carried[own];
    scaled[unit] = a * adjoint;
    let mut sum_of_alpha = of_alpha[own];
    sync_cube();
    for back in 0..steps {
        let step = (done + steps - 1 - back) as usize;
        let sum = product(&scaled, transposed, unit, units);
        sync_cube();
        let x = before(x0, states, own, step, step_len);
        sum_of_alpha += adjoint * (drive[step * step_len + own] - x);
        adjoint = earlier(
            grad,
            adjoints,
            rates,
            x,
            adjoint,
            a,
            sum,
            own,
            step,
            step_len,
            every as usize,
            gain,
            exponent,
            curve,
        );
        scaled[unit] = a * adjoint;
        sync_cube();
    }
    carried[own] = adjoint;
    of_alpha[own] = sum_of_alpha;
}

/// One step of all trials, of which `product` is `r_t W`. Where `keep` is 1, the state is kept at `place`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn advance(
    product: &[f32],
    drive: &[f32],
    alpha: &[f32],
    x: &mut [f32],
    rates: &mut [f32],
    states: &mut [f32],
    step: u32,
    keep: u32,
    place: u32,
    gain: f32,
    exponent: f32,
    units: u32,
    #[comptime] curve: Curve,
) {
    let own = ABSOLUTE_POS;
    if own < x.len() {
        let a = alpha[own % units as usize];
        let next = advanced(
            x[own],
            a,
            product[own],
            drive[step as usize * x.len() + own],
        );
        x[own] = next;
        rates[own] = rate(next, gain, exponent, curve);
        if keep == 1 {
            states[place as usize * x.len() + own] = next;
        }
    }
}

/// One step back of all trials, of which `product` is `(α ∘ λ_{t+1}) Wᵀ`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn retreat(
    product: &[f32],
    x0: &[f32],
    drive: &[f32],
    states: &[f32],
    grad: &[f32],
    alpha: &[f32],
    adjoint: &mut [f32],
    scaled: &mut [f32],
    adjoints: &mut [f32],
    rates: &mut [f32],
    of_alpha: &mut [f32],
    step: u32,
    every: u32,
    gain: f32,
    exponent: f32,
    units: u32,
    #[comptime] curve: Curve,
) {
    let own = ABSOLUTE_POS;
    let step_len = adjoint.len();
    if own < step_len {
        let a = alpha[own % units as usize];
        let step = step as usize;
        let x = before(x0, states, own, step, step_len);
        let later = adjoint[own];
        of_alpha[own] += later * (drive[step * step_len + own] - x);
        let found = earlier(
            grad,
            adjoints,
            rates,
            x,
            later,
            a,
            product[own],
            own,
            step,
            step_len,
            every as usize,
            gain,
            exponent,
            curve,
        );
        adjoint[own] = found;
        scaled[own] = a * found;
    }
}

/// The adjoints of the last states, with which the steps back begin.
#[cube(launch, address_type = "dynamic")]
pub(super) fn last(
    grad: &[f32],
    alpha: &[f32],
    adjoint: &mut [f32],
    scaled: &mut [f32],
    adjoints: &mut [f32],
    of_alpha: &mut [f32],
    units: u32,
) {
    let own = ABSOLUTE_POS;
    if own < adjoint.len() {
        let value = grad[grad.len() - adjoint.len() + own];
        adjoint[own] = value;
        scaled[own] = alpha[own % units as usize] * value;
        adjoints[adjoints.len() - adjoint.len() + own] = value;
        of_alpha[own] = 0.0;
    }
}
