use burn::tensor::Tensor;

use super::super::Activation;

/// x ← (1 − α) x + α (r(x) W + drive), step by step.
///
/// `x0` is `[batch, n]`, `drive` `[steps, batch, n]`, `w` `[n, n]`, `alpha` `[n]`; returns the states after each step,
/// `[steps, batch, n]`.
pub(super) fn sequence(
    x0: Tensor<2>,
    drive: Tensor<3>,
    w: Tensor<2>,
    alpha: Tensor<1>,
    activation: Activation,
) -> Tensor<3> {
    let [_, batch, n] = drive.dims();
    let alpha = alpha.reshape([1, n]);
    let keep = alpha.clone().neg().add_scalar(1.0);
    let mut x = x0;
    let states = drive.iter_dim(0).map(|drive| {
        let current = activation.rate(x.clone()).matmul(w.clone()) + drive.reshape([batch, n]);
        x = x.clone() * keep.clone() + current * alpha.clone();
        x.clone()
    });
    Tensor::stack(states.collect(), 0)
}
