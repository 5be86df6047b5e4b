//! Two-dimensional convolution on slices: patches into columns, then a matrix product per group of images.
//!
//! Images are grouped so that a product has enough columns to run at full speed, and the groups run in
//! parallel. Grouping depends on the shapes alone, never on the number of threads, so that a result is the
//! same bit for bit on any machine of one kind.

use rayon::prelude::*;

use super::Geometry;
use crate::matmul::{Matrix, Real, matmul};

/// Columns that a product should at least have, so that packing the weights is paid for.
const COLUMNS: usize = 256;
/// Partial sums of the weight gradient: the parallelism of that pass, at this many copies of the weights.
const PARTIALS: usize = 8;

impl Geometry {
    fn patch(&self) -> usize {
        self.in_channels * self.kernel[0] * self.kernel[1]
    }

    fn pixels(&self) -> usize {
        self.out_size[0] * self.out_size[1]
    }

    fn in_image(&self) -> usize {
        self.in_channels * self.in_size[0] * self.in_size[1]
    }

    fn out_image(&self) -> usize {
        self.out_channels * self.pixels()
    }

    fn group(&self) -> usize {
        COLUMNS.div_ceil(self.pixels()).clamp(1, self.batch.max(1))
    }

    /// Range of output positions along one axis whose input position lies inside the image.
    fn inside(&self, axis: usize, offset: usize) -> (usize, usize) {
        let (stride, pad) = (self.stride[axis], self.padding[axis]);
        let first = pad.saturating_sub(offset).div_ceil(stride);
        let last = (self.in_size[axis] + pad)
            .saturating_sub(offset)
            .div_ceil(stride)
            .min(self.out_size[axis]);
        (first.min(last), last)
    }
}

/// Calls `body(column range, input range start)` for every run of a patch matrix row that lies inside the image.
fn for_each_run(g: &Geometry, row: usize, mut body: impl FnMut(usize, usize, usize)) {
    let [kernel_h, kernel_w] = g.kernel;
    let channel = row / (kernel_h * kernel_w);
    let (ky, kx) = (row / kernel_w % kernel_h, row % kernel_w);
    let (y_first, y_last) = g.inside(0, ky);
    let (x_first, x_last) = g.inside(1, kx);
    if x_first == x_last {
        return;
    }
    for y in y_first..y_last {
        let in_y = y * g.stride[0] + ky - g.padding[0];
        let in_x = x_first * g.stride[1] + kx - g.padding[1];
        let source = (channel * g.in_size[0] + in_y) * g.in_size[1] + in_x;
        body(y * g.out_size[1] + x_first, x_last - x_first, source);
    }
}

/// Patches of `images` as a matrix of `patch × (images · pixels)`.
fn patches_to_columns<T: Real>(g: &Geometry, images: &[T], columns: &mut Vec<T>) {
    let count = images.len() / g.in_image();
    let width = count * g.pixels();
    let padded = g.padding != [0, 0];
    columns.resize(g.patch() * width, T::ZERO);
    for (row, line) in columns.chunks_exact_mut(width).enumerate() {
        if padded {
            line.fill(T::ZERO);
        }
        for (image, line) in images
            .chunks_exact(g.in_image())
            .zip(line.chunks_exact_mut(g.pixels()))
        {
            for_each_run(g, row, |start, length, source| {
                let target = &mut line[start..start + length];
                if g.stride[1] == 1 {
                    target.copy_from_slice(&image[source..source + length]);
                } else {
                    for (t, s) in target
                        .iter_mut()
                        .zip(image[source..].iter().step_by(g.stride[1]))
                    {
                        *t = *s;
                    }
                }
            });
        }
    }
}

/// Adds a matrix of patches back onto the images they came from.
fn columns_to_patches<T: Real>(g: &Geometry, columns: &[T], images: &mut [T]) {
    let count = images.len() / g.in_image();
    let width = count * g.pixels();
    for (row, line) in columns.chunks_exact(width).enumerate() {
        for (image, line) in images
            .chunks_exact_mut(g.in_image())
            .zip(line.chunks_exact(g.pixels()))
        {
            for_each_run(g, row, |start, length, source| {
                let values = &line[start..start + length];
                if g.stride[1] == 1 {
                    for (t, s) in image[source..source + length].iter_mut().zip(values) {
                        *t += *s;
                    }
                } else {
                    for (t, s) in image[source..].iter_mut().step_by(g.stride[1]).zip(values) {
                        *t += *s;
                    }
                }
            });
        }
    }
}

/// `[images, channels, pixels]` as a matrix of `channels × (images · pixels)`.
fn channels_first<T: Real>(g: &Geometry, images: &[T], matrix: &mut Vec<T>) {
    let count = images.len() / g.out_image();
    let (pixels, width) = (g.pixels(), count * g.pixels());
    matrix.resize(images.len(), T::ZERO);
    for (i, image) in images.chunks_exact(g.out_image()).enumerate() {
        for (c, values) in image.chunks_exact(pixels).enumerate() {
            let start = c * width + i * pixels;
            matrix[start..start + pixels].copy_from_slice(values);
        }
    }
}

#[derive(Default)]
struct Scratch<T> {
    columns: Vec<T>,
    matrix: Vec<T>,
}

/// `y = w ∗ x + b`: `[batch, out_channels, out_h, out_w]`.
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let (group, pixels) = (g.group(), g.pixels());
    let mut out = vec![T::ZERO; g.batch * g.out_image()];
    let weight = Matrix::new(weight, g.out_channels, g.patch());
    out.par_chunks_mut(group * g.out_image())
        .zip(x.par_chunks(group * g.in_image()))
        .for_each_init(Scratch::default, |scratch, (out, images)| {
            patches_to_columns(g, images, &mut scratch.columns);
            let count = images.len() / g.in_image();
            let width = count * pixels;
            let columns = Matrix::new(&scratch.columns, g.patch(), width);
            if count == 1 {
                for (line, b) in out.chunks_exact_mut(pixels).zip(bias) {
                    line.fill(*b);
                }
                matmul(out, weight, columns, true);
                return;
            }
            scratch.matrix.resize(g.out_channels * width, T::ZERO);
            matmul(&mut scratch.matrix, weight, columns, false);
            for (i, image) in out.chunks_exact_mut(g.out_image()).enumerate() {
                for (c, (line, b)) in image.chunks_exact_mut(pixels).zip(bias).enumerate() {
                    let start = c * width + i * pixels;
                    let values = &scratch.matrix[start..start + pixels];
                    for (out, v) in line.iter_mut().zip(values) {
                        *out = *v + *b;
                    }
                }
            }
        });
    out
}

/// `∂L/∂x = wᵀ ∗ ∂L/∂y`: `[batch, in_channels, in_h, in_w]`.
pub(super) fn input_gradient<T: Real>(g: &Geometry, weight: &[T], grad: &[T]) -> Vec<T> {
    let group = g.group();
    let mut out = vec![T::ZERO; g.batch * g.in_image()];
    let weight = Matrix::new(weight, g.out_channels, g.patch()).transposed();
    out.par_chunks_mut(group * g.in_image())
        .zip(grad.par_chunks(group * g.out_image()))
        .for_each_init(Scratch::default, |scratch, (out, grad)| {
            let width = grad.len() / g.out_channels;
            let grad = if grad.len() == g.out_image() {
                grad
            } else {
                channels_first(g, grad, &mut scratch.matrix);
                &scratch.matrix
            };
            scratch.columns.resize(g.patch() * width, T::ZERO);
            let grad = Matrix::new(grad, g.out_channels, width);
            matmul(&mut scratch.columns, weight, grad, false);
            columns_to_patches(g, &scratch.columns, out);
        });
    out
}

/// `∂L/∂w = ∂L/∂y ⋆ x`: `[out_channels, in_channels, kernel_h, kernel_w]`.
pub(super) fn weight_gradient<T: Real>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let group = g.group();
    let size = g.out_channels * g.patch();
    let share = g.batch.div_ceil(group).div_ceil(PARTIALS) * group;
    let partials: Vec<Vec<T>> = x
        .par_chunks(share * g.in_image())
        .zip(grad.par_chunks(share * g.out_image()))
        .map(|(x, grad)| {
            let mut scratch = Scratch::default();
            let mut sum = vec![T::ZERO; size];
            for (i, (images, grad)) in x
                .chunks(group * g.in_image())
                .zip(grad.chunks(group * g.out_image()))
                .enumerate()
            {
                patches_to_columns(g, images, &mut scratch.columns);
                let width = grad.len() / g.out_channels;
                let grad = if grad.len() == g.out_image() {
                    grad
                } else {
                    channels_first(g, grad, &mut scratch.matrix);
                    &scratch.matrix
                };
                let columns = Matrix::new(&scratch.columns, g.patch(), width).transposed();
                matmul(
                    &mut sum,
                    Matrix::new(grad, g.out_channels, width),
                    columns,
                    i > 0,
                );
            }
            sum
        })
        .collect();
    let mut partials = partials.into_iter();
    let mut total = partials.next().unwrap_or_else(|| vec![T::ZERO; size]);
    for partial in partials {
        for (t, p) in total.iter_mut().zip(&partial) {
            *t += *p;
        }
    }
    total
}

/// `∂L/∂b`: the gradient summed over images and pixels, `[channels]`.
pub(super) fn bias_gradient<T: Real>(grad: &[T], channels: usize, pixels: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; channels];
    for image in grad.chunks_exact(channels * pixels) {
        for (sum, line) in out.iter_mut().zip(image.chunks_exact(pixels)) {
            *sum += line.iter().copied().sum();
        }
    }
    out
}
