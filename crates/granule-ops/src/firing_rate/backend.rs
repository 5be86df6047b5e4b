//! Routing from Burn's tensors to the kernel.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use super::Transfer;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::host::{HostBackend, on_host};

/// Transfer functions as the backends supply them; documented at [`super::firing_rate`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(gpu),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait FiringRateBackend: Backend {
    fn firing_rate_forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self>;
}

pub(super) fn run<const D: usize>(x: Tensor<D>, transfer: Transfer) -> Tensor<D> {
    let x = x.into_dispatch();
    Tensor::from_dispatch(<Dispatch as FiringRateBackend>::firing_rate_forward(
        x, transfer,
    ))
}

/// Both passes on a backend.
pub(crate) trait Passes: Backend {
    fn forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self>;

    fn backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        transfer: Transfer,
    ) -> FloatTensor<Self>;
}

macro_rules! extension {
    ($backend:ty) => {
        impl FiringRateBackend for $backend {
            fn firing_rate_forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
                <Self as Passes>::forward(x, transfer)
            }
        }
    };
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
macro_rules! on_host_backend {
    ($backend:ty) => {
        impl Passes for $backend {
            fn forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
                let shape = x.shape();
                let out = on_host!(Self, "firing_rate", [x], super::cpu::forward(transfer, x));
                Self::write(out, shape)
            }

            fn backward(
                x: FloatTensor<Self>,
                grad: FloatTensor<Self>,
                transfer: Transfer,
            ) -> FloatTensor<Self> {
                let shape = x.shape();
                let out = on_host!(
                    Self,
                    "firing_rate",
                    [x, grad],
                    super::cpu::backward(transfer, x, grad)
                );
                Self::write(out, shape)
            }
        }
        extension!($backend);
    };
}

#[cfg(feature = "flex")]
on_host_backend!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
on_host_backend!(crate::host::ndarray::NdArray);

#[cfg(gpu)]
mod gpu {
    use burn_cubecl::CubeBackend;

    use super::super::cube;
    use super::*;

    impl Passes for CubeBackend {
        fn forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
            cube::forward(x, transfer)
        }

        fn backward(
            x: FloatTensor<Self>,
            grad: FloatTensor<Self>,
            transfer: Transfer,
        ) -> FloatTensor<Self> {
            cube::backward(x, grad, transfer)
        }
    }
    extension!(CubeBackend);
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

    #[derive(Debug)]
    struct FiringRate;

    impl<B: Passes> Backward<B, 1> for FiringRate {
        type State = (NodeId, Transfer);

        fn backward(
            self,
            ops: Ops<Self::State, 1>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, transfer) = ops.state;
            let [node] = ops.parents;
            let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
            if let Some(node) = node {
                grads.register::<B>(node.id, B::backward(x, grad, transfer));
            }
        }
    }

    impl<B: Passes, C: CheckpointStrategy> FiringRateBackend for Autodiff<B, C> {
        fn firing_rate_forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
            match FiringRate
                .prepare::<C>([x.node()])
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(mut prep) => {
                    let state = (prep.checkpoint(&x), transfer);
                    prep.finish(state, B::forward(x.into_primitive(), transfer))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::forward(x.into_primitive(), transfer)),
            }
        }
    }
}
