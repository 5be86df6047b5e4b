//! The cross-entropy of classes:
//!
//! `L = −Σ_rows Σ_k t_k ln p_k / rows`, `∂L/∂x_k = (p_k − t_k) / rows`
//!
//! with the probabilities `p = softmax x` and the targets `t_k = (1 − s) [k is the class] + s / classes`, `s` being the label
//! smoothing (Szegedy et al. 2016, doi:10.1109/CVPR.2016.308).

#[cfg(gpu)]
mod cube;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// The mean cross-entropy `[1]` of `outputs` `[rows, classes]`, the logarithms of unnormalised probabilities, and of the `classes`
/// `[rows]`, with label `smoothing` of 0 to 1.
///
/// On GPUs in f32 the loss and its gradient are one launch, of many rows with another for their sum; elsewhere they are composed
/// of Burn's operations.
///
/// A class that is none of `0..classes` has no loss: a CPU says so by a panic, a GPU does not look.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together.
pub fn cross_entropy(outputs: Tensor<2>, classes: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    #[cfg(gpu)]
    if cube::serve(&outputs, &classes) {
        return cube::run(outputs, classes, smoothing);
    }
    composed(outputs, classes, smoothing)
}

fn composed(outputs: Tensor<2>, classes: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let [rows, width] = outputs.dims();
    let log = log_softmax(outputs, 1);
    let own = log.clone().gather(1, classes.reshape([rows, 1])).sum();
    let likelihood = if smoothing == 0.0 {
        own
    } else {
        own.mul_scalar(1.0 - smoothing)
            .add(log.sum().mul_scalar(smoothing / width.max(1) as f64))
    };
    likelihood.mul_scalar(-1.0 / rows.max(1) as f64)
}
