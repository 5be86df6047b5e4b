//! Routing from Burn's tensors to the kernel.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::cpu::{self, Geometry};
use crate::host::{HostBackend, on_host};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
mod extension {
    use super::*;

    /// Pooling as the CPU backends supply it; documented at [`crate::relu_max_pool2d()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait ReluMaxPool2dBackend: Backend {
        fn relu_max_pool2d_forward(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

        fn relu_max_pool2d_backward(
            x: FloatTensor<Self>,
            grad: FloatTensor<Self>,
            size: usize,
        ) -> FloatTensor<Self>;
    }
}
use extension::ReluMaxPool2dBackend;

pub(super) fn run(x: Tensor<4>, size: usize) -> Tensor<4> {
    let x = x.into_dispatch();
    Tensor::from_dispatch(<Dispatch as ReluMaxPool2dBackend>::relu_max_pool2d_forward(
        x, size,
    ))
}

fn geometry(x: &Shape, size: usize) -> Geometry {
    let (height, width) = (x[2], x[3]);
    assert!(
        size > 0 && size <= height && size <= width,
        "relu_max_pool2d: a window of {size} does not fit into {height}×{width}"
    );
    Geometry {
        height,
        width,
        size,
    }
}

fn forward<B: HostBackend>(x: FloatTensor<B>, size: usize) -> FloatTensor<B> {
    let shape = x.shape();
    let g = geometry(&shape, size);
    let out = on_host!(B, "relu_max_pool2d", [x], cpu::forward(&g, x));
    B::write(
        out,
        Shape::new([shape[0], shape[1], g.out_height(), g.out_width()]),
    )
}

fn backward<B: HostBackend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    size: usize,
) -> FloatTensor<B> {
    let shape = x.shape();
    let g = geometry(&shape, size);
    let out = on_host!(B, "relu_max_pool2d", [x, grad], cpu::backward(&g, x, grad));
    B::write(out, shape)
}

macro_rules! host_relu_max_pool2d {
    ($backend:ty) => {
        impl ReluMaxPool2dBackend for $backend {
            fn relu_max_pool2d_forward(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
                forward::<Self>(x, size)
            }

            fn relu_max_pool2d_backward(
                x: FloatTensor<Self>,
                grad: FloatTensor<Self>,
                size: usize,
            ) -> FloatTensor<Self> {
                backward::<Self>(x, grad, size)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_relu_max_pool2d!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_relu_max_pool2d!(crate::host::ndarray::NdArray);

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
    struct ReluMaxPool2d;

    impl<B: ReluMaxPool2dBackend> Backward<B, 1> for ReluMaxPool2d {
        type State = (NodeId, usize);

        fn backward(
            self,
            ops: Ops<Self::State, 1>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, size) = ops.state;
            let [node] = ops.parents;
            let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
            if let Some(node) = node {
                grads.register::<B>(node.id, B::relu_max_pool2d_backward(x, grad, size));
            }
        }
    }

    impl<B: ReluMaxPool2dBackend, C: CheckpointStrategy> ReluMaxPool2dBackend for Autodiff<B, C> {
        fn relu_max_pool2d_forward(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
            match ReluMaxPool2d
                .prepare::<C>([x.node()])
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(mut prep) => {
                    let state = (prep.checkpoint(&x), size);
                    prep.finish(state, B::relu_max_pool2d_forward(x.into_primitive(), size))
                }
                OpsKind::UnTracked(prep) => {
                    prep.finish(B::relu_max_pool2d_forward(x.into_primitive(), size))
                }
            }
        }

        fn relu_max_pool2d_backward(
            _x: FloatTensor<Self>,
            _grad: FloatTensor<Self>,
            _size: usize,
        ) -> FloatTensor<Self> {
            first_order("relu_max_pool2d")
        }
    }
}
