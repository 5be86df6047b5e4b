//! The innermost loops: a tile of rows by the columns of a panel, in registers.
//!
//! Every element is one chain of multiply-adds in rising order of the depth, whatever tile it is in: what is computed does
//! not depend on what it is computed with.

use core::ops::Range;

use super::packed::{Form, Panel};
use super::vector::{Tiled, Vector, tiled};

/// Rows of the depth after which sums are added to those before: smaller rounding errors, and weights that stay in a cache.
const BLOCK: usize = 256;

/// Runs `tile!(vector, V, P)` on all of `count` rows: vectors and rows of a tile by the form of the panel, then fewer rows,
/// then one.
macro_rules! in_tiles {
    ($form:expr, $wide:ident, $full:ident, $few:ident, $count:expr, $tile:ident($this:expr $(, $more:expr)*)) => {
        match $form {
            Form::Few => in_tiles!(@ $few, 1, 12, 4, $count, $tile($this $(, $more)*)),
            Form::Wide(1) if $wide => in_tiles!(@ $full, 1, 12, 4, $count, $tile($this $(, $more)*)),
            Form::Wide(2) if $wide => in_tiles!(@ $full, 2, 12, 4, $count, $tile($this $(, $more)*)),
            Form::Wide(3) if $wide => in_tiles!(@ $full, 3, 8, 3, $count, $tile($this $(, $more)*)),
            Form::Wide(_) if $wide => in_tiles!(@ $full, 4, 6, 2, $count, $tile($this $(, $more)*)),
            _ => in_tiles!(@ $full, 1, 6, 2, $count, $tile($this $(, $more)*)),
        }
    };
    (@ $vector:ident, $v:literal, $p:literal, $q:literal, $count:expr, $tile:ident($this:expr $(, $more:expr)*)) => {{
        let mut row = 0;
        while row + $p <= $count {
            $tile::<$vector, $v, $p>($this, row $(, $more)*);
            row += $p;
        }
        while row + $q <= $count {
            $tile::<$vector, $v, $q>($this, row $(, $more)*);
            row += $q;
        }
        while row < $count {
            $tile::<$vector, $v, 1>($this, row $(, $more)*);
            row += 1;
        }
    }};
}

/// Adds to the sums of a tile the products of a column of `x` and a row of a panel.
#[inline(always)]
fn add_products<W: Vector, const V: usize, const P: usize>(
    sums: &mut [[W; V]; P],
    x: [f32; P],
    weights: &[f32],
) {
    let mut vectors = [W::splat(0.0); V];
    for (vector, weights) in vectors.iter_mut().zip(weights.chunks_exact(W::LANES)) {
        *vector = W::load(weights);
    }
    for (sums, x) in sums.iter_mut().zip(x) {
        let x = W::splat(x);
        for (sum, vector) in sums.iter_mut().zip(&vectors) {
            *sum = vector.multiply_add(x, *sum);
        }
    }
}

/// Writes `base + sums`, rectified where asked for; without a base it adds to what is there.
#[inline(always)]
fn finish<W: Vector, const V: usize>(
    out: &mut [f32],
    base: Option<&[f32]>,
    sums: &[W; V],
    rectify: bool,
) {
    let out = &mut out[..V * W::LANES];
    for (v, sum) in sums.iter().enumerate() {
        let place = v * W::LANES;
        let base = W::load(match base {
            Some(base) => &base[place..],
            None => &out[place..],
        });
        let value = base.add(*sum);
        let value = if rectify { value.rectified() } else { value };
        value.store(&mut out[place..]);
    }
}

/// Rows of a matrix times a panel: `out = x · w + b`.
pub(super) struct Rows<'a> {
    pub(super) rows: usize,
    /// The rows, `depth` values each.
    pub(super) x: &'a [f32],
    /// From one row to the next.
    pub(super) stride: usize,
    pub(super) depth: usize,
    pub(super) panel: Panel<'a>,
    pub(super) rectify: bool,
    /// From the panel's first column of the first row on.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
}

impl Rows<'_> {
    pub(super) fn run(self) {
        tiled(self);
    }
}

impl Tiled for Rows<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(mut self) {
        for first in (0..self.depth).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(self.depth);
            in_tiles!(
                self.panel.form,
                WIDE,
                Full,
                Few,
                self.rows,
                rows_tile(&mut self, &block)
            );
        }
    }
}

#[inline(always)]
fn rows_tile<W: Vector, const V: usize, const P: usize>(
    this: &mut Rows<'_>,
    row: usize,
    block: &Range<usize>,
) {
    let len = block.len();
    let width = V * W::LANES;
    let x: [&[f32]; P] =
        core::array::from_fn(|p| &this.x[(row + p) * this.stride + block.start..][..len]);
    let weights = &this.panel.values[block.start * width..][..len * width];
    let mut sums = [[W::splat(0.0); V]; P];
    for (k, weights) in weights.chunks_exact(width).enumerate() {
        let x = core::array::from_fn(|p| {
            // SAFETY: there are `len` values of each row, as there are weights.
            #[allow(unsafe_code)]
            unsafe {
                *x[p].get_unchecked(k)
            }
        });
        add_products(&mut sums, x, weights);
    }
    let base = (block.start == 0).then_some(this.panel.bias);
    let rectify = this.rectify && block.end == this.depth;
    for (p, sums) in sums.iter().enumerate() {
        finish(
            &mut this.out[(row + p) * this.out_stride..],
            base,
            sums,
            rectify,
        );
    }
}

/// Positions of a window over an image times a panel, `out = x · w + b`: the window's values lie at `offsets` from its
/// first.
pub(super) struct Windows<'a> {
    pub(super) x: &'a [f32],
    pub(super) offsets: &'a [usize],
    /// Positions of a line, and lines.
    pub(super) count: [usize; 2],
    /// From one position to the next, and from one line to the next.
    pub(super) step: [usize; 2],
    pub(super) panel: Panel<'a>,
    pub(super) rectify: bool,
    /// From the panel's first column of the first position on.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
}

impl Windows<'_> {
    pub(super) fn run(self) {
        let [width, lines] = self.count;
        if width * lines == 0 {
            return;
        }
        // What follows is read without asking whether it is there.
        let furthest = self.offsets.iter().max().copied().unwrap_or_default();
        let last = (width - 1) * self.step[0] + (lines - 1) * self.step[1];
        assert!(last + furthest < self.x.len(), "windows within the image");
        tiled(self);
    }
}

impl Windows<'_> {
    /// Writes what a tile gives from the position `at` on.
    #[inline(always)]
    fn finish<W: Vector, const V: usize, const P: usize>(&mut self, at: usize, sums: &[[W; V]; P]) {
        for (p, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(at + p) * self.out_stride..];
            finish(out, Some(self.panel.bias), sums, self.rectify);
        }
    }
}

impl Tiled for Windows<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(mut self) {
        let [width, lines] = self.count;
        // Values of a line that lie one after the other need no place each.
        if self.step[0] == 1 {
            for line in 0..lines {
                in_tiles!(
                    self.panel.form,
                    WIDE,
                    Full,
                    Few,
                    width,
                    line_tile(&mut self, line)
                );
            }
            return;
        }
        let count = width * lines;
        in_tiles!(
            self.panel.form,
            WIDE,
            Full,
            Few,
            count,
            windows_tile(&mut self)
        );
    }
}

#[inline(always)]
fn windows_tile<W: Vector, const V: usize, const P: usize>(this: &mut Windows<'_>, at: usize) {
    let width = this.count[0];
    let (mut y, mut x) = (at / width, at % width);
    let begin: [usize; P] = core::array::from_fn(|_| {
        let begin = x * this.step[0] + y * this.step[1];
        x += 1;
        if x == width {
            (x, y) = (0, y + 1);
        }
        begin
    });
    let mut sums = [[W::splat(0.0); V]; P];
    let weights = this.panel.values.chunks_exact(V * W::LANES);
    for (offset, weights) in this.offsets.iter().zip(weights) {
        let x = core::array::from_fn(|p| {
            // SAFETY: `Windows::run` checks the largest sum of a beginning and an offset.
            #[allow(unsafe_code)]
            unsafe {
                *this.x.get_unchecked(begin[p] + offset)
            }
        });
        add_products(&mut sums, x, weights);
    }
    this.finish(at, &sums);
}

/// As [`windows_tile`] within a line whose windows are one value apart.
#[inline(always)]
fn line_tile<W: Vector, const V: usize, const P: usize>(
    this: &mut Windows<'_>,
    x: usize,
    line: usize,
) {
    let first = this.x[line * this.step[1] + x..].as_ptr();
    let mut sums = [[W::splat(0.0); V]; P];
    let weights = this.panel.values.chunks_exact(V * W::LANES);
    for (offset, weights) in this.offsets.iter().zip(weights) {
        let x = core::array::from_fn(|p| {
            // SAFETY: as above. Of pointers it is one instruction to read the values beside a value.
            #[allow(unsafe_code)]
            unsafe {
                *first.add(*offset).add(p)
            }
        });
        add_products(&mut sums, x, weights);
    }
    this.finish(line * this.count[0] + x, &sums);
}
