//! Elimination and substitution over slices; rows are shared out over the threads, and no result depends on their
//! number.

use std::ops::{Div, Mul, Sub};

use rayon::prelude::*;

use super::Tree;

/// Elements of one task: small systems would otherwise cost more to hand out than to solve.
const ELEMENTS: usize = 1 << 13;

pub(super) trait Number:
    Copy + Default + Send + Sync + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
}

impl Number for f32 {}
impl Number for f64 {}

/// `x` of `M x = b`, or of `Mᵀ x = b`.
pub(super) fn solve<T: Number>(
    tree: &Tree,
    diagonal: &[T],
    edges: &[T],
    rhs: &[T],
    transposed: bool,
) -> Vec<T> {
    let (parents, nodes) = (&tree.parents, tree.len());
    let mut x = rhs.to_vec();
    if nodes == 0 {
        return x;
    }
    let (mut lower, mut upper) = edges.split_at(nodes);
    if transposed {
        std::mem::swap(&mut lower, &mut upper);
    }
    let task = (ELEMENTS / nodes).max(1) * nodes;
    x.par_chunks_mut(task)
        .zip(diagonal.par_chunks(task))
        .for_each(|(x, diagonal)| {
            let mut pivots = vec![T::default(); nodes];
            let rows = x.chunks_exact_mut(nodes);
            for (x, diagonal) in rows.zip(diagonal.chunks_exact(nodes)) {
                pivots.copy_from_slice(diagonal);
                for node in tree.order.iter().rev().copied() {
                    let parent = parents[node];
                    if parent != node {
                        let factor = upper[node] / pivots[node];
                        pivots[parent] = pivots[parent] - factor * lower[node];
                        x[parent] = x[parent] - factor * x[node];
                    }
                }
                for node in tree.order.iter().copied() {
                    let parent = parents[node];
                    if parent != node {
                        x[node] = x[node] - lower[node] * x[parent];
                    }
                    x[node] = x[node] / pivots[node];
                }
            }
        });
    x
}

/// The gradient of the edges, `[2, n]`, summed over the rows in their order.
pub(super) fn edge_gradient<T: Number>(parents: &[usize], x: &[T], adjoint: &[T]) -> Vec<T> {
    let nodes = parents.len();
    let mut gradient = vec![T::default(); 2 * nodes];
    let (lower, upper) = gradient.split_at_mut(nodes);
    let rows = x.chunks_exact(nodes.max(1));
    for (x, adjoint) in rows.zip(adjoint.chunks_exact(nodes.max(1))) {
        for (node, parent) in parents.iter().copied().enumerate() {
            if parent != node {
                lower[node] = lower[node] - adjoint[node] * x[parent];
                upper[node] = upper[node] - adjoint[parent] * x[node];
            }
        }
    }
    gradient
}
