//! Routing from Burn's tensors to the kernel.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::cells::{Gru, Lstm};
use super::cpu::{self, Geometry, Inputs};
use super::{GatedUnit, GatedWeights};
use crate::host::{HostBackend, HostVec, on_host};

/// Gated sequences as the CPU backends supply them; documented at [`super::gated_sequence`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait GatedSequenceBackend: Backend {
    fn gated_sequence_forward(
        input: FloatTensor<Self>,
        weight_in: FloatTensor<Self>,
        bias_in: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        unit: GatedUnit,
    ) -> FloatTensor<Self>;
}

pub(super) fn run(input: Tensor<3>, weights: GatedWeights, unit: GatedUnit) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as GatedSequenceBackend>::gated_sequence_forward(
        input.into_dispatch(),
        weights.input.into_dispatch(),
        weights.input_bias.into_dispatch(),
        weights.recurrent.into_dispatch(),
        weights.recurrent_bias.into_dispatch(),
        unit,
    ))
}

/// Evaluates `$body` with `$cell` bound to the cell.
macro_rules! with_cell {
    ($unit:expr, $cell:ident => $body:expr) => {
        match $unit {
            GatedUnit::Gru => {
                let $cell = Gru;
                $body
            }
            GatedUnit::Lstm => {
                let $cell = Lstm;
                $body
            }
        }
    };
}

fn geometry(input: &Shape, weight: &Shape) -> Geometry {
    Geometry {
        steps: input[0],
        batch: input[1],
        units: weight[0],
        channels: input[2],
    }
}

/// The states, and what the backward pass reads beside them; of no step where it is not to be kept.
fn forward<B: HostBackend>(
    [input, weight_in, bias_in, weight, bias]: [FloatTensor<B>; 5],
    unit: GatedUnit,
    keep: bool,
) -> [FloatTensor<B>; 2] {
    let g = geometry(&input.shape(), &weight.shape());
    let [states, kept]: [HostVec; 2] = on_host!(B, "gated_sequence", [input, weight_in, bias_in, weight, bias] => {
        let inputs = Inputs { input, weight_in, bias_in, weight, bias };
        with_cell!(unit, cell => cpu::forward(cell, g, inputs, keep)).map(HostVec::from)
    });
    let write = |values, steps, width| B::write(values, Shape::new([steps, g.batch, width]));
    let (steps_kept, values_kept) = (if keep { g.steps } else { 0 }, unit.gates() + 1);
    [
        write(states, g.steps, g.units),
        write(kept, steps_kept, values_kept * g.units),
    ]
}

macro_rules! host_gated_sequence {
    ($backend:ty) => {
        impl GatedSequenceBackend for $backend {
            fn gated_sequence_forward(
                input: FloatTensor<Self>,
                weight_in: FloatTensor<Self>,
                bias_in: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                unit: GatedUnit,
            ) -> FloatTensor<Self> {
                let tensors = [input, weight_in, bias_in, weight, bias];
                let [states, _] = forward::<Self>(tensors, unit, false);
                states
            }
        }
    };
}

#[cfg(feature = "flex")]
host_gated_sequence!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_gated_sequence!(crate::host::ndarray::NdArray);

#[cfg(feature = "autodiff")]
mod autodiff {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::super::backward::{self, Saved};
    use super::*;

    /// The gradients that are wanted.
    fn backward<B: HostBackend>(
        tensors: [FloatTensor<B>; 5],
        (states, kept): (FloatTensor<B>, FloatTensor<B>),
        grad: FloatTensor<B>,
        unit: GatedUnit,
        wanted: [bool; 5],
    ) -> [Option<FloatTensor<B>>; 5] {
        let shapes = tensors.each_ref().map(TensorMetadata::shape);
        let g = geometry(&shapes[0], &shapes[3]);
        let [input, weight_in, bias_in, weight, bias] = tensors;
        let gradients: [Option<HostVec>; 5] = on_host!(
            B,
            "gated_sequence",
            [input, weight_in, bias_in, weight, bias, states, kept, grad] => {
                let inputs = Inputs { input, weight_in, bias_in, weight, bias };
                let saved = Saved { states, kept, grad };
                let wanted = Inputs::from(wanted);
                let gradients = with_cell!(unit, cell => backward::backward(cell, g, inputs, saved, wanted));
                <[_; 5]>::from(gradients).map(|gradient| gradient.map(HostVec::from))
            }
        );
        let mut shapes = shapes.into_iter();
        gradients.map(|gradient| {
            let shape = shapes.next()?;
            Some(B::write(gradient?, shape))
        })
    }

    #[derive(Debug)]
    struct GatedSequence;

    #[derive(Clone, Debug)]
    struct Kept<V> {
        nodes: [NodeId; 5],
        states: V,
        kept: V,
        unit: GatedUnit,
    }

    impl<B: HostBackend> Backward<B, 5> for GatedSequence {
        type State = Kept<FloatTensor<B>>;

        fn backward(
            self,
            ops: Ops<Self::State, 5>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let Kept {
                nodes,
                states,
                kept,
                unit,
            } = ops.state;
            let wanted = ops.parents.each_ref().map(Option::is_some);
            let tensors = nodes.map(|node| checkpointer.retrieve_node_output(node));
            let gradients = backward::<B>(tensors, (states, kept), grad, unit, wanted);
            for (node, gradient) in ops.parents.into_iter().zip(gradients) {
                if let (Some(node), Some(gradient)) = (node, gradient) {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    impl<B: HostBackend, C: CheckpointStrategy> GatedSequenceBackend for Autodiff<B, C> {
        fn gated_sequence_forward(
            input: FloatTensor<Self>,
            weight_in: FloatTensor<Self>,
            bias_in: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            unit: GatedUnit,
        ) -> FloatTensor<Self> {
            let tensors = [input, weight_in, bias_in, weight, bias];
            let nodes = tensors.each_ref().map(|tensor| tensor.node());
            match GatedSequence.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let nodes = tensors.each_ref().map(|tensor| prep.checkpoint(tensor));
                    let tensors = tensors.map(|tensor| tensor.into_primitive());
                    let [states, kept] = forward::<B>(tensors, unit, true);
                    let saved = Kept {
                        nodes,
                        states: states.clone(),
                        kept,
                        unit,
                    };
                    prep.finish(saved, states)
                }
                OpsKind::UnTracked(prep) => {
                    let tensors = tensors.map(|tensor| tensor.into_primitive());
                    let [states, _] = forward::<B>(tensors, unit, false);
                    prep.finish(states)
                }
            }
        }
    }
}
