//! Two-dimensional convolution from factors in bfloat16; what the products are within stands at [`crate::bf16`].
//!
//! An image is rounded once, with its padding, and its patches are laid out from there as the product reads them. With a stride
//! of 1 these begin at every place of the padded rows, so that a tap is one stretch of the image; those that begin where no patch
//! does are computed in vain. Where kernels are so wide that there would be more of these than patches, a tap is laid out row by
//! row, as with other strides. Winograd's convolution is none of bfloat16's: its transforms would magnify the rounding of the
//! factors tens of times. Each image is a product of its own, and the gradient of the weights a sum over at most [`SHARES`] shares
//! of the images, whatever the threads.

use core::ops::Range;

use rayon::prelude::*;

use super::columns::{GroupGradient, columns_to_patches};
use super::direct::taps;
use super::geometry::Geometry;
use crate::bf16::{self, Bf16Arithmetic, Left as _, PackedLeft, Right};
use crate::matmul::{Matrix, transposed};
use crate::plan::packed::LANES;
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Parts of the images whose gradients of the weights are summed apart.
const SHARES: usize = 8;
/// Positions that a product for the gradient of the weights should at least have.
const POSITIONS: usize = 512;

/// An image in bfloat16, `[channel, row, column]` with its padding, and [`LANES`] numbers more that are read in vain.
fn rounded(g: &Geometry, image: &[f32]) -> Scratch<u16> {
    let [height, width] = g.padded();
    let mut out = Scratch::take(g.in_channels * height * width + LANES);
    vectorised(Rounded {
        g,
        image,
        out: &mut out,
    });
    out
}

struct Rounded<'a> {
    g: &'a Geometry,
    image: &'a [f32],
    out: &'a mut [u16],
}

impl Kernel for Rounded<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Geometry {
            in_size: [height, width],
            padding: [above, before],
            ..
        } = *self.g;
        let [_, padded] = self.g.padded();
        if self.g.padding != [0, 0] {
            self.out.fill(0);
        }
        let planes = self.out.chunks_exact_mut((height + 2 * above) * padded);
        for (plane, image) in planes.zip(self.image.chunks_exact(self.g.in_plane())) {
            let rows = plane.chunks_exact_mut(padded).skip(above);
            for (row, image) in rows.zip(image.chunks_exact(width)) {
                for (out, x) in row[before..].iter_mut().zip(image) {
                    *out = bf16::half(*x);
                }
            }
        }
    }
}

/// The patches of one image, `[patch, places]`: those of its pixels, or where they are dense all places from the first to the last.
struct Patches<'a> {
    g: &'a Geometry,
    image: Scratch<u16>,
    /// From a place to each of its inputs.
    taps: &'a [usize],
}

/// All places from the first patch to the last, with a stride of 1.
fn all_places(g: &Geometry) -> usize {
    (g.out_size[0] - 1) * g.padded()[1] + g.out_size[1]
}

/// Whether patches begin at every place, no more of which are in vain than are not.
fn is_dense(g: &Geometry) -> bool {
    g.stride == [1, 1] && all_places(g) <= 2 * g.pixels()
}

/// The places at which patches begin.
fn places(g: &Geometry) -> usize {
    if is_dense(g) {
        all_places(g)
    } else {
        g.pixels()
    }
}

/// Calls `body(first, count, at)` for each row of the pixels of a range: so many from the position `first` of the padded plane, the
/// first of them the pixel `at` of the range.
#[inline(always)]
fn for_each_row(g: &Geometry, pixels: Range<usize>, mut body: impl FnMut(usize, usize, usize)) {
    let (across, width) = (g.out_size[1], g.padded()[1]);
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        let (y, x) = (pixel / across, pixel % across);
        let count = (across - x).min(pixels.end - pixel);
        let first = y * g.stride[0] * width + x * g.stride[1];
        body(first, count, pixel - pixels.start);
        pixel += count;
    }
}

impl Right for Patches<'_> {
    fn size(&self) -> [usize; 2] {
        [self.taps.len(), places(self.g)]
    }

    fn pack_panel(
        &self,
        depth: Range<usize>,
        columns: Range<usize>,
        width: usize,
        out: &mut [u32],
        _arithmetic: Bf16Arithmetic,
    ) {
        vectorised(Panel {
            patches: self,
            depth,
            columns,
            width,
            out,
        });
    }
}

struct Panel<'a> {
    patches: &'a Patches<'a>,
    depth: Range<usize>,
    columns: Range<usize>,
    width: usize,
    out: &'a mut [u32],
}

impl Kernel for Panel<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Patches { g, image, taps } = self.patches;
        let pairs = taps[self.depth].chunks(2);
        for (pair, out) in pairs.zip(self.out.chunks_exact_mut(self.width)) {
            // Beside a last tap without another lies a zero.
            let (low, high, mask) = match *pair {
                [low, high, ..] => (low, high, bf16::HIGH),
                [low] => (low, low, 0),
                [] => return,
            };
            let together = |low: &u16, high: &u16| u32::from(*low) | u32::from(*high) << 16 & mask;
            if is_dense(g) {
                let first = self.columns.start;
                let (low, _) = image[low + first..][..self.width].as_chunks::<LANES>();
                let (high, _) = image[high + first..][..self.width].as_chunks::<LANES>();
                let (out, _) = out.as_chunks_mut::<LANES>();
                for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
                    for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
                        *out = together(low, high);
                    }
                }
                continue;
            }
            for_each_row(g, self.columns.clone(), |first, count, at| {
                let inputs = image[low + first..].iter().zip(&image[high + first..]);
                let out = out[at..][..count].iter_mut();
                if g.stride[1] == 1 {
                    for (out, (low, high)) in out.zip(inputs) {
                        *out = together(low, high);
                    }
                } else {
                    for (out, (low, high)) in out.zip(inputs.step_by(g.stride[1])) {
                        *out = together(low, high);
                    }
                }
            });
            out[self.columns.len()..].fill(0);
        }
    }
}

/// The patches of some images as a left factor, `[patch, images · pixels]`.
fn patches(g: &Geometry, images: &[f32], taps: &[usize]) -> PackedLeft {
    let rounded: Vec<_> = images
        .chunks_exact(g.in_image())
        .map(|image| rounded(g, image))
        .collect();
    let depth = rounded.len() * g.pixels();
    PackedLeft::along([taps.len(), depth], |out, stride| {
        vectorised(Lines {
            g,
            images: &rounded,
            taps,
            line: &mut Scratch::take(depth + LANES),
            out,
            stride,
        });
    })
}

struct Lines<'a> {
    g: &'a Geometry,
    images: &'a [Scratch<u16>],
    taps: &'a [usize],
    /// Of one tap, and room for a vector beyond.
    line: &'a mut [u16],
    out: &'a mut [u32],
    stride: usize,
}

impl Kernel for Lines<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (g, pixels) = (self.g, self.g.pixels());
        let depth = self.images.len() * pixels;
        for (tap, out) in self.taps.iter().zip(self.out.chunks_mut(self.stride)) {
            for (index, image) in self.images.iter().enumerate() {
                for_each_row(g, 0..pixels, |first, count, at| {
                    let image = &image[first + tap..];
                    let line = &mut self.line[index * pixels + at..];
                    if g.stride[1] == 1 {
                        // Whole vectors, of which the next row writes again what is beyond this one.
                        let (image, _) = image.as_chunks::<LANES>();
                        let (line, _) = line.as_chunks_mut::<LANES>();
                        let chunks = line.iter_mut().zip(image);
                        for (line, image) in chunks.take(count.div_ceil(LANES)) {
                            *line = *image;
                        }
                    } else {
                        let inputs = image.iter().step_by(g.stride[1]).take(count);
                        for (line, x) in line.iter_mut().zip(inputs) {
                            *line = *x;
                        }
                    }
                });
            }
            // What an odd number of positions leaves over.
            self.line[depth] = 0;
            let (pairs, _) = self.line[..depth.next_multiple_of(2)].as_chunks::<2>();
            for (out, [low, high]) in out.iter_mut().zip(pairs) {
                *out = u32::from(*low) | u32::from(*high) << 16;
            }
        }
    }
}

/// `y = w ∗ x + b`: `[batch, out_channels, out_h, out_w]`.
pub(super) fn forward(
    g: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    let pixels = g.pixels();
    let mut out = vec![0.0; g.batch * g.out_image()];
    let bias_of = |channel: usize| bias.get(channel).copied().unwrap_or_default();
    if x.is_empty() || out.is_empty() {
        for (index, line) in out.chunks_exact_mut(pixels).enumerate() {
            line.fill(bias_of(index % g.out_channels));
        }
        return out;
    }
    let weight = Matrix::new(weight, g.out_channels, g.patch());
    let weight = weight.pack_rows(0..g.out_channels, arithmetic);
    let taps = taps(g);
    out.par_chunks_mut(g.out_image())
        .zip(x.par_chunks(g.in_image()))
        .for_each(|(out, image)| {
            let image = rounded(g, image);
            let patches = Patches {
                g,
                image,
                taps: &taps,
            };
            let places = places(g);
            let mut sums = Scratch::take(g.out_channels * places);
            for (channel, sums) in sums.chunks_exact_mut(places).enumerate() {
                sums.fill(bias_of(channel));
            }
            bf16::columns(&mut sums, &weight, &patches, 0..places, true, arithmetic);
            let across = g.out_size[1];
            let row = if is_dense(g) { g.padded()[1] } else { across };
            let images = out.chunks_exact_mut(pixels);
            for (out, sums) in images.zip(sums.chunks_exact(places)) {
                for (out, sums) in out.chunks_exact_mut(across).zip(sums.chunks(row)) {
                    out.copy_from_slice(&sums[..across]);
                }
            }
        });
    out
}

/// `∂L/∂x = wᵀ ∗ ∂L/∂y`: `[batch, in_channels, in_h, in_w]`.
pub(super) fn input_gradient(
    g: &Geometry,
    weight: &[f32],
    grad: &[f32],
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    if let Some(adjoint) = g.adjoint() {
        return forward(&adjoint, grad, &g.flipped(weight), &[], arithmetic);
    }
    let pixels = g.pixels();
    let mut out = vec![0.0; g.batch * g.in_image()];
    if out.is_empty() || grad.is_empty() {
        return out;
    }
    let weight = Matrix::new(weight, g.out_channels, g.patch()).transposed();
    let weight = weight.pack_rows(0..g.patch(), arithmetic);
    out.par_chunks_mut(g.in_image())
        .zip(grad.par_chunks(g.out_image()))
        .for_each(|(out, grad)| {
            let mut sums = Scratch::take(g.patch() * pixels);
            let grad = Matrix::new(grad, g.out_channels, pixels);
            bf16::columns(&mut sums, &weight, &grad, 0..pixels, false, arithmetic);
            columns_to_patches(g, &sums, out);
        });
    out
}

/// `∂L/∂w = ∂L/∂y ⋆ x`: `[out_channels, in_channels, kernel_h, kernel_w]`.
pub(super) fn weight_gradient(
    g: &Geometry,
    x: &[f32],
    grad: &[f32],
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    let size = g.out_channels * g.patch();
    if x.is_empty() || grad.is_empty() {
        return vec![0.0; size];
    }
    let taps = taps(g);
    let group = POSITIONS.div_ceil(g.pixels());
    let share = g.batch.div_ceil(SHARES).max(group.min(g.batch));
    let mut partials = Scratch::take(g.batch.div_ceil(share) * size);
    partials
        .par_chunks_mut(size)
        .zip(x.par_chunks(share * g.in_image()))
        .zip(grad.par_chunks(share * g.out_image()))
        .for_each(|((sum, x), grad)| {
            let groups = x
                .chunks(group * g.in_image())
                .zip(grad.chunks(group * g.out_image()));
            for (i, (images, grad)) in groups.enumerate() {
                let patches = patches(g, images, &taps);
                let grad = GroupGradient::new(g, grad);
                let grad = grad.matrix(g).transposed();
                bf16::columns(sum, &patches, &grad, 0..g.out_channels, i > 0, arithmetic);
            }
        });
    transposed(
        &super::direct::total(&partials, size),
        g.patch(),
        g.out_channels,
    )
}
