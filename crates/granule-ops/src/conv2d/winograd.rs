//! Convolution of 3×3 kernels with stride 1 and many channels after Winograd: a tile of 4×4 results takes 36 products for
//! each pair of channels instead of 144.
//!
//! With a tile `d` of 6×6 inputs and a kernel `g`,
//!
//! `y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A`,
//!
//! so that each of the 36 elements of the transforms is a matrix product `[tiles × c] · [c × o]`. `∂L/∂x` is a convolution
//! with the flipped kernels, and the gradient of the kernels is the adjoint of the equation,
//!
//! `∂L/∂g = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A ∂L/∂y Aᵀ) ] G`.
//!
//! The matrices are those of Lavin & Gray, *Fast algorithms for convolutional neural networks*, CVPR 2016
//! (arXiv:1509.09308), of the points 0, ±1, ±2 and ∞. Channels lie side by side in the lanes of a vector.
//!
//! # Error
//! With unit round-off `u` and `n = c + 28` roundings on the way of a term — 8 in each of the transforms of `d` and `g`, 10 in
//! that of the result, one of the product, one of the bias and `c` of the sum — to first order
//!
//! `|ŷ − y| ≤ n u |Aᵀ| [ Σ_c (|G| |g| |Gᵀ|) ⊙ (|Bᵀ| |d| |B|) ] |A|`,
//!
//! elementwise (Barabasz et al., *Error analysis and improving the accuracy of Winograd convolution for deep neural networks*,
//! arXiv:1803.10986). The sums of the matrices' magnitudes make that larger than the bound of the definition: in f32
//! one to two digits are lost, results keep five to six.

use core::marker::PhantomData;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::firing_rate::elementary::Elementary;
use crate::lanes::{self, LANES, Lanes};
use crate::matmul::{Matrix, matmul};
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Rows and columns of a tile of results, of a tile of inputs, and of a kernel.
const OUT: usize = 4;
const IN: usize = 6;
pub(super) const KERNEL: usize = 3;
/// Matrix products.
const PRODUCTS: usize = IN * IN;
/// Tiles that the rows of a product should at least be.
const TILES: usize = 128;
/// Groups of images whose transforms lie in memory at once for the gradient of the kernels.
const GROUPS: usize = 8;

/// One of the linear maps between tiles, along one axis.
trait Transform {
    const FROM: usize;
    const TO: usize;
    fn apply<T: Elementary>(from: [T; IN]) -> [T; IN];
}

/// `Bᵀ d`
struct Input;
impl Transform for Input {
    const FROM: usize = IN;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let (two, four, five) = (T::of(2.0), T::of(4.0), T::of(5.0));
        let (even, odd) = (e - four * c, d - four * b);
        let (near, far) = (e - c, two * (d - b));
        [
            four * a - five * c + e,
            even + odd,
            even - odd,
            near + far,
            near - far,
            four * b - five * d + f,
        ]
    }
}

/// `G g`
struct Weight;
impl Transform for Weight {
    const FROM: usize = KERNEL;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, ..]: [T; IN]) -> [T; IN] {
        let (even, far) = (
            T::of(-1.0 / 6.0) * (a + c),
            T::of(1.0 / 24.0) * a + T::of(1.0 / 6.0) * c,
        );
        let (odd, half) = (T::of(1.0 / 6.0) * b, T::of(1.0 / 12.0) * b);
        [
            T::of(0.25) * a,
            even - odd,
            even + odd,
            far + half,
            far - half,
            c,
        ]
    }
}

/// `Gᵀ u`
struct WeightAdjoint;
impl Transform for WeightAdjoint {
    const FROM: usize = IN;
    const TO: usize = KERNEL;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let near = T::of(-1.0 / 6.0) * (b + c);
        let (far, odd) = (d + e, T::of(1.0 / 6.0) * (c - b));
        [
            T::of(0.25) * a + near + T::of(1.0 / 24.0) * far,
            odd + T::of(1.0 / 12.0) * (d - e),
            near + T::of(1.0 / 6.0) * far + f,
            T::ZERO,
            T::ZERO,
            T::ZERO,
        ]
    }
}

/// `Aᵀ m`
struct Output;
impl Transform for Output {
    const FROM: usize = IN;
    const TO: usize = OUT;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let (near, near_odd) = (b + c, b - c);
        let (far, far_odd) = (d + e, d - e);
        [
            a + near + far,
            near_odd + T::of(2.0) * far_odd,
            near + T::of(4.0) * far,
            near_odd + T::of(8.0) * far_odd + f,
            T::ZERO,
            T::ZERO,
        ]
    }
}

/// `A y`
struct OutputAdjoint;
impl Transform for OutputAdjoint {
    const FROM: usize = OUT;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, ..]: [T; IN]) -> [T; IN] {
        let (even, odd) = (a + c, b + d);
        let (far, far_odd) = (a + T::of(4.0) * c, T::of(2.0) * b + T::of(8.0) * d);
        [a, even + odd, even - odd, far + far_odd, far - far_odd, d]
    }
}

/// The transform along both axes of a square of lanes.
#[inline(always)]
fn transform<F: Transform, T: Elementary>(square: &mut [[Lanes<T>; IN]; IN]) {
    for line in square.iter_mut().take(F::FROM) {
        for lane in 0..LANES {
            let to = F::apply(core::array::from_fn(|i| line[i][lane]));
            for (value, to) in line.iter_mut().zip(to) {
                value[lane] = to;
            }
        }
    }
    for column in 0..F::TO {
        for lane in 0..LANES {
            let to = F::apply(core::array::from_fn(|i| square[i][column][lane]));
            for (line, to) in square.iter_mut().zip(to) {
                line[column][lane] = to;
            }
        }
    }
}

/// How a convolution is divided into tiles.
struct Tiling {
    /// Rows and columns of tiles of an image.
    tiles: [usize; 2],
    /// Images of a group.
    group: usize,
}

impl Tiling {
    fn new(g: &Geometry) -> Self {
        let tiles = g.out_size.map(|size| size.div_ceil(OUT));
        let group = TILES.div_ceil(tiles[0] * tiles[1]).min(g.batch.max(1));
        Self { tiles, group }
    }

    fn per_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The transforms `[product, tile, channel]` of a group's images, `channels` of them of `size`; `before` are zero before
    /// an image, and tiles lie [`OUT`] apart.
    fn transforms<F: Transform, T: Elementary>(
        &self,
        images: &[T],
        channels: usize,
        size: [usize; 2],
        before: [usize; 2],
    ) -> Scratch<T> {
        let plane = size[0] * size[1];
        let count = images.len() / (channels * plane);
        let width = channels.next_multiple_of(LANES);
        let mut out = Scratch::take(PRODUCTS * count * self.per_image() * width);
        let padded = self.tiles.map(|tiles| tiles * OUT + F::FROM - OUT);
        // What the last tiles do not reach is left out.
        let padded = [0, 1].map(|i| padded[i].max(before[i] + size[i]));
        for (image, planes) in images.chunks_exact(channels * plane).enumerate() {
            for (part, planes) in planes.chunks(LANES * plane).enumerate() {
                let block = lanes::pack(planes, 1, size, before, padded);
                vectorised(Transforms::<F, T> {
                    block: block.as_chunks().0,
                    width: padded[1],
                    tiles: self.tiles,
                    out: out.as_chunks_mut().0,
                    lines: width / LANES,
                    first: image * self.per_image() * (width / LANES) + part,
                    form: PhantomData,
                });
            }
        }
        out
    }
}

struct Transforms<'a, F, T> {
    /// A plane of inputs with what is zero around it.
    block: &'a [Lanes<T>],
    width: usize,
    tiles: [usize; 2],
    out: &'a mut [Lanes<T>],
    /// Lanes of a tile in a product.
    lines: usize,
    /// Of the first tile in the first product.
    first: usize,
    form: PhantomData<F>,
}

impl<F: Transform, T: Elementary> Kernel for Transforms<'_, F, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.out.len() / PRODUCTS;
        let mut at = self.first;
        for i in 0..self.tiles[0] {
            for j in 0..self.tiles[1] {
                let mut square = [[[T::ZERO; LANES]; IN]; IN];
                for (k, line) in square.iter_mut().enumerate().take(F::FROM) {
                    let start = (i * OUT + k) * self.width + j * OUT;
                    line[..F::FROM].copy_from_slice(&self.block[start..start + F::FROM]);
                }
                transform::<F, T>(&mut square);
                for (value, out) in square
                    .as_flattened()
                    .iter()
                    .zip(self.out.chunks_exact_mut(product))
                {
                    out[at] = *value;
                }
                at += self.lines;
            }
        }
    }
}

/// `G g Gᵀ` of all kernels: `[product, input channel, output channel]`, both padded to whole lanes.
fn kernels<T: Elementary>(g: &Geometry, weight: &[T]) -> Scratch<T> {
    let inputs = g.in_channels.next_multiple_of(LANES);
    let lines = g.out_channels.div_ceil(LANES);
    let mut out = Scratch::take(PRODUCTS * inputs * lines * LANES);
    out.fill(T::ZERO);
    for (part, rows) in weight.chunks(LANES * g.patch()).enumerate() {
        let mut block = Scratch::take(g.patch() * LANES);
        lanes::from_rows(rows, g.patch(), block.as_chunks_mut().0);
        vectorised(Kernels {
            block: block.as_chunks().0,
            out: out.as_chunks_mut().0,
            lines,
            first: part,
        });
    }
    out
}

struct Kernels<'a, T> {
    block: &'a [Lanes<T>],
    out: &'a mut [Lanes<T>],
    lines: usize,
    first: usize,
}

impl<T: Elementary> Kernel for Kernels<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.out.len() / PRODUCTS;
        for (channel, kernel) in self.block.chunks_exact(KERNEL * KERNEL).enumerate() {
            let mut square = [[[T::ZERO; LANES]; IN]; IN];
            for (line, row) in square.iter_mut().zip(kernel.chunks_exact(KERNEL)) {
                line[..KERNEL].copy_from_slice(row);
            }
            transform::<Weight, T>(&mut square);
            for (value, out) in square
                .as_flattened()
                .iter()
                .zip(self.out.chunks_exact_mut(product))
            {
                out[channel * self.lines + self.first] = *value;
            }
        }
    }
}

/// `y = w ∗ x + b`, as [`super::columns::forward`].
pub(super) fn forward<T: Elementary>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let tiling = Tiling::new(g);
    let [inputs, outputs] = [g.in_channels, g.out_channels].map(|c| c.next_multiple_of(LANES));
    let kernels = kernels(g, weight);
    let mut out = vec![T::ZERO; g.batch * g.out_image()];
    out.par_chunks_mut(tiling.group * g.out_image())
        .zip(x.par_chunks(tiling.group * g.in_image()))
        .for_each(|(out, images)| {
            let tiles = images.len() / g.in_image() * tiling.per_image();
            let transforms =
                tiling.transforms::<Input, T>(images, g.in_channels, g.in_size, g.padding);
            let mut products = Scratch::take(PRODUCTS * tiles * outputs);
            products
                .par_chunks_mut(tiles * outputs)
                .zip(transforms.par_chunks(tiles * inputs))
                .zip(kernels.par_chunks(inputs * outputs))
                .for_each(|((product, transform), kernels)| {
                    let transform = Matrix::new(transform, tiles, inputs);
                    matmul(
                        product,
                        transform,
                        Matrix::new(kernels, inputs, outputs),
                        false,
                    );
                });
            let mut plane = Scratch::take(g.pixels() * LANES);
            for (image, out) in out.chunks_exact_mut(g.out_image()).enumerate() {
                for (part, out) in out.chunks_mut(LANES * g.pixels()).enumerate() {
                    vectorised(Results {
                        products: products.as_chunks().0,
                        lines: outputs / LANES,
                        first: image * tiling.per_image() * (outputs / LANES) + part,
                        tiles: tiling.tiles,
                        size: g.out_size,
                        bias: bias.get(part * LANES..).unwrap_or_default(),
                        plane: plane.as_chunks_mut().0,
                        out,
                    });
                }
            }
        });
    out
}

/// `Aᵀ m A + b` of sixteen channels of one image.
struct Results<'a, T> {
    products: &'a [Lanes<T>],
    lines: usize,
    first: usize,
    tiles: [usize; 2],
    size: [usize; 2],
    bias: &'a [T],
    plane: &'a mut [Lanes<T>],
    out: &'a mut [T],
}

impl<T: Elementary> Kernel for Results<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let [height, width] = self.size;
        let product = self.products.len() / PRODUCTS;
        let mut bias = [T::ZERO; LANES];
        for (lane, value) in bias.iter_mut().zip(self.bias) {
            *lane = *value;
        }
        let mut at = self.first;
        for i in 0..self.tiles[0] {
            for j in 0..self.tiles[1] {
                let mut square = [[[T::ZERO; LANES]; IN]; IN];
                for (value, product) in square
                    .as_flattened_mut()
                    .iter_mut()
                    .zip(self.products.chunks_exact(product))
                {
                    *value = product[at];
                }
                transform::<Output, T>(&mut square);
                let rows = self.plane.chunks_exact_mut(width).skip(i * OUT);
                for (row, line) in rows.zip(square.iter().take(OUT)) {
                    for (target, value) in row[j * OUT..].iter_mut().zip(line.iter().take(OUT)) {
                        for ((target, value), bias) in target.iter_mut().zip(value).zip(&bias) {
                            *target = *value + *bias;
                        }
                    }
                }
                at += self.lines;
            }
        }
        lanes::to_rows(self.plane, self.out, height * width, 0);
    }
}

/// `∂L/∂x`, as [`super::columns::input_gradient`], by the convolution `adjoint` of `∂L/∂y` with the flipped weights.
pub(super) fn input_gradient<T: Elementary>(
    g: &Geometry,
    adjoint: &Geometry,
    weight: &[T],
    grad: &[T],
) -> Vec<T> {
    forward(adjoint, grad, &g.flipped(weight), &[])
}

/// `∂L/∂w`, as [`super::columns::weight_gradient`].
pub(super) fn weight_gradient<T: Elementary>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let tiling = Tiling::new(g);
    let [inputs, outputs] = [g.in_channels, g.out_channels].map(|c| c.next_multiple_of(LANES));
    let mut sums = Scratch::take(PRODUCTS * inputs * outputs);
    let (x_group, grad_group) = (tiling.group * g.in_image(), tiling.group * g.out_image());
    let parts = x
        .chunks(GROUPS * x_group)
        .zip(grad.chunks(GROUPS * grad_group));
    for (part, (x, grad)) in parts.enumerate() {
        let transforms: Vec<[Scratch<T>; 2]> = x
            .par_chunks(x_group)
            .zip(grad.par_chunks(grad_group))
            .map(|(x, grad)| {
                [
                    tiling.transforms::<Input, T>(x, g.in_channels, g.in_size, g.padding),
                    tiling.transforms::<OutputAdjoint, T>(grad, g.out_channels, g.out_size, [0, 0]),
                ]
            })
            .collect();
        sums.par_chunks_mut(inputs * outputs)
            .enumerate()
            .for_each(|(product, sum)| {
                for (group, [x, grad]) in transforms.iter().enumerate() {
                    let tiles = x.len() / (PRODUCTS * inputs);
                    let x = &x[product * tiles * inputs..][..tiles * inputs];
                    let grad = &grad[product * tiles * outputs..][..tiles * outputs];
                    let x = Matrix::new(x, tiles, inputs).transposed();
                    let grad = Matrix::new(grad, tiles, outputs);
                    matmul(sum, x, grad, part + group > 0);
                }
            });
    }
    let mut out = vec![T::ZERO; g.out_channels * g.patch()];
    out.par_chunks_mut(LANES * g.patch())
        .enumerate()
        .for_each(|(part, out)| {
            let mut kernels = Scratch::take(g.patch() * LANES);
            vectorised(KernelGradients {
                sums: sums.as_chunks().0,
                lines: outputs / LANES,
                first: part,
                kernels: kernels.as_chunks_mut().0,
            });
            lanes::to_rows(kernels.as_chunks().0, out, g.patch(), 0);
        });
    out
}

/// `Gᵀ u G` of sixteen output channels.
struct KernelGradients<'a, T> {
    sums: &'a [Lanes<T>],
    lines: usize,
    first: usize,
    kernels: &'a mut [Lanes<T>],
}

impl<T: Elementary> Kernel for KernelGradients<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.sums.len() / PRODUCTS;
        for (channel, kernel) in self.kernels.chunks_exact_mut(KERNEL * KERNEL).enumerate() {
            let mut square = [[[T::ZERO; LANES]; IN]; IN];
            for (value, sums) in square
                .as_flattened_mut()
                .iter_mut()
                .zip(self.sums.chunks_exact(product))
            {
                *value = sums[channel * self.lines + self.first];
            }
            transform::<WeightAdjoint, T>(&mut square);
            for (row, line) in kernel.chunks_exact_mut(KERNEL).zip(&square) {
                row.copy_from_slice(&line[..KERNEL]);
            }
        }
    }
}
