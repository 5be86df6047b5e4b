//! Routing from Burn's tensors to the passes.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;

/// A rectified dense layer as GPUs supply it; documented at [`linear_relu`](crate::linear_relu).
#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait RectifiedOnGpu: Backend {
    fn rectified_on_gpu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

pub(in super::super) fn run(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let bias = bias.unwrap_or_else(|| {
        let device = x.device().without_autodiff();
        Tensor::zeros([0], (&device, x.dtype()))
    });
    Tensor::from_dispatch(<Dispatch as RectifiedOnGpu>::rectified_on_gpu(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

impl RectifiedOnGpu for CubeBackend {
    fn rectified_on_gpu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        super::forward(x, weight, bias)
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
    use burn::backend::ops::FloatTensorOps;

    use super::*;

    #[derive(Debug)]
    struct Rectified;

    impl Backward<CubeBackend, 3> for Rectified {
        /// The input, the weight, and what the layer gives.
        type State = (NodeId, NodeId, FloatTensor<CubeBackend>);

        fn backward(
            self,
            ops: Ops<Self::State, 3>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<CubeBackend>(&ops.node);
            let (x, weight, y) = ops.state;
            let x: FloatTensor<CubeBackend> = checkpointer.retrieve_node_output(x);
            let weight: FloatTensor<CubeBackend> = checkpointer.retrieve_node_output(weight);
            let (by_z, by_bias) = super::super::masked(y, grad);
            let [x_node, weight_node, bias_node] = ops.parents;
            if let Some(node) = x_node {
                let weight = CubeBackend::float_swap_dims(weight, 0, 1);
                let by_x = CubeBackend::float_matmul(by_z.clone(), weight);
                grads.register::<CubeBackend>(node.id, by_x);
            }
            if let Some(node) = weight_node {
                let x = CubeBackend::float_swap_dims(x, 0, 1);
                grads.register::<CubeBackend>(node.id, CubeBackend::float_matmul(x, by_z));
            }
            if let Some(node) = bias_node {
                grads.register::<CubeBackend>(node.id, by_bias);
            }
        }
    }

    impl<C: CheckpointStrategy> RectifiedOnGpu for Autodiff<CubeBackend, C> {
        fn rectified_on_gpu(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), bias.node()];
            let forward = super::super::forward;
            match Rectified.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
                    let (x, weight) = (x.into_primitive(), weight.into_primitive());
                    let y = forward(x, weight, bias.into_primitive());
                    prep.finish((nodes[0], nodes[1], y.clone()), y)
                }
                OpsKind::UnTracked(prep) => {
                    let (x, weight) = (x.into_primitive(), weight.into_primitive());
                    prep.finish(forward(x, weight, bias.into_primitive()))
                }
            }
        }
    }
}
