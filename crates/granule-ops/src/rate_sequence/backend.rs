//! Routing from Burn's tensors to the kernel.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::RateSequenceOptions;
use super::cpu::{self, Geometry, Gradients, Inputs, Wanted};
use crate::host::{HostBackend, HostVec, on_host};

/// Rate sequences as the CPU backends supply them; documented at [`super::rate_sequence`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait RateSequenceBackend: Backend {
    fn rate_sequence_forward(
        x0: FloatTensor<Self>,
        drive: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        options: RateSequenceOptions,
    ) -> FloatTensor<Self>;
}

pub(super) fn run(
    x0: Tensor<2>,
    drive: Tensor<3>,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as RateSequenceBackend>::rate_sequence_forward(
        x0.into_dispatch(),
        drive.into_dispatch(),
        weight.into_dispatch(),
        alpha.into_dispatch(),
        options,
    ))
}

fn forward<B: HostBackend>(
    x0: FloatTensor<B>,
    drive: FloatTensor<B>,
    weight: FloatTensor<B>,
    alpha: FloatTensor<B>,
    options: RateSequenceOptions,
) -> FloatTensor<B> {
    let shape = drive.shape();
    let g = Geometry {
        steps: shape[0],
        batch: shape[1],
        units: shape[2],
        every: options.every,
    };
    let states = on_host!(
        B,
        "rate_sequence",
        [x0, drive, weight, alpha],
        cpu::forward(&g, options, x0, drive, weight, alpha)
    );
    B::write(states, Shape::new([g.steps / g.every, g.batch, g.units]))
}

/// `drive` is needed for the gradient of `alpha` and where not every state was kept.
#[allow(clippy::too_many_arguments)]
fn backward<B: HostBackend>(
    x0: FloatTensor<B>,
    drive: Option<FloatTensor<B>>,
    weight: FloatTensor<B>,
    alpha: FloatTensor<B>,
    states: FloatTensor<B>,
    grad: FloatTensor<B>,
    options: RateSequenceOptions,
    wanted: Wanted,
) -> Gradients<FloatTensor<B>> {
    let kept = states.shape();
    let g = Geometry {
        steps: kept[0] * options.every,
        batch: kept[1],
        units: kept[2],
        every: options.every,
    };
    let gradients = match drive {
        Some(drive) => {
            on_host!(B, "rate_sequence", [x0, drive, weight, alpha, states, grad] => {
                let inputs = Inputs { x0, drive, weight, alpha, states, grad };
                cpu::backward(&g, options, &inputs, wanted).map(HostVec::from)
            })
        }
        None => on_host!(B, "rate_sequence", [x0, weight, alpha, states, grad] => {
            let inputs = Inputs { x0, drive: &[], weight, alpha, states, grad };
            cpu::backward(&g, options, &inputs, wanted).map(HostVec::from)
        }),
    };
    let Gradients {
        x0,
        drive,
        weight,
        alpha,
    } = gradients;
    let (batch, n) = (g.batch, g.units);
    Gradients {
        x0: B::write(x0, Shape::new([batch, n])),
        drive: B::write(drive, Shape::new([g.steps, batch, n])),
        weight: weight.map(|values| B::write(values, Shape::new([n, n]))),
        alpha: alpha.map(|values| B::write(values, Shape::new([n]))),
    }
}

macro_rules! host_rate_sequence {
    ($backend:ty) => {
        impl RateSequenceBackend for $backend {
            fn rate_sequence_forward(
                x0: FloatTensor<Self>,
                drive: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                alpha: FloatTensor<Self>,
                options: RateSequenceOptions,
            ) -> FloatTensor<Self> {
                forward::<Self>(x0, drive, weight, alpha, options)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_rate_sequence!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_rate_sequence!(crate::host::ndarray::NdArray);

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

    #[derive(Clone, Debug)]
    struct Saved<S> {
        x0: NodeId,
        drive: Option<NodeId>,
        weight: NodeId,
        alpha: NodeId,
        states: S,
        options: RateSequenceOptions,
    }

    impl<B: HostBackend> Backward<B, 4> for RateSequence {
        type State = Saved<FloatTensor<B>>;

        fn backward(
            self,
            ops: Ops<Self::State, 4>,
            grads: &mut grads::Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let saved = ops.state;
            let [x0, drive, weight, alpha] = ops.parents;
            let wanted = Wanted {
                weight: weight.is_some(),
                alpha: alpha.is_some(),
            };
            let gradients = backward::<B>(
                checkpointer.retrieve_node_output(saved.x0),
                saved
                    .drive
                    .map(|node| checkpointer.retrieve_node_output(node)),
                checkpointer.retrieve_node_output(saved.weight),
                checkpointer.retrieve_node_output(saved.alpha),
                saved.states,
                grad,
                saved.options,
                wanted,
            );
            let gradients = [
                (x0, Some(gradients.x0)),
                (drive, Some(gradients.drive)),
                (weight, gradients.weight),
                (alpha, gradients.alpha),
            ];
            for (node, gradient) in gradients {
                if let (Some(node), Some(gradient)) = (node, gradient) {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    impl<B: HostBackend, C: CheckpointStrategy> RateSequenceBackend for Autodiff<B, C> {
        fn rate_sequence_forward(
            x0: FloatTensor<Self>,
            drive: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            alpha: FloatTensor<Self>,
            options: RateSequenceOptions,
        ) -> FloatTensor<Self> {
            let nodes = [x0.node(), drive.node(), weight.node(), alpha.node()];
            let needs_drive = options.every > 1 || alpha.is_tracked();
            match RateSequence.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let nodes = (
                        prep.checkpoint(&x0),
                        needs_drive.then(|| prep.checkpoint(&drive)),
                        prep.checkpoint(&weight),
                        prep.checkpoint(&alpha),
                    );
                    let states = forward::<B>(
                        x0.into_primitive(),
                        drive.into_primitive(),
                        weight.into_primitive(),
                        alpha.into_primitive(),
                        options,
                    );
                    let saved = Saved {
                        x0: nodes.0,
                        drive: nodes.1,
                        weight: nodes.2,
                        alpha: nodes.3,
                        states: states.clone(),
                        options,
                    };
                    prep.finish(saved, states)
                }
                OpsKind::UnTracked(prep) => prep.finish(forward::<B>(
                    x0.into_primitive(),
                    drive.into_primitive(),
                    weight.into_primitive(),
                    alpha.into_primitive(),
                    options,
                )),
            }
        }
    }
}
