//! The product: which factor is laid out whole and which as it is used, and the tiles of the innermost loop.

use core::ops::Range;

use rayon::prelude::*;

use super::Bf16Arithmetic;
use super::pack::{Left, PackedLeft, Right};
use crate::plan::packed::LANES;
use crate::plan::vector::{Tiled, Vector, is_wide, tiled_in};
use crate::scratch::Scratch;

/// Terms after which a sum is added to those before: a panel of so many stays in a cache.
pub(super) const BLOCK: usize = 512;
/// The most vectors of a panel's columns.
const VECTORS: usize = 4;
/// Multiply-adds that several threads share: of the columns at most so many parts, of the rows as many or, where these would have
/// more than [`MOST_ROWS`], more.
const SHARED: usize = 1 << 20;
const PARTS: usize = 8;
/// What the columns and the rows of a part are a multiple of, and the most rows whose pairs stay in a cache.
const COLUMNS: usize = 64;
const ROWS: usize = 24;
const MOST_ROWS: usize = 96;

/// Vectors of the columns of each panel but the last.
fn vectors(columns: usize, arithmetic: Bf16Arithmetic) -> usize {
    if arithmetic == Bf16Arithmetic::Emulated && !is_wide() {
        return 1;
    }
    let all = columns.div_ceil(LANES).max(1);
    all.div_ceil(all.div_ceil(VECTORS))
}

/// `out = left · right`, or `out += left · right` when `accumulate`, of row-major `out`, on as many threads as there are; the bits
/// do not depend on their number, and those of a row not on how many rows there are.
pub(crate) fn product(
    out: &mut [f32],
    left: &impl Left,
    right: &impl Right,
    accumulate: bool,
    arithmetic: Bf16Arithmetic,
) {
    let ([rows, depth], [other, width]) = (left.size(), right.size());
    assert_eq!(depth, other, "inner sizes of a matrix product");
    assert_eq!(out.len(), rows * width, "size of a matrix product");
    if rows * width * depth == 0 {
        if !accumulate {
            out.fill(0.0);
        }
        return;
    }
    let share = rows.saturating_mul(width).saturating_mul(depth) >= SHARED;
    if rows >= width {
        let right = PackedRight::new(right, arithmetic);
        let least = if share { rows.div_ceil(PARTS) } else { rows };
        let part = least.next_multiple_of(ROWS).min(MOST_ROWS);
        let run = |(index, out): (usize, &mut [f32])| {
            let first = index * part;
            let left = left.pack_rows(first..first + out.len() / width, arithmetic);
            right.product(out, &left, accumulate, arithmetic);
        };
        if share {
            out.par_chunks_mut(part * width).enumerate().for_each(run);
        } else {
            out.chunks_mut(part * width).enumerate().for_each(run);
        }
        return;
    }
    let left = left.pack_rows(0..rows, arithmetic);
    let part = width.div_ceil(PARTS).next_multiple_of(COLUMNS);
    if !share || part >= width {
        return columns(out, &left, right, 0..width, accumulate, arithmetic);
    }
    let before = &*out;
    let parts: Vec<Scratch<f32>> = (0..width.div_ceil(part))
        .into_par_iter()
        .map(|index| {
            let range = index * part..(index * part + part).min(width);
            let mut sums = Scratch::take(rows * range.len());
            if accumulate {
                // What is there is the first term of the chain, as where `out` itself is added to.
                let rows = sums.chunks_exact_mut(range.len());
                for (sums, before) in rows.zip(before.chunks_exact(width)) {
                    sums.copy_from_slice(&before[range.clone()]);
                }
            }
            columns(&mut sums, &left, right, range, accumulate, arithmetic);
            sums
        })
        .collect();
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        for (out, sums) in out.chunks_mut(part).zip(&parts) {
            out.copy_from_slice(&sums[row * out.len()..][..out.len()]);
        }
    }
}

/// As [`product`], of some columns of `right`, which `out` has alone, on this thread.
pub(crate) fn columns(
    out: &mut [f32],
    left: &PackedLeft,
    right: &impl Right,
    range: Range<usize>,
    accumulate: bool,
    arithmetic: Bf16Arithmetic,
) {
    let count = range.len();
    let panel = vectors(count, arithmetic) * LANES;
    let mut block = Scratch::take(BLOCK / 2 * panel);
    for first in (0..count).step_by(panel.max(1)) {
        let columns = panel.min(count - first);
        let width = columns.next_multiple_of(LANES);
        for begin in (0..left.depth).step_by(BLOCK) {
            let depth = begin..(begin + BLOCK).min(left.depth);
            let pairs = depth.len().div_ceil(2);
            let block = &mut block[..pairs * width];
            let at = range.start + first;
            right.pack_panel(depth, at..at + columns, width, block, arithmetic);
            Tiles {
                left: left.from(begin / 2),
                rows: left.rows,
                pairs,
                right: block,
                columns,
                out: &mut out[first..],
                stride: count,
                accumulate: accumulate || begin > 0,
            }
            .run_in(arithmetic);
        }
    }
}

/// A right factor laid out whole, panel by panel.
struct PackedRight {
    values: Scratch<u32>,
    depth: usize,
    columns: usize,
    panel: usize,
}

impl PackedRight {
    fn new(right: &impl Right, arithmetic: Bf16Arithmetic) -> Self {
        let [depth, columns] = right.size();
        let panel = vectors(columns, arithmetic) * LANES;
        let pairs = depth.div_ceil(2);
        let mut values = Scratch::take(pairs * columns.next_multiple_of(LANES));
        for (index, values) in values.chunks_mut(pairs * panel).enumerate() {
            let first = index * panel;
            let range = first..(first + panel).min(columns);
            right.pack_panel(0..depth, range, values.len() / pairs, values, arithmetic);
        }
        Self {
            values,
            depth,
            columns,
            panel,
        }
    }

    fn product(
        &self,
        out: &mut [f32],
        left: &PackedLeft,
        accumulate: bool,
        arithmetic: Bf16Arithmetic,
    ) {
        let pairs = self.depth.div_ceil(2);
        for (index, values) in self.values.chunks(pairs * self.panel).enumerate() {
            let first = index * self.panel;
            let width = values.len() / pairs;
            for begin in (0..pairs).step_by(BLOCK / 2) {
                let pairs = (pairs - begin).min(BLOCK / 2);
                Tiles {
                    left: left.from(begin),
                    rows: left.rows,
                    pairs,
                    right: &values[begin * width..][..pairs * width],
                    columns: self.panel.min(self.columns - first),
                    out: &mut out[first..],
                    stride: self.columns,
                    accumulate: accumulate || begin > 0,
                }
                .run_in(arithmetic);
            }
        }
    }
}

/// All rows by the columns of a panel, over a block of the depth.
struct Tiles<'a> {
    /// From the block's first pair on, with what lies from row to row and from pair to pair.
    left: (&'a [u32], [usize; 2]),
    rows: usize,
    pairs: usize,
    /// `[pair, width]`, with a width of whole vectors.
    right: &'a [u32],
    columns: usize,
    /// From the panel's first column on.
    out: &'a mut [f32],
    stride: usize,
    accumulate: bool,
}

impl Tiles<'_> {
    fn run_in(self, arithmetic: Bf16Arithmetic) {
        if self.rows * self.pairs * self.columns == 0 {
            return;
        }
        // What follows is read without asking whether it is there.
        let (left, [row, pair]) = self.left;
        let last = (self.rows - 1) * row + (self.pairs - 1) * pair;
        assert!(last < left.len(), "pairs of the left factor");
        tiled_in(self, arithmetic);
    }
}

/// Runs tiles of `$p` rows, then of `$q`, then of one.
macro_rules! in_tiles {
    ($vector:ident, $v:literal, $p:literal, $q:literal, $this:ident) => {{
        let mut row = 0;
        while row + $p <= $this.rows {
            tile::<$vector, $v, $p>(&mut $this, row);
            row += $p;
        }
        while row + $q <= $this.rows {
            tile::<$vector, $v, $q>(&mut $this, row);
            row += $q;
        }
        while row < $this.rows {
            tile::<$vector, $v, 1>(&mut $this, row);
            row += 1;
        }
    }};
}

impl Tiled for Tiles<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(mut self) {
        if WIDE {
            match self.columns.div_ceil(LANES) {
                1 => in_tiles!(Full, 1, 12, 4, self),
                2 => in_tiles!(Full, 2, 12, 4, self),
                3 => in_tiles!(Full, 3, 8, 3, self),
                _ => in_tiles!(Full, 4, 6, 2, self),
            }
        } else {
            // Sums and the halves of pairs in sixteen registers, of panels as narrow as `vectors` makes them.
            assert!(self.columns <= LANES, "a panel of one vector");
            in_tiles!(Full, 1, 4, 2, self)
        }
    }
}

#[inline(always)]
fn tile<W: Vector, const V: usize, const P: usize>(this: &mut Tiles<'_>, row: usize) {
    let (left, [row_stride, pair_stride]) = this.left;
    let left = &left[row * row_stride..];
    let width = V * LANES;
    let mut sums = [[W::splat(0.0); V]; P];
    for (k, right) in this.right.chunks_exact(width).enumerate().take(this.pairs) {
        let mut vectors = [W::splat(0.0); V];
        for (vector, pairs) in vectors.iter_mut().zip(right.chunks_exact(LANES)) {
            *vector = load(pairs);
        }
        for (p, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `Tiles::run_in` checks the last pair of the last row.
            #[allow(unsafe_code)]
            let pair = unsafe { *left.get_unchecked(p * row_stride + k * pair_stride) };
            let pair = W::splat(f32::from_bits(pair));
            for (sum, vector) in sums.iter_mut().zip(&vectors) {
                *sum = sum.add_products(pair, *vector);
            }
        }
    }
    for (p, sums) in sums.iter().enumerate() {
        let out = &mut this.out[(row + p) * this.stride..];
        if this.columns == width {
            for (v, sum) in sums.iter().enumerate() {
                let out = &mut out[v * LANES..];
                let sum = if this.accumulate {
                    W::load(out).add(*sum)
                } else {
                    *sum
                };
                sum.store(out);
            }
        } else {
            let mut all = [[0.0; LANES]; V];
            for (all, sum) in all.iter_mut().zip(sums) {
                sum.store(all);
            }
            for (out, sum) in out[..this.columns].iter_mut().zip(all.as_flattened()) {
                *out = if this.accumulate { *out + *sum } else { *sum };
            }
        }
    }
}

/// Pairs as the lanes of a vector.
#[inline(always)]
fn load<V: Vector>(pairs: &[u32]) -> V {
    let pairs = &pairs[..V::LANES];
    // SAFETY: f32 and u32 have one size and alignment, and any bits are one of each.
    #[allow(unsafe_code)]
    let pairs = unsafe { core::slice::from_raw_parts(pairs.as_ptr().cast(), V::LANES) };
    V::load(pairs)
}
