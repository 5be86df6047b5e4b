//! Elimination and substitution over slices; rows are shared out over the threads, and no result depends on their
//! number.

use rayon::prelude::*;

use super::Tree;
use crate::firing_rate::elementary::Elementary;

/// Elements of one task: small systems would otherwise cost more to hand out than to solve.
pub(crate) const ELEMENTS: usize = 1 << 13;

/// The entries beside the diagonal: of each node's parent in the equation of the node, and of the node in that of its
/// parent.
#[derive(Clone, Copy)]
pub(crate) struct Edges<'a, T> {
    pub(crate) lower: &'a [T],
    pub(crate) upper: &'a [T],
}

impl<'a, T> Edges<'a, T> {
    /// Of `[2, n]`.
    pub(crate) fn of(both: &'a [T]) -> Self {
        let (lower, upper) = both.split_at(both.len() / 2);
        Self { lower, upper }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            lower: self.upper,
            upper: self.lower,
        }
    }
}

impl Tree {
    /// Turns the diagonal of one system into the reciprocals of its pivots, and its right-hand side into the solution.
    pub(crate) fn solve<T: Elementary>(&self, edges: Edges<'_, T>, pivots: &mut [T], x: &mut [T]) {
        for node in self.order.iter().rev().copied() {
            let reciprocal = T::ONE / pivots[node];
            pivots[node] = reciprocal;
            let parent = self.parents[node];
            if parent != node {
                let factor = edges.upper[node] * reciprocal;
                pivots[parent] = pivots[parent] - factor * edges.lower[node];
                x[parent] = x[parent] - factor * x[node];
            }
        }
        self.substitute(edges, pivots, x);
    }

    /// The same of another right-hand side, or of the transposed system, whose pivots are the same.
    pub(crate) fn solve_again<T: Elementary>(
        &self,
        edges: Edges<'_, T>,
        reciprocals: &[T],
        x: &mut [T],
    ) {
        for node in self.order.iter().rev().copied() {
            let parent = self.parents[node];
            if parent != node {
                x[parent] = x[parent] - edges.upper[node] * reciprocals[node] * x[node];
            }
        }
        self.substitute(edges, reciprocals, x);
    }

    fn substitute<T: Elementary>(&self, edges: Edges<'_, T>, reciprocals: &[T], x: &mut [T]) {
        for node in self.order.iter().copied() {
            let parent = self.parents[node];
            let known = if parent == node {
                x[node]
            } else {
                x[node] - edges.lower[node] * x[parent]
            };
            x[node] = known * reciprocals[node];
        }
    }
}

/// `x` of `M x = b`, or of `Mᵀ x = b`.
pub(super) fn solve<T: Elementary>(
    tree: &Tree,
    diagonal: &[T],
    edges: &[T],
    rhs: &[T],
    transposed: bool,
) -> Vec<T> {
    let nodes = tree.len();
    let mut x = rhs.to_vec();
    if nodes == 0 {
        return x;
    }
    let own = Edges::of(edges);
    let edges = if transposed { own.transposed() } else { own };
    let task = (ELEMENTS / nodes).max(1) * nodes;
    let rows = |(x, diagonal): (&mut [T], &[T])| {
        let mut pivots = vec![T::default(); nodes];
        let rows = x.chunks_exact_mut(nodes);
        for (x, diagonal) in rows.zip(diagonal.chunks_exact(nodes)) {
            pivots.copy_from_slice(diagonal);
            tree.solve(edges, &mut pivots, x);
        }
    };
    // To wake another thread takes longer than one task.
    if x.len() <= task {
        rows((&mut x, diagonal));
    } else {
        x.par_chunks_mut(task)
            .zip(diagonal.par_chunks(task))
            .for_each(rows);
    }
    x
}

/// The gradient of the edges, `[2, n]`, summed over the rows in their order.
pub(crate) fn edge_gradient<T: Elementary>(tree: &Tree, x: &[T], adjoint: &[T]) -> Vec<T> {
    let nodes = tree.len();
    let mut gradient = vec![T::default(); 2 * nodes];
    let (lower, upper) = gradient.split_at_mut(nodes);
    let rows = x.chunks_exact(nodes.max(1));
    for (x, adjoint) in rows.zip(adjoint.chunks_exact(nodes.max(1))) {
        for (node, parent) in tree.parents.iter().copied().enumerate() {
            if parent != node {
                lower[node] = lower[node] - adjoint[node] * x[parent];
                upper[node] = upper[node] - adjoint[parent] * x[node];
            }
        }
    }
    gradient
}
