//! Convolution, max-pooling over windows that do not overlap and rectification, in one pass:
//!
//! `y = max(0, max_{u,v < k} (w ∗ x + b)[…, k·i + u, k·j + v])`
//!
//! The gradient of a window goes to its winner, the first largest element, and nowhere when that is not positive; from there
//! it goes to `x`, `w` and `b` as that of [`conv2d`]. What is kept for it is `x`, `w` and which element won, a byte for each
//! result.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(super) mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::Tensor;

use super::{Conv2dOptions, conv2d};
use crate::relu_max_pool2d;

/// [`relu_max_pool2d`] with windows of `size` of [`conv2d`]: `[batch, out_channels, ⌊out_h / size⌋, ⌊out_w / size⌋]`.
///
/// Where blocks of images fit the shapes (f32 on `flex` and `ndarray`, windows of 2, up to 64 channels), and where [`conv2d`] is
/// Winograd's, both are one kernel, which neither writes nor reads the image between them; elsewhere it is the two operations.
///
/// # Panics
/// As the two operations.
pub fn conv2d_relu_max_pool2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
    size: usize,
) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if backend::serves(&x, &weight, bias.as_ref(), options, size) {
        return backend::run(x, weight, bias, options);
    }
    relu_max_pool2d(conv2d(x, weight, bias, options), size)
}
