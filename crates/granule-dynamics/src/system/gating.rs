//! Slow synaptic gating and the rate that drives it, of both models of Wong and Wang.

use burn::tensor::Tensor;

use super::guarded::linear_exponential;
use crate::quantity::Quantity;

/// H(x) in Hz.
pub(super) fn firing_rate(
    x: Tensor<2>,
    gain: &Quantity,
    offset: &Quantity,
    curvature: &Quantity,
) -> Tensor<2> {
    linear_exponential((x * gain - offset) * curvature) / curvature
}

/// ds/dt = −s/τ + (1 − s)·γ·rate, with the rate in Hz and the time in ms.
pub(super) fn gating(
    s: &Tensor<2>,
    rate: Tensor<2>,
    time_constant: &Quantity,
    opening: &Quantity,
) -> Tensor<2> {
    let open = rate * &(opening * 1e-3);
    open.clone() - s.clone() * (open + &time_constant.reciprocal())
}
