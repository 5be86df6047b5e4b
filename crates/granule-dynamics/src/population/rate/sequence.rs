use burn::tensor::Tensor;
use granule_ops::{Drive, RateSequenceOptions, Recorded, rate_sequence};

use super::super::Activation;

/// x ← (1 − α) x + α (r(x) W + drive), step by step; what is recorded after each, `[steps, batch, n]`.
///
/// `x0` is `[batch, n]`, `drive` `[steps, batch, n]`, `w` `[n, n]`, `alpha` `[n]`. One fused operation, but for linear units,
/// which are there for their exact solutions.
pub(super) fn sequence(
    x0: Tensor<2>,
    drive: Drive,
    w: Tensor<2>,
    alpha: Tensor<1>,
    (activation, record): (Activation, Recorded),
) -> Tensor<3> {
    match activation.transfer() {
        None => linear(x0, drive.into_tensor(), w, alpha),
        Some(transfer) => {
            let options = RateSequenceOptions {
                record,
                ..RateSequenceOptions::states(transfer)
            };
            rate_sequence(x0, drive, w, alpha, options)
        }
    }
}

fn linear(x0: Tensor<2>, drive: Tensor<3>, w: Tensor<2>, alpha: Tensor<1>) -> Tensor<3> {
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
