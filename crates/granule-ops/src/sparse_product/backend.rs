//! Routing from Burn's tensors to the kernel.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::{Connections, cpu};
use crate::host::{HostBackend, on_host};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
pub(super) mod extension {
    use super::*;

    /// Products by sparse matrices as the CPU backends compute them; documented at [`crate::sparse_product()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Capture: cfg(feature = "capture"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait SparseProductBackend: Backend {
        fn sparse_product_forward(
            x: FloatTensor<Self>,
            values: FloatTensor<Self>,
            connections: Connections,
        ) -> FloatTensor<Self>;

        fn sparse_product_input_gradient(
            gradient: FloatTensor<Self>,
            values: FloatTensor<Self>,
            connections: Connections,
        ) -> FloatTensor<Self>;

        fn sparse_product_weight_gradient(
            x: FloatTensor<Self>,
            gradient: FloatTensor<Self>,
            connections: Connections,
        ) -> FloatTensor<Self>;
    }
}
use extension::SparseProductBackend;

pub(super) fn run(x: Tensor<2>, values: Tensor<2>, connections: Connections) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as SparseProductBackend>::sparse_product_forward(
        x.into_dispatch(),
        values.into_dispatch(),
        connections,
    ))
}

macro_rules! host_sparse_product {
    ($backend:ident, $module:ident, $path:ty) => {
        mod $module {
            use super::*;

            type $backend = $path;

            impl SparseProductBackend for $backend {
                fn sparse_product_forward(
                    x: FloatTensor<Self>,
                    values: FloatTensor<Self>,
                    connections: Connections,
                ) -> FloatTensor<Self> {
                    let shape = Shape::new([x.shape()[0], connections.columns()]);
                    let out = on_host!(
                        $backend,
                        "sparse_product",
                        [x, values],
                        cpu::forward(x, values, &connections)
                    );
                    $backend::write(out, shape)
                }

                fn sparse_product_input_gradient(
                    gradient: FloatTensor<Self>,
                    values: FloatTensor<Self>,
                    connections: Connections,
                ) -> FloatTensor<Self> {
                    let shape = Shape::new([gradient.shape()[0], connections.rows()]);
                    let out = on_host!(
                        $backend,
                        "sparse_product",
                        [gradient, values],
                        cpu::input_gradient(gradient, values, &connections)
                    );
                    $backend::write(out, shape)
                }

                fn sparse_product_weight_gradient(
                    x: FloatTensor<Self>,
                    gradient: FloatTensor<Self>,
                    connections: Connections,
                ) -> FloatTensor<Self> {
                    let shape = Shape::new([1, connections.len()]);
                    let out = on_host!(
                        $backend,
                        "sparse_product",
                        [x, gradient],
                        cpu::weight_gradient(x, gradient, &connections)
                    );
                    $backend::write(out, shape)
                }
            }
        }
    };
}

#[cfg(feature = "flex")]
host_sparse_product!(Flex, flex, burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_sparse_product!(NdArray, ndarray, crate::host::ndarray::NdArray);

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
    struct SparseProduct;

    impl<B: SparseProductBackend> Backward<B, 2> for SparseProduct {
        /// Both operands and the connections.
        type State = (NodeId, NodeId, Connections);

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, values, connections) = ops.state;
            let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
            let values: FloatTensor<B> = checkpointer.retrieve_node_output(values);
            let [of_x, of_values] = ops.parents;
            if let Some(node) = of_x {
                let gradient =
                    B::sparse_product_input_gradient(grad.clone(), values, connections.clone());
                grads.register::<B>(node.id, gradient);
            }
            if let Some(node) = of_values {
                let gradient = B::sparse_product_weight_gradient(x, grad, connections);
                grads.register::<B>(node.id, gradient);
            }
        }
    }

    impl<B: SparseProductBackend, C: CheckpointStrategy> SparseProductBackend for Autodiff<B, C> {
        fn sparse_product_forward(
            x: FloatTensor<Self>,
            values: FloatTensor<Self>,
            connections: Connections,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), values.node()];
            match SparseProduct.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let kept = (prep.checkpoint(&x), prep.checkpoint(&values));
                    let out = B::sparse_product_forward(
                        x.into_primitive(),
                        values.into_primitive(),
                        connections.clone(),
                    );
                    prep.finish((kept.0, kept.1, connections), out)
                }
                OpsKind::UnTracked(prep) => prep.finish(B::sparse_product_forward(
                    x.into_primitive(),
                    values.into_primitive(),
                    connections,
                )),
            }
        }

        fn sparse_product_input_gradient(
            _gradient: FloatTensor<Self>,
            _values: FloatTensor<Self>,
            _connections: Connections,
        ) -> FloatTensor<Self> {
            first_order("sparse_product")
        }

        fn sparse_product_weight_gradient(
            _x: FloatTensor<Self>,
            _gradient: FloatTensor<Self>,
            _connections: Connections,
        ) -> FloatTensor<Self> {
            first_order("sparse_product")
        }
    }
}
