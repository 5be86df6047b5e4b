use burn::tensor::Tensor;
use granule_ops::{RateSequenceOptions, rate_sequence};

use super::super::Activation;

/// x ← (1 − α) x + α (r(x) W + drive), step by step.
///
/// One fused operation, but for linear units, whose exact solutions are there to compare with. `x0` is `[batch, n]`, `drive` `[steps, batch, n]`, `w` `[n, n]`, `alpha` `[n]`; returns the states after each step,
/// `[steps, batch, n]`.
pub(super) fn sequence(
    x0: Tensor<2>,
    drive: Tensor<3>,
    w: Tensor<2>,
    alpha: Tensor<1>,
    activation: Activation,
) -> Tensor<3> {
    if let Some(transfer) = activation.transfer() {
        return rate_sequence(x0, drive, w, alpha, RateSequenceOptions::states(transfer));
    }
    let [_, batch, n] = drive.dims();
    let alpha = alpha.reshape([1, n]);
    let keep = alpha.clone().neg().add_scalar(1.0);
    let mut x = x0;
    let states = drive.iter_dim(0).map(|drive| {
        let current = x.clone().matmul(w.clone()) + drive.reshape([batch, n]);
        x = x.clone() * keep.clone() + current * alpha.clone();
        x.clone()
    });
    Tensor::stack(states.collect(), 0)
}
