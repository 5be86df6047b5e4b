//! Routing from Burn's tensors to the kernel.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::cpu::{self, Geometry, Inputs};
use super::drive::DriveSource;
use super::{Drive, RateSequenceOptions};
use crate::host::{HostBackend, HostVec, on_host};

/// Rate sequences as the CPU backends supply them; documented at [`super::rate_sequence`]. Inputs, or a direct drive, that
/// there are not have no steps.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait RateSequenceBackend: Backend {
    fn rate_sequence_forward(
        x0: FloatTensor<Self>,
        input: FloatTensor<Self>,
        weight_in: FloatTensor<Self>,
        direct: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        options: RateSequenceOptions,
    ) -> FloatTensor<Self>;
}

pub(super) fn run(
    x0: Tensor<2>,
    drive: Drive,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    let [batch, units] = x0.dims();
    let place = (&weight.device().without_autodiff(), weight.dtype());
    let no_direct = || Tensor::zeros([0, batch, units], place);
    let (input, weight_in, direct) = match drive.0 {
        DriveSource::Input(input, weight) => (input, weight, no_direct()),
        DriveSource::Both(input, weight, direct) => (input, weight, *direct),
        DriveSource::Direct(direct) => (
            Tensor::zeros([0, batch, 0], place),
            Tensor::zeros([0, units], place),
            direct,
        ),
    };
    Tensor::from_dispatch(<Dispatch as RateSequenceBackend>::rate_sequence_forward(
        x0.into_dispatch(),
        input.into_dispatch(),
        weight_in.into_dispatch(),
        direct.into_dispatch(),
        weight.into_dispatch(),
        alpha.into_dispatch(),
        options,
    ))
}

/// The tensors of a sequence.
#[derive(Clone, Debug)]
struct Tensors<V, D = V> {
    x0: V,
    input: V,
    weight_in: V,
    direct: D,
    weight: V,
    alpha: V,
}

/// What is returned, and the states when they are to be kept beside it.
fn forward<B: HostBackend>(
    tensors: Tensors<FloatTensor<B>>,
    options: RateSequenceOptions,
    keep_states: bool,
) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
    let Tensors {
        x0,
        input,
        weight_in,
        direct,
        weight,
        alpha,
    } = tensors;
    let (of_input, of_direct) = (input.shape(), direct.shape());
    let g = Geometry {
        steps: of_input[0].max(of_direct[0]),
        batch: of_direct[1],
        units: of_direct[2],
        channels: of_input[2],
        every: options.every,
    };
    let (returned, states): (HostVec, Option<HostVec>) = on_host!(B, "rate_sequence", [x0, input, weight_in, direct, weight, alpha] => {
        let inputs = Inputs { x0, input, weight_in, direct, weight, alpha };
        let (returned, states) = cpu::forward(g, options, inputs, keep_states);
        (returned.into(), states.map(HostVec::from))
    });
    let write = |values| B::write(values, Shape::new([g.steps / g.every, g.batch, g.units]));
    (write(returned), states.map(write))
}

macro_rules! host_rate_sequence {
    ($backend:ty) => {
        impl RateSequenceBackend for $backend {
            fn rate_sequence_forward(
                x0: FloatTensor<Self>,
                input: FloatTensor<Self>,
                weight_in: FloatTensor<Self>,
                direct: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                alpha: FloatTensor<Self>,
                options: RateSequenceOptions,
            ) -> FloatTensor<Self> {
                let tensors = Tensors {
                    x0,
                    input,
                    weight_in,
                    direct,
                    weight,
                    alpha,
                };
                forward::<Self>(tensors, options, false).0
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
    use burn::tensor::DType;

    use super::super::Recorded;
    use super::super::backward::{self, Gradients, Saved, Wanted};
    use super::*;

    /// An empty tensor for a network without direct drive.
    fn no_direct<B: HostBackend>(dtype: DType) -> FloatTensor<B> {
        let values = match dtype {
            DType::F64 => HostVec::F64(Vec::new()),
            _ => HostVec::F32(Vec::new()),
        };
        B::write(values, Shape::new([0, 0, 0]))
    }

    /// `kept` are states, or else the rates of every step. `direct` is read for the gradient of `alpha` and where not every
    /// step was kept.
    fn backward<B: HostBackend>(
        tensors: Tensors<FloatTensor<B>>,
        kept: FloatTensor<B>,
        kept_states: bool,
        grad: FloatTensor<B>,
        options: RateSequenceOptions,
        wanted: Wanted,
    ) -> Gradients<FloatTensor<B>> {
        let Tensors {
            x0,
            input,
            weight_in,
            direct,
            weight,
            alpha,
        } = tensors;
        let (of_input, of_kept) = (input.shape(), kept.shape());
        let g = Geometry {
            steps: of_kept[0] * options.every,
            batch: of_kept[1],
            units: of_kept[2],
            channels: of_input[2],
            every: options.every,
        };
        let gradients: Gradients<HostVec> = on_host!(
            B,
            "rate_sequence",
            [x0, input, weight_in, direct, weight, alpha, kept, grad] => {
                let inputs = Inputs { x0, input, weight_in, direct, weight, alpha };
                let (states, rates) = if kept_states { (kept, &[][..]) } else { (&[][..], kept) };
                let saved = Saved { states, rates, grad, of: options.record };
                backward::backward(g, options.transfer, inputs, saved, wanted).map(HostVec::from)
            }
        );
        let write = |values, shape: &[usize]| B::write(values, Shape::from(shape.to_vec()));
        let (batch, n) = (g.batch, g.units);
        Gradients {
            x0: write(gradients.x0, &[batch, n]),
            input: gradients
                .input
                .map(|v| write(v, &[of_input[0], batch, g.channels])),
            weight_in: gradients.weight_in.map(|v| write(v, &[g.channels, n])),
            direct: gradients.direct.map(|v| write(v, &[g.steps, batch, n])),
            weight: gradients.weight.map(|v| write(v, &[n, n])),
            alpha: gradients.alpha.map(|v| write(v, &[n])),
        }
    }

    #[derive(Debug)]
    struct RateSequence;

    #[derive(Clone, Debug)]
    struct Kept<V> {
        nodes: Tensors<NodeId, Option<NodeId>>,
        values: V,
        /// Of the values: states, or rates.
        states: bool,
        options: RateSequenceOptions,
    }

    fn primitives<B: HostBackend, C: CheckpointStrategy>(
        tensors: Tensors<FloatTensor<Autodiff<B, C>>>,
    ) -> Tensors<FloatTensor<B>> {
        Tensors {
            x0: tensors.x0.into_primitive(),
            input: tensors.input.into_primitive(),
            weight_in: tensors.weight_in.into_primitive(),
            direct: tensors.direct.into_primitive(),
            weight: tensors.weight.into_primitive(),
            alpha: tensors.alpha.into_primitive(),
        }
    }

    impl<B: HostBackend> Backward<B, 6> for RateSequence {
        type State = Kept<FloatTensor<B>>;

        fn backward(
            self,
            ops: Ops<Self::State, 6>,
            grads: &mut grads::Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let Kept {
                nodes,
                values,
                states,
                options,
            } = ops.state;
            let [x0, input, weight_in, direct, weight, alpha] = ops.parents;
            let wanted = Wanted {
                input: input.is_some(),
                weight_in: weight_in.is_some(),
                direct: direct.is_some(),
                weight: weight.is_some(),
                alpha: alpha.is_some(),
            };
            let direct_drive = match nodes.direct {
                Some(node) => checkpointer.retrieve_node_output(node),
                None => no_direct::<B>(grad.dtype()),
            };
            let tensors = Tensors {
                x0: checkpointer.retrieve_node_output(nodes.x0),
                input: checkpointer.retrieve_node_output(nodes.input),
                weight_in: checkpointer.retrieve_node_output(nodes.weight_in),
                direct: direct_drive,
                weight: checkpointer.retrieve_node_output(nodes.weight),
                alpha: checkpointer.retrieve_node_output(nodes.alpha),
            };
            let gradients = backward::<B>(tensors, values, states, grad, options, wanted);
            let gradients = [
                (x0, Some(gradients.x0)),
                (input, gradients.input),
                (weight_in, gradients.weight_in),
                (direct, gradients.direct),
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
            input: FloatTensor<Self>,
            weight_in: FloatTensor<Self>,
            direct: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            alpha: FloatTensor<Self>,
            options: RateSequenceOptions,
        ) -> FloatTensor<Self> {
            let tensors = Tensors {
                x0,
                input,
                weight_in,
                direct,
                weight,
                alpha,
            };
            let prep = RateSequence
                .prepare::<C>([
                    tensors.x0.node(),
                    tensors.input.node(),
                    tensors.weight_in.node(),
                    tensors.direct.node(),
                    tensors.weight.node(),
                    tensors.alpha.node(),
                ])
                .compute_bound()
                .stateful();
            // Rates alone do not tell the states.
            let needs_states = options.every > 1 || tensors.alpha.is_tracked();
            match prep {
                OpsKind::Tracked(mut prep) => {
                    let nodes = Tensors {
                        x0: prep.checkpoint(&tensors.x0),
                        input: prep.checkpoint(&tensors.input),
                        weight_in: prep.checkpoint(&tensors.weight_in),
                        direct: needs_states.then(|| prep.checkpoint(&tensors.direct)),
                        weight: prep.checkpoint(&tensors.weight),
                        alpha: prep.checkpoint(&tensors.alpha),
                    };
                    let (returned, states) =
                        forward::<B>(primitives::<B, C>(tensors), options, needs_states);
                    let kept = Kept {
                        nodes,
                        values: states.unwrap_or_else(|| returned.clone()),
                        states: needs_states || options.record == Recorded::States,
                        options,
                    };
                    prep.finish(kept, returned)
                }
                OpsKind::UnTracked(prep) => {
                    prep.finish(forward::<B>(primitives::<B, C>(tensors), options, false).0)
                }
            }
        }
    }
}
