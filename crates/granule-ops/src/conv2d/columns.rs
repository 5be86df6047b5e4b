//! Two-dimensional convolution on slices: patches into columns, then a matrix product per group of images.
//!
//! Images are grouped so that a product has enough columns to run at full speed, and the groups run in
//! parallel; where there are few, the rows of each product are shared out too. Both divisions depend on the
//! shapes alone, never on the number of threads, so that a result is the same bit for bit on any machine of one
//! kind.

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::matmul::{Matrix, Real, matmul_in_parts};
use crate::scratch::Scratch;

/// Columns that a product should at least have, so that packing the weights is paid for.
const COLUMNS: usize = 256;
/// Tasks that a pass should at least have, and the most partial sums of the weight gradient, each of which is a
/// copy of the weights.
const TASKS: usize = 8;
/// Elements that are worth a task of their own where they are only moved or added.
const ELEMENTS: usize = 1 << 14;

impl Geometry {
    fn group(&self) -> usize {
        COLUMNS.div_ceil(self.pixels()).clamp(1, self.batch.max(1))
    }

    /// The number of parts that each group's work is divided into.
    fn parts(&self) -> usize {
        let groups = self.batch.div_ceil(self.group()).max(1);
        TASKS.div_ceil(groups)
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

/// Calls `body(first column, length, start in the input plane)` for every run of one kernel element's columns that
/// lies inside the image.
fn for_each_run(g: &Geometry, element: usize, mut body: impl FnMut(usize, usize, usize)) {
    let (ky, kx) = (element / g.kernel[1], element % g.kernel[1]);
    let (y_first, y_last) = g.inside(0, ky);
    let (x_first, x_last) = g.inside(1, kx);
    if x_first == x_last {
        return;
    }
    for y in y_first..y_last {
        let in_y = y * g.stride[0] + ky - g.padding[0];
        let in_x = x_first * g.stride[1] + kx - g.padding[1];
        let source = in_y * g.in_size[1] + in_x;
        body(y * g.out_size[1] + x_first, x_last - x_first, source);
    }
}

/// Patches of `images` as a matrix of `patch × (images · pixels)`.
fn patches_to_columns<T: Real>(g: &Geometry, images: &[T]) -> Scratch<T> {
    let width = images.len() / g.in_image() * g.pixels();
    let padded = g.padding != [0, 0];
    let area = g.kernel[0] * g.kernel[1];
    let mut columns = Scratch::take(g.patch() * width);
    let fill = |(row, line): (usize, &mut [T])| {
        if padded {
            line.fill(T::ZERO);
        }
        let channel = row / area * g.in_plane();
        for (image, line) in images
            .chunks_exact(g.in_image())
            .zip(line.chunks_exact_mut(g.pixels()))
        {
            let plane = &image[channel..channel + g.in_plane()];
            for_each_run(g, row % area, |start, length, source| {
                let target = &mut line[start..start + length];
                if g.stride[1] == 1 {
                    target.copy_from_slice(&plane[source..source + length]);
                } else {
                    for (t, s) in target
                        .iter_mut()
                        .zip(plane[source..].iter().step_by(g.stride[1]))
                    {
                        *t = *s;
                    }
                }
            });
        }
    };
    columns
        .par_chunks_mut(width)
        .enumerate()
        .with_min_len(share(g.patch(), width, g.parts()))
        .for_each(fill);
    columns
}

/// Adds a matrix of patches back onto the images they came from.
pub(super) fn columns_to_patches<T: Real>(g: &Geometry, columns: &[T], images: &mut [T]) {
    let planes = images.len() / g.in_plane();
    let width = planes / g.in_channels * g.pixels();
    let area = g.kernel[0] * g.kernel[1];
    let add = |(index, plane): (usize, &mut [T])| {
        let (image, channel) = (index / g.in_channels, index % g.in_channels);
        for element in 0..area {
            let line = (channel * area + element) * width + image * g.pixels();
            let line = &columns[line..line + g.pixels()];
            for_each_run(g, element, |start, length, source| {
                let values = &line[start..start + length];
                if g.stride[1] == 1 {
                    for (t, s) in plane[source..source + length].iter_mut().zip(values) {
                        *t += *s;
                    }
                } else {
                    for (t, s) in plane[source..].iter_mut().step_by(g.stride[1]).zip(values) {
                        *t += *s;
                    }
                }
            });
        }
    };
    images
        .par_chunks_mut(g.in_plane())
        .enumerate()
        .with_min_len(share(planes, area * g.pixels(), g.parts()))
        .for_each(add);
}

/// How many of `count` lines of `len` elements one task takes, in at most `parts` tasks.
fn share(count: usize, len: usize, parts: usize) -> usize {
    count.div_ceil(parts).max(ELEMENTS / len.max(1)).max(1)
}

/// `[images, channels, pixels]` as a matrix of `channels × (images · pixels)`.
fn channels_first<T: Real>(g: &Geometry, images: &[T]) -> Scratch<T> {
    let count = images.len() / g.out_image();
    let (pixels, width) = (g.pixels(), count * g.pixels());
    let mut matrix = Scratch::take(images.len());
    for (i, image) in images.chunks_exact(g.out_image()).enumerate() {
        for (c, values) in image.chunks_exact(pixels).enumerate() {
            let start = c * width + i * pixels;
            matrix[start..start + pixels].copy_from_slice(values);
        }
    }
    matrix
}

/// The gradient of a group of images as a matrix of `channels × (images · pixels)`; that of one image is one already.
pub(super) enum GroupGradient<'a, T: Real> {
    Image(&'a [T]),
    Images(Scratch<T>),
}

impl<'a, T: Real> GroupGradient<'a, T> {
    pub(super) fn new(g: &Geometry, grad: &'a [T]) -> Self {
        if grad.len() == g.out_image() {
            Self::Image(grad)
        } else {
            Self::Images(channels_first(g, grad))
        }
    }

    pub(super) fn matrix(&self, g: &Geometry) -> Matrix<'_, T> {
        let grad = match self {
            Self::Image(grad) => grad,
            Self::Images(grad) => &**grad,
        };
        Matrix::new(grad, g.out_channels, grad.len() / g.out_channels)
    }
}

/// `y = w ∗ x + b`: `[batch, out_channels, out_h, out_w]`.
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let (group, pixels) = (g.group(), g.pixels());
    let mut out = vec![T::ZERO; g.batch * g.out_image()];
    if x.is_empty() || bias.is_empty() {
        for (line, b) in out.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
            line.fill(*b);
        }
        return out;
    }
    let weight = Matrix::new(weight, g.out_channels, g.patch());
    out.par_chunks_mut(group * g.out_image())
        .zip(x.par_chunks(group * g.in_image()))
        .for_each(|(out, images)| {
            let columns = patches_to_columns(g, images);
            let count = images.len() / g.in_image();
            let width = count * pixels;
            let columns = Matrix::new(&columns, g.patch(), width);
            if count == 1 {
                for (line, b) in out.chunks_exact_mut(pixels).zip(bias) {
                    line.fill(*b);
                }
                matmul_in_parts(out, weight, columns, true, g.parts());
                return;
            }
            let mut matrix = Scratch::take(g.out_channels * width);
            matmul_in_parts(&mut matrix, weight, columns, false, g.parts());
            for (i, image) in out.chunks_exact_mut(g.out_image()).enumerate() {
                for (c, (line, b)) in image.chunks_exact_mut(pixels).zip(bias).enumerate() {
                    let start = c * width + i * pixels;
                    let values = &matrix[start..start + pixels];
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
    if out.is_empty() || grad.is_empty() {
        return out;
    }
    let weight = Matrix::new(weight, g.out_channels, g.patch()).transposed();
    out.par_chunks_mut(group * g.in_image())
        .zip(grad.par_chunks(group * g.out_image()))
        .for_each(|(out, grad)| {
            let width = grad.len() / g.out_channels;
            let grad = GroupGradient::new(g, grad);
            let mut columns = Scratch::take(g.patch() * width);
            matmul_in_parts(&mut columns, weight, grad.matrix(g), false, g.parts());
            columns_to_patches(g, &columns, out);
        });
    out
}

/// `∂L/∂w = ∂L/∂y ⋆ x`: `[out_channels, in_channels, kernel_h, kernel_w]`.
pub(super) fn weight_gradient<T: Real>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let group = g.group();
    let size = g.out_channels * g.patch();
    if x.is_empty() || grad.is_empty() {
        return vec![T::ZERO; size];
    }
    let share = g.batch.div_ceil(group).div_ceil(TASKS) * group;
    let shares = g.batch.div_ceil(share);
    let mut partials = Scratch::take(shares * size);
    partials
        .par_chunks_mut(size)
        .zip(x.par_chunks(share * g.in_image()))
        .zip(grad.par_chunks(share * g.out_image()))
        .for_each(|((sum, x), grad)| {
            for (i, (images, grad)) in x
                .chunks(group * g.in_image())
                .zip(grad.chunks(group * g.out_image()))
                .enumerate()
            {
                let columns = patches_to_columns(g, images);
                let width = grad.len() / g.out_channels;
                let columns = Matrix::new(&columns, g.patch(), width).transposed();
                let grad = GroupGradient::new(g, grad);
                matmul_in_parts(sum, grad.matrix(g), columns, i > 0, g.parts());
            }
        });
    let (first, rest) = partials.split_at(size);
    let mut total = first.to_vec();
    for partial in rest.chunks_exact(size) {
        total
            .par_chunks_mut(ELEMENTS)
            .zip(partial.par_chunks(ELEMENTS))
            .for_each(|(total, partial)| {
                for (t, p) in total.iter_mut().zip(partial) {
                    *t += *p;
                }
            });
    }
    total
}

/// `∂L/∂b`: the gradient summed over images and pixels, `[channels]`.
///
/// The pixels of an image are dealt out to eight sums and the images are summed after: faster than one sum, and with
/// smaller rounding errors.
pub(super) fn bias_gradient<T: Real>(grad: &[T], channels: usize, pixels: usize) -> Vec<T> {
    if grad.is_empty() {
        return vec![T::ZERO; channels];
    }
    let images = grad.len() / (channels * pixels);
    let sum = |channel: usize| {
        grad.chunks_exact(channels * pixels)
            .map(|image| sum_in_lanes(&image[channel * pixels..(channel + 1) * pixels]))
            .fold(T::ZERO, |sum, value| sum + value)
    };
    (0..channels)
        .into_par_iter()
        .with_min_len(share(channels, images * pixels, channels))
        .map(sum)
        .collect()
}

fn sum_in_lanes<T: Real>(values: &[T]) -> T {
    let mut lanes = [T::ZERO; 8];
    let (eights, tail) = values.as_chunks::<8>();
    for eight in eights {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += *value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g))
        + ((b + f) + (d + h))
        + tail.iter().copied().fold(T::ZERO, |sum, value| sum + value)
}
