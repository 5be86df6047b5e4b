//! Systems on trees on GPUs: a unit for each row, and for the gradient of the edges one for each node.
// Kernels copy element by element.
#![allow(clippy::manual_memcpy)]

use burn::backend::TensorMetadata;
use burn::tensor::{Shape, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::Tree;
use crate::gpu::{most_elements, one_for_each, row_major, unwritten, upload_indices};

/// The most nodes of a tree, over which each unit goes twice, and the most rows, which are added up one by one: less than a second
/// on a slow GPU, whose driver ends what takes some seconds.
const MOST: usize = 1 << 18;

/// Whether the kernels serve systems of this tree where the tensors are.
pub(super) fn serve(diagonal: &Tensor<2>, edges: &Tensor<2>, rhs: &Tensor<2>, tree: &Tree) -> bool {
    let [rows, nodes] = rhs.dims();
    let elements = rows * nodes;
    (1..=MOST).contains(&rows)
        && (1..=MOST).contains(&tree.len())
        && [diagonal, edges, rhs].into_iter().all(crate::gpu::serves)
        && elements <= most_elements(rhs)
}

/// `order` has the nodes, each after its parent, and then the parent of each node. `edges` has the entries of the parents at `lower`
/// and those of the nodes at `upper`.
#[cube(launch, address_type = "dynamic")]
fn solve_rows(
    diagonal: &[f32],
    edges: &[f32],
    rhs: &[f32],
    order: &[u32],
    pivots: &mut [f32],
    x: &mut [f32],
    rows: u32,
    nodes: u32,
    lower: u32,
    upper: u32,
) {
    let row = ABSOLUTE_POS;
    if row < rows as usize {
        let nodes = nodes as usize;
        let lower = lower as usize;
        let upper = upper as usize;
        let first = row * nodes;
        for node in 0..nodes {
            pivots[first + node] = diagonal[first + node];
            x[first + node] = rhs[first + node];
        }
        for index in 0..nodes {
            let node = order[nodes - 1 - index] as usize;
            let parent = order[nodes + node] as usize;
            if parent != node {
                let factor = edges[upper + node] / pivots[first + node];
                pivots[first + parent] -= factor * edges[lower + node];
                x[first + parent] -= factor * x[first + node];
            }
        }
        for index in 0..nodes {
            let node = order[index] as usize;
            let parent = order[nodes + node] as usize;
            let mut known = x[first + node];
            if parent != node {
                known -= edges[lower + node] * x[first + parent];
            }
            x[first + node] = known / pivots[first + node];
        }
    }
}

/// The gradient of the edges, `[2, nodes]`, summed over the rows in their order.
#[cube(launch, address_type = "dynamic")]
fn edge_gradients(
    x: &[f32],
    adjoint: &[f32],
    order: &[u32],
    gradient: &mut [f32],
    rows: u32,
    nodes: u32,
) {
    let node = ABSOLUTE_POS;
    let nodes = nodes as usize;
    if node < nodes {
        let parent = order[nodes + node] as usize;
        let mut lower = 0.0f32;
        let mut upper = 0.0f32;
        if parent != node {
            for row in 0..rows {
                let first = row as usize * nodes;
                lower -= adjoint[first + node] * x[first + parent];
                upper -= adjoint[first + parent] * x[first + node];
            }
        }
        gradient[node] = lower;
        gradient[nodes + node] = upper;
    }
}

/// What the kernels know of a tree.
fn order(tree: &Tree, beside: &CubeTensor) -> CubeTensor {
    let both = tree.order.iter().chain(tree.parents.iter());
    let both: Vec<u32> = both.map(|node| *node as u32).collect();
    upload_indices(&both, &beside.device)
}

/// `x` of `M x = b`, or of `Mᵀ x = b`.
pub(super) fn solve(
    tree: &Tree,
    [diagonal, edges, rhs]: [CubeTensor; 3],
    transposed: bool,
) -> CubeTensor {
    let (diagonal, edges, rhs) = (row_major(diagonal), row_major(edges), row_major(rhs));
    let (rows, nodes) = (rhs.shape()[0], tree.len() as u32);
    let x = unwritten(&rhs, rhs.shape());
    let (lower, upper) = if transposed { (nodes, 0) } else { (0, nodes) };
    let (count, dim) = one_for_each(&x.client, rows);
    solve_rows::launch(
        &x.client,
        count,
        dim,
        x.required_address_type(),
        diagonal.into_buffer_arg(),
        edges.into_buffer_arg(),
        rhs.into_buffer_arg(),
        order(tree, &x).into_buffer_arg(),
        unwritten(&x, x.shape()).into_buffer_arg(),
        x.clone().into_buffer_arg(),
        rows as u32,
        nodes,
        lower,
        upper,
    );
    x
}

/// The gradient of the edges, `[2, n]`.
pub(super) fn edge_gradient(tree: &Tree, x: CubeTensor, adjoint: CubeTensor) -> CubeTensor {
    let (x, adjoint) = (row_major(x), row_major(adjoint));
    let gradient = unwritten(&x, Shape::new([2, tree.len()]));
    let (count, dim) = one_for_each(&x.client, tree.len());
    edge_gradients::launch(
        &x.client,
        count,
        dim,
        x.required_address_type(),
        x.clone().into_buffer_arg(),
        adjoint.into_buffer_arg(),
        order(tree, &x).into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        x.shape()[0] as u32,
        tree.len() as u32,
    );
    gradient
}
