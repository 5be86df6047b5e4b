//! Routing from Burn's tensors to the kernel.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
#[cfg(any(feature = "flex", feature = "ndarray"))]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::Tree;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use super::cpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::host::{HostBackend, on_host};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
pub(super) mod extension {
    use super::*;

    /// Systems on trees as the backends solve them; documented at [`crate::tree_solve()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Cube: cfg(gpu),
        Capture: cfg(feature = "capture"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait TreeSolveBackend: Backend {
        fn tree_solve_forward(
            diagonal: FloatTensor<Self>,
            edges: FloatTensor<Self>,
            rhs: FloatTensor<Self>,
            tree: Tree,
            transposed: bool,
        ) -> FloatTensor<Self>;

        fn tree_solve_edge_gradient(
            x: FloatTensor<Self>,
            adjoint: FloatTensor<Self>,
            tree: Tree,
        ) -> FloatTensor<Self>;
    }
}
use extension::TreeSolveBackend;

pub(super) fn run(diagonal: Tensor<2>, edges: Tensor<2>, rhs: Tensor<2>, tree: Tree) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as TreeSolveBackend>::tree_solve_forward(
        diagonal.into_dispatch(),
        edges.into_dispatch(),
        rhs.into_dispatch(),
        tree,
        false,
    ))
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn forward<B: HostBackend>(
    diagonal: FloatTensor<B>,
    edges: FloatTensor<B>,
    rhs: FloatTensor<B>,
    tree: &Tree,
    transposed: bool,
) -> FloatTensor<B> {
    let shape = rhs.shape();
    let x = on_host!(
        B,
        "tree_solve",
        [diagonal, edges, rhs],
        cpu::solve(tree, diagonal, edges, rhs, transposed)
    );
    B::write(x, shape)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn edge_gradient<B: HostBackend>(
    x: FloatTensor<B>,
    adjoint: FloatTensor<B>,
    tree: &Tree,
) -> FloatTensor<B> {
    let gradient = on_host!(
        B,
        "tree_solve",
        [x, adjoint],
        cpu::edge_gradient(tree, x, adjoint)
    );
    B::write(gradient, Shape::new([2, tree.len()]))
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
macro_rules! host_tree_solve {
    ($backend:ty) => {
        impl TreeSolveBackend for $backend {
            fn tree_solve_forward(
                diagonal: FloatTensor<Self>,
                edges: FloatTensor<Self>,
                rhs: FloatTensor<Self>,
                tree: Tree,
                transposed: bool,
            ) -> FloatTensor<Self> {
                forward::<Self>(diagonal, edges, rhs, &tree, transposed)
            }

            fn tree_solve_edge_gradient(
                x: FloatTensor<Self>,
                adjoint: FloatTensor<Self>,
                tree: Tree,
            ) -> FloatTensor<Self> {
                edge_gradient::<Self>(x, adjoint, &tree)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_tree_solve!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_tree_solve!(crate::host::ndarray::NdArray);

#[cfg(gpu)]
impl TreeSolveBackend for burn_cubecl::CubeBackend {
    fn tree_solve_forward(
        diagonal: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        tree: Tree,
        transposed: bool,
    ) -> FloatTensor<Self> {
        super::cube::solve(&tree, [diagonal, edges, rhs], transposed)
    }

    fn tree_solve_edge_gradient(
        x: FloatTensor<Self>,
        adjoint: FloatTensor<Self>,
        tree: Tree,
    ) -> FloatTensor<Self> {
        super::cube::edge_gradient(&tree, x, adjoint)
    }
}

#[cfg(feature = "autodiff")]
mod autodiff {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::*;
    use crate::first_order;

    #[derive(Debug)]
    struct TreeSolve;

    impl<B: TreeSolveBackend> Backward<B, 3> for TreeSolve {
        /// The diagonal, the edges, the solution and the tree.
        type State = (NodeId, NodeId, FloatTensor<B>, Tree);

        fn backward(
            self,
            ops: Ops<Self::State, 3>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (diagonal, edges, x, tree) = ops.state;
            let diagonal: FloatTensor<B> = checkpointer.retrieve_node_output(diagonal);
            let edges: FloatTensor<B> = checkpointer.retrieve_node_output(edges);
            let adjoint = B::tree_solve_forward(diagonal, edges, grad, tree.clone(), true);
            let [diagonal, edges, rhs] = ops.parents;
            if let Some(node) = diagonal {
                let product = B::float_mul(adjoint.clone(), x.clone());
                grads.register::<B>(node.id, B::float_neg(product));
            }
            if let Some(node) = edges {
                let gradient = B::tree_solve_edge_gradient(x, adjoint.clone(), tree);
                grads.register::<B>(node.id, gradient);
            }
            if let Some(node) = rhs {
                grads.register::<B>(node.id, adjoint);
            }
        }
    }

    impl<B: TreeSolveBackend, C: CheckpointStrategy> TreeSolveBackend for Autodiff<B, C> {
        fn tree_solve_forward(
            diagonal: FloatTensor<Self>,
            edges: FloatTensor<Self>,
            rhs: FloatTensor<Self>,
            tree: Tree,
            transposed: bool,
        ) -> FloatTensor<Self> {
            let nodes = [diagonal.node(), edges.node(), rhs.node()];
            match TreeSolve.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let kept = (prep.checkpoint(&diagonal), prep.checkpoint(&edges));
                    let x = B::tree_solve_forward(
                        diagonal.into_primitive(),
                        edges.into_primitive(),
                        rhs.into_primitive(),
                        tree.clone(),
                        transposed,
                    );
                    prep.finish((kept.0, kept.1, x.clone(), tree), x)
                }
                OpsKind::UnTracked(prep) => prep.finish(B::tree_solve_forward(
                    diagonal.into_primitive(),
                    edges.into_primitive(),
                    rhs.into_primitive(),
                    tree,
                    transposed,
                )),
            }
        }

        fn tree_solve_edge_gradient(
            _x: FloatTensor<Self>,
            _adjoint: FloatTensor<Self>,
            _tree: Tree,
        ) -> FloatTensor<Self> {
            first_order("tree_solve")
        }
    }
}
