//! Routing from Burn's tensors to the passes.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;

use super::super::{Drive, RateSequenceOptions};
use super::Network;

/// Rate sequences as GPUs supply them; documented at [`rate_sequence`](super::super::rate_sequence). The drive is that of every
/// unit.
#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait RateSequenceOnGpu: Backend {
    fn rate_sequence_on_gpu(
        x0: FloatTensor<Self>,
        drive: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        options: RateSequenceOptions,
        by_steps: bool,
    ) -> FloatTensor<Self>;
}

/// With `by_steps` each step is a launch of its own, whatever the size.
pub(in super::super) fn run(
    x0: Tensor<2>,
    drive: Drive,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
    by_steps: bool,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as RateSequenceOnGpu>::rate_sequence_on_gpu(
        x0.into_dispatch(),
        drive.into_tensor().into_dispatch(),
        weight.into_dispatch(),
        alpha.into_dispatch(),
        options,
        by_steps,
    ))
}

impl RateSequenceOnGpu for CubeBackend {
    fn rate_sequence_on_gpu(
        x0: FloatTensor<Self>,
        drive: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        options: RateSequenceOptions,
        by_steps: bool,
    ) -> FloatTensor<Self> {
        Network::new([x0, drive, weight, alpha], options, by_steps)
            .forward()
            .0
    }
}

#[cfg(feature = "autodiff")]
mod autodiff {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::*;

    #[derive(Debug)]
    struct RateSequence;

    /// What the backward pass needs.
    #[derive(Clone, Debug)]
    struct Kept {
        nodes: [NodeId; 4],
        states: FloatTensor<CubeBackend>,
        options: RateSequenceOptions,
        by_steps: bool,
    }

    impl Backward<CubeBackend, 4> for RateSequence {
        type State = Kept;

        fn backward(
            self,
            ops: Ops<Self::State, 4>,
            grads: &mut grads::Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<CubeBackend>(&ops.node);
            let kept = ops.state;
            let tensors = kept
                .nodes
                .map(|node| checkpointer.retrieve_node_output(node));
            let network = Network::new(tensors, kept.options, kept.by_steps);
            let own = network.backward(kept.states, grad);
            let own = [own.x0, own.drive, own.weight, own.alpha];
            for (node, gradient) in ops.parents.into_iter().zip(own) {
                if let Some(node) = node {
                    grads.register::<CubeBackend>(node.id, gradient);
                }
            }
        }
    }

    impl<C: CheckpointStrategy> RateSequenceOnGpu for Autodiff<CubeBackend, C> {
        fn rate_sequence_on_gpu(
            x0: FloatTensor<Self>,
            drive: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            alpha: FloatTensor<Self>,
            options: RateSequenceOptions,
            by_steps: bool,
        ) -> FloatTensor<Self> {
            let tensors = [x0, drive, weight, alpha];
            let prep = RateSequence
                .prepare::<C>(tensors.each_ref().map(|x| x.node()))
                .compute_bound()
                .stateful();
            match prep {
                OpsKind::Tracked(mut prep) => {
                    let nodes = tensors.each_ref().map(|x| prep.checkpoint(x));
                    let tensors = tensors.map(|x| x.into_primitive());
                    let (returned, states) = Network::new(tensors, options, by_steps).forward();
                    let kept = Kept {
                        nodes,
                        states,
                        options,
                        by_steps,
                    };
                    prep.finish(kept, returned)
                }
                OpsKind::UnTracked(prep) => {
                    let tensors = tensors.map(|x| x.into_primitive());
                    prep.finish(Network::new(tensors, options, by_steps).forward().0)
                }
            }
        }
    }
}
