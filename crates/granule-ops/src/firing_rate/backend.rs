//! Routing from Burn's tensors to the kernel.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use super::{Transfer, cpu};
use crate::host::{HostBackend, on_host};

/// Transfer functions as the CPU backends supply them; documented at [`super::firing_rate`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
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

fn forward<B: HostBackend>(x: FloatTensor<B>, transfer: Transfer) -> FloatTensor<B> {
    let shape = x.shape();
    let out = on_host!(B, "firing_rate", [x], cpu::forward(transfer, x));
    B::write(out, shape)
}

fn backward<B: HostBackend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    transfer: Transfer,
) -> FloatTensor<B> {
    let shape = x.shape();
    let out = on_host!(
        B,
        "firing_rate",
        [x, grad],
        cpu::backward(transfer, x, grad)
    );
    B::write(out, shape)
}

macro_rules! host_firing_rate {
    ($backend:ty) => {
        impl FiringRateBackend for $backend {
            fn firing_rate_forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
                forward::<Self>(x, transfer)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_firing_rate!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_firing_rate!(crate::host::ndarray::NdArray);

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

    impl<B: HostBackend> Backward<B, 1> for FiringRate {
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
                grads.register::<B>(node.id, backward::<B>(x, grad, transfer));
            }
        }
    }

    impl<B: HostBackend, C: CheckpointStrategy> FiringRateBackend for Autodiff<B, C> {
        fn firing_rate_forward(x: FloatTensor<Self>, transfer: Transfer) -> FloatTensor<Self> {
            match FiringRate
                .prepare::<C>([x.node()])
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(mut prep) => {
                    let state = (prep.checkpoint(&x), transfer);
                    prep.finish(state, forward::<B>(x.into_primitive(), transfer))
                }
                OpsKind::UnTracked(prep) => prep.finish(forward::<B>(x.into_primitive(), transfer)),
            }
        }
    }
}
