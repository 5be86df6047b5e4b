//! The implicit step of compartments that are joined.
//!
//! With `h` the length of the step, half of it for Crank and Nicolson's, `M x = b` is solved of
//! `M_ii = 1 + h (decay + total)`, `M_ip = −h·coupling` and `b = v + h·drive`; a node that is a point, where compartments meet
//! that has no membrane, has `M_ii = h·total` and `b = 0`. The adjoint `λ` of `b` solves `Mᵀ λ = ∂L/∂x`, and
//! `∂L/∂M_ij = −λ_i x_j`.

use rayon::prelude::*;

use super::cable::{ImplicitScheme, Joint};
use super::cpu::Number;
use crate::tree_solve::cpu::{ELEMENTS, Edges, edge_gradient};

/// The length of an implicit step.
fn length<T: Number>(joint: &Joint, dt: f64) -> T {
    T::of(match joint.scheme {
        ImplicitScheme::BackwardEuler => dt,
        ImplicitScheme::CrankNicolson => 0.5 * dt,
    })
}

/// The entries beside the diagonal, `[2, nodes]`, of the couplings.
fn beside<T: Number>(couplings: &[T], nodes: usize, h: T) -> Vec<T> {
    let both = couplings[..2 * nodes].iter();
    both.map(|coupling| -*coupling * h).collect()
}

/// What an implicit step gives: the new voltages `[rows, compartments]`, the reciprocals of the pivots, `[rows, nodes]`, and
/// the solution likewise, empty where it is the voltages.
pub(super) fn forward<T: Number>(
    joint: &Joint,
    (elements, compartments): (usize, usize),
    dt: f64,
    [v, decay, drive, couplings]: [&[T]; 4],
) -> [Vec<T>; 3] {
    if elements == 0 {
        return Default::default();
    }
    let (tree, nodes) = (&joint.tree, joint.tree.len());
    let h: T = length(joint, dt);
    let beside = beside(couplings, nodes, h);
    let edges = Edges::of(&beside);
    let total = &couplings[2 * nodes..];
    let rows = elements / compartments;
    let mut x = vec![T::ZERO; rows * nodes];
    let mut reciprocals = vec![T::ZERO; rows * nodes];
    let mut moved = vec![T::ZERO; elements];
    type Parts<'a, T> = ((&'a mut [T], &'a mut [T]), &'a mut [T]);
    let row = |(row, ((x, pivots), moved)): (usize, Parts<'_, T>)| {
        let own = row * compartments..(row + 1) * compartments;
        let (v, decay, drive) = (&v[own.clone()], &decay[own.clone()], &drive[own]);
        for i in 0..compartments {
            pivots[i] = (decay[i] + total[i]) * h + T::ONE;
            x[i] = v[i] + drive[i] * h;
        }
        for i in compartments..nodes {
            pivots[i] = total[i] * h;
        }
        tree.solve(edges, pivots, x);
        match joint.scheme {
            ImplicitScheme::BackwardEuler => moved.copy_from_slice(&x[..compartments]),
            ImplicitScheme::CrankNicolson => {
                let two = T::of(2.0);
                for i in 0..compartments {
                    moved[i] = x[i] * two - v[i];
                }
            }
        }
    };
    // To wake another thread takes longer than one task.
    if rows * nodes <= ELEMENTS {
        let both = x.chunks_exact_mut(nodes);
        let both = both.zip(reciprocals.chunks_exact_mut(nodes));
        let all = both.zip(moved.chunks_exact_mut(compartments));
        all.enumerate().for_each(row);
    } else {
        let both = x.par_chunks_exact_mut(nodes);
        let both = both.zip(reciprocals.par_chunks_exact_mut(nodes));
        let all = both.zip(moved.par_chunks_exact_mut(compartments));
        let least = (ELEMENTS / nodes).max(1);
        all.enumerate().with_min_len(least).for_each(row);
    }
    if joint.scheme == ImplicitScheme::BackwardEuler && nodes == compartments {
        x = Vec::new();
    }
    [moved, reciprocals, x]
}

/// What the backward pass of an implicit step computes from.
#[derive(Clone, Copy)]
pub(super) struct Joined<'a, T> {
    pub(super) joint: &'a Joint,
    pub(super) couplings: &'a [T],
    /// The solution and the reciprocals of the pivots, `[rows, nodes]`.
    pub(super) x: &'a [T],
    pub(super) reciprocals: &'a [T],
}

/// Gradients of an implicit step; empty where they are not wanted or there is nothing.
#[derive(Default)]
pub(super) struct ByLinear<T> {
    /// By the old voltages, the decay and the drive, `[rows, compartments]`.
    pub(super) v: Vec<T>,
    pub(super) decay: Vec<T>,
    pub(super) drive: Vec<T>,
    /// `[3, nodes]`
    pub(super) couplings: Vec<T>,
}

/// Gradients by the adjoint of the new voltages.
pub(super) fn gradients<T: Number>(
    (elements, compartments): (usize, usize),
    joined: &Joined<'_, T>,
    dt: f64,
    adjoint: &[T],
    wants_couplings: bool,
) -> ByLinear<T> {
    let Joined {
        joint,
        couplings,
        x,
        reciprocals,
    } = *joined;
    if adjoint.is_empty() {
        return ByLinear::default();
    }
    let (tree, nodes) = (&joint.tree, joint.tree.len());
    let h: T = length(joint, dt);
    let beside = beside(couplings, nodes, h);
    let edges = Edges::of(&beside).transposed();
    let rows = elements / compartments;
    let mut lambda = vec![T::ZERO; rows * nodes];
    let mut by_v = vec![T::ZERO; elements];
    let mut by_decay = vec![T::ZERO; elements];
    let mut by_drive = vec![T::ZERO; elements];
    type Parts<'a, T> = (&'a mut [T], (&'a mut [T], (&'a mut [T], &'a mut [T])));
    let row = |(row, (lambda, (by_v, (by_decay, by_drive)))): (usize, Parts<'_, T>)| {
        let x = &x[row * nodes..(row + 1) * nodes];
        let reciprocals = &reciprocals[row * nodes..(row + 1) * nodes];
        let adjoint = &adjoint[row * compartments..(row + 1) * compartments];
        match joint.scheme {
            ImplicitScheme::BackwardEuler => lambda[..compartments].copy_from_slice(adjoint),
            ImplicitScheme::CrankNicolson => {
                for i in 0..compartments {
                    lambda[i] = adjoint[i] * T::of(2.0);
                    by_v[i] = -adjoint[i];
                }
            }
        }
        tree.solve_again(edges, reciprocals, lambda);
        for i in 0..compartments {
            by_v[i] += lambda[i];
            by_drive[i] = lambda[i] * h;
            by_decay[i] = -(by_drive[i] * x[i]);
        }
    };
    if rows * nodes <= ELEMENTS {
        let others = by_decay.chunks_exact_mut(compartments);
        let others = others.zip(by_drive.chunks_exact_mut(compartments));
        let others = by_v.chunks_exact_mut(compartments).zip(others);
        let all = lambda.chunks_exact_mut(nodes).zip(others);
        all.enumerate().for_each(row);
    } else {
        let others = by_decay.par_chunks_exact_mut(compartments);
        let others = others.zip(by_drive.par_chunks_exact_mut(compartments));
        let others = by_v.par_chunks_exact_mut(compartments).zip(others);
        let all = lambda.par_chunks_exact_mut(nodes).zip(others);
        let least = (ELEMENTS / nodes).max(1);
        all.enumerate().with_min_len(least).for_each(row);
    }
    let mut by_couplings = Vec::new();
    if wants_couplings {
        by_couplings = edge_gradient(tree, x, &lambda);
        for by in &mut by_couplings {
            *by = -*by * h;
        }
        by_couplings.resize(3 * nodes, T::ZERO);
        let by_total = &mut by_couplings[2 * nodes..];
        for (lambda, x) in lambda.chunks_exact(nodes).zip(x.chunks_exact(nodes)) {
            for i in 0..nodes {
                by_total[i] = by_total[i] - lambda[i] * x[i] * h;
            }
        }
    }
    ByLinear {
        v: by_v,
        decay: by_decay,
        drive: by_drive,
        couplings: by_couplings,
    }
}
