//! Routing from Burn's tensors to the kernel.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};

use super::{bf16, cpu};
use crate::host::{HostBackend, on_host, on_host_in_single};
use crate::{Bf16Arithmetic, Factors};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
mod extension {
    use super::*;

    /// A dense layer as the CPU backends supply it; documented at [`crate::linear()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait LinearBackend: Backend {
        fn dense_forward(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            factors: Factors,
        ) -> FloatTensor<Self>;
    }
}
use extension::LinearBackend;

/// Whether the kernel serves these tensors; where they do not fit together, Burn's operation says so.
pub(super) fn serves(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    let ([batch, inputs], [rows, outputs]) = (x.dims(), weight.dims());
    inputs == rows
        && batch * inputs * outputs > 0
        && bias.is_none_or(|bias| bias.dims() == [outputs])
        && knows(x, weight, bias)
}

/// Whether there are factors in bfloat16 of tensors of this type and device, whatever their shapes.
pub(super) fn is_of_bf16(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    x.dtype() == DType::F32 && knows(x, weight, bias)
}

fn knows(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    bias.is_none_or(|bias| bias.dtype() == x.dtype())
        && weight.dtype() == x.dtype()
        && crate::host::serves(x)
}

pub(super) fn run(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    factors: Factors,
) -> Tensor<2> {
    let bias = bias.unwrap_or_else(|| {
        let device = x.device().without_autodiff();
        Tensor::zeros([weight.dims()[1]], (&device, x.dtype()))
    });
    Tensor::from_dispatch(<Dispatch as LinearBackend>::dense_forward(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        factors,
    ))
}

fn forward<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    factors: Factors,
) -> FloatTensor<B> {
    let (batch, inputs, outputs) = (x.shape()[0], weight.shape()[0], bias.shape()[0]);
    let arithmetic = Bf16Arithmetic::of_this_processor();
    let out = match factors {
        Factors::Full => on_host!(
            B,
            "linear",
            [x, weight, bias],
            cpu::forward(x, weight, bias, inputs)
        ),
        Factors::Bf16 => on_host_in_single!(
            B,
            "linear",
            [x, weight, bias],
            bf16::forward(x, weight, bias, inputs, arithmetic)
        ),
    };
    B::write(out, Shape::new([batch, outputs]))
}

macro_rules! host_linear {
    ($backend:ty) => {
        impl LinearBackend for $backend {
            fn dense_forward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                factors: Factors,
            ) -> FloatTensor<Self> {
                forward::<Self>(x, weight, bias, factors)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_linear!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_linear!(crate::host::ndarray::NdArray);

fn input_gradient<B: HostBackend>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    factors: Factors,
) -> FloatTensor<B> {
    let (rows, batch) = (weight.shape(), grad.shape()[0]);
    let (inputs, outputs) = (rows[0], rows[1]);
    let (sizes, arithmetic) = ([inputs, outputs], Bf16Arithmetic::of_this_processor());
    let out = match factors {
        Factors::Full => on_host!(
            B,
            "linear",
            [weight, grad],
            cpu::input_gradient(grad, weight, sizes)
        ),
        Factors::Bf16 => on_host_in_single!(
            B,
            "linear",
            [weight, grad],
            bf16::input_gradient(grad, weight, sizes, arithmetic)
        ),
    };
    B::write(out, Shape::new([batch, inputs]))
}

fn weight_gradient<B: HostBackend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    factors: Factors,
) -> FloatTensor<B> {
    let sizes = [x.shape()[1], grad.shape()[1]];
    let arithmetic = Bf16Arithmetic::of_this_processor();
    let out = match factors {
        Factors::Full => on_host!(B, "linear", [x, grad], cpu::weight_gradient(x, grad, sizes)),
        Factors::Bf16 => on_host_in_single!(
            B,
            "linear",
            [x, grad],
            bf16::weight_gradient(x, grad, sizes, arithmetic)
        ),
    };
    B::write(out, Shape::new(sizes))
}

fn bias_gradient<B: HostBackend>(grad: FloatTensor<B>) -> FloatTensor<B> {
    let outputs = grad.shape()[1];
    let out = on_host!(B, "linear", [grad], cpu::bias_gradient(grad, outputs));
    B::write(out, Shape::new([outputs]))
}

#[derive(Debug)]
struct Linear;

impl<B: HostBackend> Backward<B, 3> for Linear {
    type State = ([NodeId; 2], Factors);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x, weight], factors) = ops.state;
        let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
        let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
        let [x_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = x_node {
            grads.register::<B>(node.id, input_gradient::<B>(weight, grad.clone(), factors));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, weight_gradient::<B>(x, grad.clone(), factors));
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, bias_gradient::<B>(grad));
        }
    }
}

impl<B: HostBackend, C: CheckpointStrategy> LinearBackend for Autodiff<B, C> {
    fn dense_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        factors: Factors,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = ([prep.checkpoint(&x), prep.checkpoint(&weight)], factors);
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                prep.finish(
                    state,
                    forward::<B>(x, weight, bias.into_primitive(), factors),
                )
            }
            OpsKind::UnTracked(prep) => {
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                prep.finish(forward::<B>(x, weight, bias.into_primitive(), factors))
            }
        }
    }
}
