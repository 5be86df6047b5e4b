//! Factors as the kernel reads them: rounded in the one pass that lays them out, two of the depth in a lane.

use core::ops::Range;

use super::Bf16Arithmetic;
use crate::matmul::Matrix;
use crate::plan::packed::LANES;
use crate::plan::vector::{Tiled, Vector, tiled_in};
use crate::scratch::Scratch;

/// Rows of a left factor that begin a multiple of a page apart share the places of a cache.
const PAGE: usize = 256;
const APART: usize = 16;

/// The left factor of a product.
pub(crate) trait Left: Sync {
    /// `[rows, depth]`
    fn size(&self) -> [usize; 2];

    /// Some rows of the factor.
    fn pack_rows(&self, rows: Range<usize>, arithmetic: Bf16Arithmetic) -> PackedLeft;
}

/// The right factor of a product.
pub(crate) trait Right: Sync {
    /// `[depth, columns]`
    fn size(&self) -> [usize; 2];

    /// Lays the part `depth` × `columns` out, `[pair, width]`, with zeros for what is missing to a pair, and anything for columns
    /// that are missing to a width.
    fn pack_panel(
        &self,
        depth: Range<usize>,
        columns: Range<usize>,
        width: usize,
        out: &mut [u32],
        arithmetic: Bf16Arithmetic,
    );
}

/// Rows of a left factor: the pair `k` of the row `i` lies at `i · row + k · pair`.
pub(crate) struct PackedLeft {
    values: Scratch<u32>,
    pub(super) rows: usize,
    pub(super) depth: usize,
    row: usize,
    pair: usize,
}

impl PackedLeft {
    /// Rows of pairs that lie one after the other, in room for them; what `fill` gets begins each row so many numbers of 16 bits
    /// after the one before.
    pub(crate) fn along([rows, depth]: [usize; 2], fill: impl FnOnce(&mut [u32], usize)) -> Self {
        let pairs = depth.div_ceil(2);
        let row = if pairs >= PAGE {
            pairs.next_multiple_of(APART) + APART
        } else {
            pairs
        };
        let mut values = Scratch::take(rows * row);
        fill(&mut values, row);
        Self {
            values,
            rows,
            depth,
            row,
            pair: 1,
        }
    }

    /// The pairs from `pair` on, with what lies from row to row and from pair to pair.
    pub(super) fn from(&self, pair: usize) -> (&[u32], [usize; 2]) {
        (
            &self.values[(pair * self.pair).min(self.values.len())..],
            [self.row, self.pair],
        )
    }
}

impl Left for Matrix<'_, f32> {
    fn size(&self) -> [usize; 2] {
        Matrix::size(self)
    }

    fn pack_rows(&self, rows: Range<usize>, arithmetic: Bf16Arithmetic) -> PackedLeft {
        let [_, depth] = Matrix::size(self);
        let ([row, column], count) = (self.strides(), rows.len());
        let x = &self.values()[(rows.start * row).min(self.values().len())..];
        if column == 1 {
            return PackedLeft::along([count, depth], |out, stride| {
                let rounded = Along {
                    x,
                    rows: count,
                    stride: row,
                    len: depth,
                    out,
                    out_stride: stride,
                };
                tiled_in(rounded, arithmetic);
            });
        }
        let mut values = Scratch::take(depth.div_ceil(2) * count);
        let across = Across {
            x,
            depth,
            stride: column,
            columns: count,
            out: &mut values,
            width: count,
        };
        tiled_in(across, arithmetic);
        PackedLeft {
            values,
            rows: count,
            depth,
            row: 1,
            pair: count,
        }
    }
}

impl Right for Matrix<'_, f32> {
    fn size(&self) -> [usize; 2] {
        Matrix::size(self)
    }

    fn pack_panel(
        &self,
        depth: Range<usize>,
        columns: Range<usize>,
        width: usize,
        out: &mut [u32],
        arithmetic: Bf16Arithmetic,
    ) {
        let [row, column] = self.strides();
        let x = &self.values()[depth.start * row + columns.start * column..];
        if column == 1 {
            let across = Across {
                x,
                depth: depth.len(),
                stride: row,
                columns: columns.len(),
                out,
                width,
            };
            tiled_in(across, arithmetic);
        } else {
            let turned = Turned {
                x,
                columns: columns.len(),
                stride: column,
                depth: depth.len(),
                out,
                width,
            };
            tiled_in(turned, arithmetic);
        }
    }
}

#[cfg(test)]
pub(super) fn round(x: &[f32], out: &mut [u32], arithmetic: Bf16Arithmetic) {
    let rounded = Along {
        x,
        rows: 1,
        stride: x.len(),
        len: x.len(),
        out,
        out_stride: x.len().div_ceil(2),
    };
    tiled_in(rounded, arithmetic);
}

/// The lanes of a vector by their bits.
#[inline(always)]
fn store<V: Vector>(pairs: V, out: &mut [u32]) {
    let out = &mut out[..V::LANES];
    // SAFETY: f32 and u32 have one size and alignment, and any bits are one of each.
    #[allow(unsafe_code)]
    let out = unsafe { core::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), V::LANES) };
    pairs.store(out);
}

/// Pairs of at most so many values as two vectors have, the missing ones zeros.
#[inline(always)]
fn neighbours<V: Vector>(x: &[f32]) -> V {
    if let Some(x) = x.first_chunk::<{ 2 * LANES }>() {
        return V::neighbours(V::load(x), V::load(&x[LANES..]));
    }
    let mut padded = [0.0; 2 * LANES];
    padded[..x.len()].copy_from_slice(x);
    V::neighbours(V::load(&padded), V::load(&padded[LANES..]))
}

/// Rows that lie along the depth, each in pairs of neighbours.
struct Along<'a> {
    x: &'a [f32],
    rows: usize,
    stride: usize,
    len: usize,
    out: &'a mut [u32],
    out_stride: usize,
}

impl Tiled for Along<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        let pairs = self.len.div_ceil(2);
        for row in 0..self.rows {
            let x = &self.x[row * self.stride..][..self.len];
            let out = &mut self.out[row * self.out_stride..][..pairs];
            for (x, out) in x.chunks(2 * LANES).zip(out.chunks_mut(LANES)) {
                let pairs = neighbours::<Full>(x);
                if out.len() == LANES {
                    store(pairs, out);
                } else {
                    let mut all = [0; LANES];
                    store(pairs, &mut all);
                    out.copy_from_slice(&all[..out.len()]);
                }
            }
        }
    }
}

/// Rows across the depth, two of which make a row of pairs.
struct Across<'a> {
    x: &'a [f32],
    depth: usize,
    stride: usize,
    columns: usize,
    out: &'a mut [u32],
    width: usize,
}

impl Tiled for Across<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        if self.columns == 0 {
            return;
        }
        const NONE: [f32; LANES] = [0.0; LANES];
        let whole = self.columns / LANES * LANES;
        let pairs = self.out.chunks_exact_mut(self.width);
        for (pair, out) in pairs.enumerate().take(self.depth.div_ceil(2)) {
            let low = &self.x[2 * pair * self.stride..][..self.columns];
            let high = if 2 * pair + 1 < self.depth {
                &self.x[(2 * pair + 1) * self.stride..][..self.columns]
            } else {
                &[]
            };
            for first in (0..whole).step_by(LANES) {
                let high = high.get(first..).filter(|high| !high.is_empty());
                let high = Full::load(high.unwrap_or(&NONE));
                store(
                    Full::pairs(Full::load(&low[first..]), high),
                    &mut out[first..],
                );
            }
            if whole < self.width {
                let padded = |x: &[f32]| {
                    let mut padded = NONE;
                    let x = x.get(whole..).unwrap_or_default();
                    padded[..x.len()].copy_from_slice(x);
                    Full::load(&padded)
                };
                let mut all = [0; LANES];
                store(Full::pairs(padded(low), padded(high)), &mut all);
                let out = &mut out[whole..];
                let count = out.len().min(LANES);
                out[..count].copy_from_slice(&all[..count]);
                out[count..].fill(0);
            }
        }
    }
}

/// Columns that lie along the depth.
struct Turned<'a> {
    x: &'a [f32],
    columns: usize,
    /// From one column to the next.
    stride: usize,
    depth: usize,
    out: &'a mut [u32],
    width: usize,
}

impl Tiled for Turned<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        for first in (0..self.width).step_by(LANES) {
            for begin in (0..self.depth).step_by(2 * LANES) {
                let len = (self.depth - begin).min(2 * LANES);
                let mut rows = [Full::splat(0.0); LANES];
                let columns = self.columns.saturating_sub(first).min(LANES);
                for (column, pairs) in rows.iter_mut().enumerate().take(columns) {
                    let x = &self.x[(first + column) * self.stride + begin..][..len];
                    *pairs = neighbours(x);
                }
                let out = &mut self.out[begin / 2 * self.width + first..];
                let lines = out.chunks_mut(self.width).take(len.div_ceil(2));
                for (out, pairs) in lines.zip(Full::turned(rows)) {
                    store(pairs, out);
                }
            }
        }
    }
}
