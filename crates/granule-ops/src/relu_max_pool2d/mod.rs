//! Max-pooling over windows that do not overlap, then rectification, in one pass:
//!
//! `y[n, c, i, j] = max(0, max_{u,v < k} x[n, c, k·i + u, k·j + v])`
//!
//! The gradient goes to the first largest element of a window, and nowhere when that element is not positive;
//! where a window holds NaN it goes to the last of them, as Burn's operations and PyTorch's have it. The backward pass finds it again from `x`, so that no indices are stored.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, activation, module};

/// Max-pooling of `x` `[batch, channels, height, width]` over windows of `size × size` with stride `size`,
/// then `max(0, ·)`: `[batch, channels, ⌊height / size⌋, ⌊width / size⌋]`. Rows and columns that fill no
/// window are left out. A NaN in a window is its result.
///
/// On `flex` and `ndarray` in f32 or f64 this is the kernel of this crate, elsewhere Burn's operations.
///
/// # Panics
/// When `size` is zero or larger than the image.
pub fn relu_max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&x) {
        return backend::run(x, size);
    }
    activation::relu(module::max_pool2d(x, MaxPoolOptions::new([size, size])))
}
