//! What goes with the product: the bias and the nonlinearity, and their gradients.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// The columns of a workgroup, and the rows that it goes over at a time.
pub(super) const COLUMNS: usize = 32;
pub(super) const ROWS: usize = 8;

/// `max(0, product + bias)`, a unit for each element; a NaN stays one.
#[cube(launch, address_type = "dynamic")]
pub(super) fn rectify(product: &[f32], bias: &[f32], y: &mut [f32], outputs: u32, biased: u32) {
    let own = ABSOLUTE_POS;
    if own < y.len() {
        let mut z = product[own];
        if biased == 1 {
            z += bias[own % outputs as usize];
        }
        y[own] = select(z < 0.0, 0.0f32, z);
    }
}

/// `∂L/∂z`, which is `grad` where `y` is above 0, and its sum over the rows: each unit of a column adds up every [`ROWS`]th row,
/// and the first of them what they have, in their order.
#[cube(launch, address_type = "dynamic")]
pub(super) fn masked(
    y: &[f32],
    grad: &[f32],
    by_z: &mut [f32],
    by_bias: &mut [f32],
    batch: u32,
    outputs: u32,
    turns: u32,
) {
    let mut sums = Shared::<[f32]>::new_slice(COLUMNS * ROWS);
    let outputs = outputs as usize;
    let batch = batch as usize;
    let column = UNIT_POS_X as usize;
    let lane = UNIT_POS_Y as usize;
    let own = CUBE_POS_X as usize * COLUMNS + column;
    let mut sum = 0.0f32;
    if own < outputs {
        for turn in 0..turns {
            let row = turn as usize * ROWS + lane;
            if row < batch {
                let at = row * outputs + own;
                // A NaN is not rectified, and neither is its gradient.
                let by = select(y[at] <= 0.0, 0.0f32, grad[at]);
                by_z[at] = by;
                sum += by;
            }
        }
    }
    sums[lane * COLUMNS + column] = sum;
    sync_cube();
    if lane == 0 && own < outputs {
        let mut total = 0.0f32;
        for other in 0..ROWS {
            total += sums[other * COLUMNS + column];
        }
        by_bias[own] = total;
    }
}
