//! The pass over slices; planes are shared out over the threads, and no result depends on their number.

use rayon::prelude::*;

use crate::matmul::Real;
use crate::vectorised::{Kernel, vectorised};

/// Planes of one task: small images would otherwise cost more to hand out than to pool.
const ELEMENTS: usize = 1 << 14;

/// Sizes of the planes and of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) size: usize,
}

impl Geometry {
    pub(super) fn out_height(&self) -> usize {
        self.height / self.size
    }

    pub(super) fn out_width(&self) -> usize {
        self.width / self.size
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn planes_of_a_task(&self) -> usize {
        (ELEMENTS / self.plane()).max(1)
    }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "NaN alone differs from itself")]
fn is_nan<T: Real>(x: T) -> bool {
    x != x
}

/// The larger of two values; NaN wins.
#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    if (b > a) | is_nan(b) { b } else { a }
}

pub(super) fn forward<T: Real>(g: &Geometry, x: &[T]) -> Vec<T> {
    let planes = x.len() / g.plane();
    let mut out = vec![T::ZERO; planes * g.out_plane()];
    let count = g.planes_of_a_task();
    out.par_chunks_mut(count * g.out_plane())
        .zip(x.par_chunks(count * g.plane()))
        .for_each(|(out, x)| {
            for (out, x) in out
                .chunks_exact_mut(g.out_plane())
                .zip(x.chunks_exact(g.plane()))
            {
                let rows = x.chunks_exact(g.size * g.width);
                for (out, rows) in out.chunks_exact_mut(g.out_width()).zip(rows) {
                    if g.size == 2 {
                        pool_pairs(out, rows.split_at(g.width));
                    } else {
                        pool_row(out, rows, g);
                    }
                }
            }
        });
    out
}

fn pool_pairs<T: Real>(out: &mut [T], (above, below): (&[T], &[T])) {
    let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
    for (out, (a, b)) in out.iter_mut().zip(pairs) {
        *out = larger(T::ZERO, larger(larger(a[0], a[1]), larger(b[0], b[1])));
    }
}

fn pool_row<T: Real>(out: &mut [T], rows: &[T], g: &Geometry) {
    for (j, out) in out.iter_mut().enumerate() {
        let mut best = T::ZERO;
        for row in rows.chunks_exact(g.width) {
            for value in &row[j * g.size..(j + 1) * g.size] {
                best = larger(best, *value);
            }
        }
        *out = best;
    }
}

pub(super) fn backward<T: Real>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    let count = g.planes_of_a_task();
    out.par_chunks_mut(count * g.plane())
        .zip(x.par_chunks(count * g.plane()))
        .zip(grad.par_chunks(count * g.out_plane()))
        .for_each(|((out, x), grad)| vectorised(Backward { g, out, x, grad }));
    out
}

struct Backward<'a, T> {
    g: &'a Geometry,
    out: &'a mut [T],
    x: &'a [T],
    grad: &'a [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let g = self.g;
        let planes = self
            .out
            .chunks_exact_mut(g.plane())
            .zip(self.x.chunks_exact(g.plane()));
        for ((out, x), grad) in planes.zip(self.grad.chunks_exact(g.out_plane())) {
            let band = g.size * g.width;
            let bands = out.chunks_exact_mut(band).zip(x.chunks_exact(band));
            for ((out, x), grad) in bands.zip(grad.chunks_exact(g.out_width())) {
                let done = g.size == 2
                    && scatter_pairs(out.split_at_mut(g.width), x.split_at(g.width), grad);
                if !done {
                    scatter_row(out, x, grad, g);
                }
            }
        }
    }
}

/// Whether that was all: the gradients of windows with a NaN are left out.
#[inline(always)]
fn scatter_pairs<T: Real>(out: (&mut [T], &mut [T]), x: (&[T], &[T]), grad: &[T]) -> bool {
    let mut nans = 0u32;
    let above = out
        .0
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(x.0.as_chunks::<2>().0);
    let below = out
        .1
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(x.1.as_chunks::<2>().0);
    for (((out_a, a), (out_b, b)), grad) in above.zip(below).zip(grad) {
        let best = larger(larger(a[0], a[1]), larger(b[0], b[1]));
        nans |= u32::from(is_nan(best));
        // What is left of the gradient after each element in turn.
        let left = if best > T::ZERO { *grad } else { T::ZERO };
        let first = if a[0] == best { left } else { T::ZERO };
        let left = if a[0] == best { T::ZERO } else { left };
        let second = if a[1] == best { left } else { T::ZERO };
        let left = if a[1] == best { T::ZERO } else { left };
        let third = if b[0] == best { left } else { T::ZERO };
        let left = if b[0] == best { T::ZERO } else { left };
        let fourth = if b[1] == best { left } else { T::ZERO };
        *out_a = [first, second];
        *out_b = [third, fourth];
    }
    nans == 0
}

#[inline(always)]
fn scatter_row<T: Real>(out: &mut [T], x: &[T], grad: &[T], g: &Geometry) {
    for (j, grad) in grad.iter().enumerate() {
        let (mut best, mut place) = (T::ZERO, None);
        for i in 0..g.size {
            for k in 0..g.size {
                let at = i * g.width + j * g.size + k;
                if (x[at] > best) | is_nan(x[at]) {
                    (best, place) = (x[at], Some(at));
                }
            }
        }
        if let Some(place) = place {
            out[place] = *grad;
        }
    }
}
