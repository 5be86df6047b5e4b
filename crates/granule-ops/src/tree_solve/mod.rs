//! Linear systems on trees (Hines 1984): the matrix has entries on its diagonal and between each node and its parent.
//!
//! Elimination from the leaves to the root and substitution back take time linear in the number of nodes. With the
//! adjoint `λ`, the solution of `Mᵀλ = ∂L/∂x`, the gradients are
//!
//! `∂L/∂b = λ`, `∂L/∂M_ij = −Σ λ_i x_j` over the rows of the batch, and `−λ_i x_i`, for each row, on the diagonal.

use std::sync::Arc;

#[cfg(any(feature = "capture", feature = "flex", feature = "ndarray", gpu))]
mod backend;
#[cfg(any(feature = "capture", feature = "flex", feature = "ndarray"))]
pub(crate) mod cpu;
#[cfg(gpu)]
mod cube;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

#[cfg(feature = "capture")]
pub(crate) use backend::extension::TreeSolveBackend;
use burn::tensor::Tensor;

/// Trees over the nodes `0..n`. A chain makes the matrix tridiagonal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    /// The parent of each node; a root is its own.
    parents: Arc<[usize]>,
    /// The nodes, each after its parent.
    order: Arc<[usize]>,
}

impl Tree {
    /// A tree, or several, from the parent of each node; `None` for a root.
    ///
    /// Returns `None` when parents go round in a circle or are none of the nodes.
    pub fn new(parents: &[Option<usize>]) -> Option<Self> {
        let nodes = parents.len();
        let own = parents.iter().enumerate();
        let own: Arc<[usize]> = own.map(|(node, parent)| parent.unwrap_or(node)).collect();
        let follows = |(node, parent): (usize, &Option<usize>)| parent.is_none_or(|p| p < node);
        let order: Vec<usize> = if parents.iter().enumerate().all(follows) {
            (0..nodes).collect()
        } else {
            let mut children = vec![Vec::new(); nodes];
            for (node, parent) in parents.iter().enumerate() {
                if let Some(parent) = parent {
                    children.get_mut(*parent)?.push(node);
                }
            }
            let roots = (0..nodes).filter(|node| parents[*node].is_none());
            let mut order: Vec<usize> = roots.collect();
            let mut next = 0;
            while let Some(node) = order.get(next) {
                next += 1;
                order.extend(std::mem::take(&mut children[*node]));
            }
            order
        };
        (order.len() == nodes).then(|| Self {
            parents: own,
            order: order.into(),
        })
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The parent of a node; a root is its own.
    pub fn parent(&self, node: usize) -> usize {
        self.parents[node]
    }
}

/// The solution `x` `[rows, n]` of one system `M x = b` for each row.
///
/// - `diagonal` `[rows, n]`: `M_ii`.
/// - `edges` `[2, n]`, the same for all rows: `M_ip` and then `M_pi`, for each node `i` with the parent `p`. The entries
///   of roots are not used.
/// - `rhs` `[rows, n]`: `b`.
///
/// All three have gradients. There is no pivoting: the matrix is to be diagonally dominant, as those of diffusion on a
/// tree are. On `flex` and `ndarray` in f32 or f64 and on GPUs in f32, of up to 2¹⁸ rows and nodes, this is a kernel of this crate;
/// elsewhere it is composed of Burn's operations, a few for each node.
///
/// # Panics
/// When the shapes do not fit the tree.
pub fn tree_solve(diagonal: Tensor<2>, edges: Tensor<2>, rhs: Tensor<2>, tree: &Tree) -> Tensor<2> {
    let [rows, nodes] = rhs.dims();
    assert!(
        nodes == tree.len() && diagonal.dims() == [rows, nodes] && edges.dims() == [2, nodes],
        "tree_solve: a diagonal {:?}, edges {:?} and a right-hand side {:?} do not fit {} nodes",
        diagonal.dims(),
        edges.dims(),
        rhs.dims(),
        tree.len(),
    );
    #[cfg(feature = "capture")]
    if crate::script::records(&rhs) {
        return backend::run(diagonal, edges, rhs, tree.clone());
    }
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&rhs) {
        return backend::run(diagonal, edges, rhs, tree.clone());
    }
    #[cfg(gpu)]
    if cube::serve(&diagonal, &edges, &rhs, tree) {
        return backend::run(diagonal, edges, rhs, tree.clone());
    }
    composed(diagonal, edges, rhs, tree)
}

fn composed(diagonal: Tensor<2>, edges: Tensor<2>, rhs: Tensor<2>, tree: &Tree) -> Tensor<2> {
    if tree.is_empty() {
        return rhs;
    }
    let lower = edges.clone().narrow(0, 0, 1);
    let upper = edges.narrow(0, 1, 1);
    let mut pivots: Vec<Tensor<2>> = diagonal.split(1, 1);
    let mut x: Vec<Tensor<2>> = rhs.split(1, 1);
    for node in tree.order.iter().rev().copied() {
        let parent = tree.parent(node);
        if parent != node {
            let factor = upper.clone().narrow(1, node, 1) / pivots[node].clone();
            let below = lower.clone().narrow(1, node, 1);
            pivots[parent] = pivots[parent].clone() - factor.clone() * below;
            x[parent] = x[parent].clone() - factor * x[node].clone();
        }
    }
    for node in tree.order.iter().copied() {
        let parent = tree.parent(node);
        if parent != node {
            let below = lower.clone().narrow(1, node, 1);
            x[node] = x[node].clone() - below * x[parent].clone();
        }
        x[node] = x[node].clone() / pivots[node].clone();
    }
    Tensor::cat(x, 1)
}
