//! Routing from Burn's tensors to the kernel.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};

use super::super::geometry::Geometry;
use super::super::{Conv2dOptions, cpu as method};
use super::cpu::{self, Winners};
use crate::host::{HostBackend, HostVec, on_host};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
mod extension {
    use super::*;

    /// As the CPU backends supply it; documented at [`crate::conv2d_relu_max_pool2d()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait PooledConv2dBackend: Backend {
        fn conv2d_relu_max_pool2d_forward(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            options: Conv2dOptions,
        ) -> FloatTensor<Self>;
    }
}
use extension::PooledConv2dBackend;

/// Whether the kernel serves these tensors; where they do not fit together, the operations it stands for say so.
pub(super) fn serves(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: Conv2dOptions,
    size: usize,
) -> bool {
    let one_type = x.dtype() == DType::F32
        && weight.dtype() == DType::F32
        && bias.is_none_or(|bias| bias.dtype() == DType::F32);
    if size != cpu::SIZE || !one_type || !crate::host::serves(x) {
        return false;
    }
    let g = Geometry::new(&x.shape(), &weight.shape(), options);
    bias.is_none_or(|bias| bias.dims() == [g.out_channels])
        && g.out_size.iter().all(|out| *out >= size)
        && method::is_pooled::<f32>(&g)
}

pub(super) fn run(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    let bias = bias.unwrap_or_else(|| {
        let device = x.device().without_autodiff();
        Tensor::zeros([weight.dims()[0]], (&device, x.dtype()))
    });
    Tensor::from_dispatch(
        <Dispatch as PooledConv2dBackend>::conv2d_relu_max_pool2d_forward(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            options,
        ),
    )
}

fn forward<B: HostBackend>(
    [x, weight]: [FloatTensor<B>; 2],
    bias: FloatTensor<B>,
    options: Conv2dOptions,
) -> (FloatTensor<B>, Winners) {
    let g = Geometry::new(&x.shape(), &weight.shape(), options);
    let (out, winners) = on_host!(B, "conv2d_relu_max_pool2d", [x, weight, bias] => {
        let (out, winners) = method::pooled_forward(&g, x, weight, bias);
        (HostVec::from(out), winners)
    });
    let [rows, columns] = cpu::pooled_size(&g);
    let shape = Shape::new([g.batch, g.out_channels, rows, columns]);
    (B::write(out, shape), winners)
}

macro_rules! host_pooled_conv2d {
    ($backend:ty) => {
        impl PooledConv2dBackend for $backend {
            fn conv2d_relu_max_pool2d_forward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                options: Conv2dOptions,
            ) -> FloatTensor<Self> {
                forward::<Self>([x, weight], bias, options).0
            }
        }
    };
}

#[cfg(feature = "flex")]
host_pooled_conv2d!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_pooled_conv2d!(crate::host::ndarray::NdArray);

#[cfg(feature = "autodiff")]
mod autodiff {
    use std::sync::Arc;

    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::*;

    /// The gradients of `x`, the weights and the bias that are wanted.
    fn backward<B: HostBackend>(
        [x, weight, grad]: [FloatTensor<B>; 3],
        winners: &Winners,
        options: Conv2dOptions,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        let g = Geometry::new(&x.shape(), &weight.shape(), options);
        let gradients = on_host!(B, "conv2d_relu_max_pool2d", [x, weight, grad] => {
            method::pooled_backward(&g, [x, weight, grad], winners, wanted)
                .map(|gradient| gradient.map(HostVec::from))
        });
        let mut shapes = [g.x_shape(), g.weight_shape(), Shape::new([g.out_channels])].into_iter();
        gradients.map(|gradient| {
            let shape = shapes.next()?;
            Some(B::write(gradient?, shape))
        })
    }

    #[derive(Debug)]
    struct PooledConv2d;

    #[derive(Clone, Debug)]
    struct Kept {
        nodes: [NodeId; 2],
        winners: Arc<Winners>,
        options: Conv2dOptions,
    }

    impl<B: HostBackend> Backward<B, 3> for PooledConv2d {
        type State = Kept;

        fn backward(
            self,
            ops: Ops<Self::State, 3>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let Kept {
                nodes: [x, weight],
                winners,
                options,
            } = ops.state;
            let wanted = ops.parents.each_ref().map(Option::is_some);
            let x = checkpointer.retrieve_node_output(x);
            let weight = checkpointer.retrieve_node_output(weight);
            let gradients = backward::<B>([x, weight, grad], &winners, options, wanted);
            for (node, gradient) in ops.parents.into_iter().zip(gradients) {
                if let (Some(node), Some(gradient)) = (node, gradient) {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    impl<B: HostBackend, C: CheckpointStrategy> PooledConv2dBackend for Autodiff<B, C> {
        fn conv2d_relu_max_pool2d_forward(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            options: Conv2dOptions,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), bias.node()];
            match PooledConv2d.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
                    let tensors = [x.into_primitive(), weight.into_primitive()];
                    let (out, winners) = forward::<B>(tensors, bias.into_primitive(), options);
                    let kept = Kept {
                        nodes,
                        winners: Arc::new(winners),
                        options,
                    };
                    prep.finish(kept, out)
                }
                OpsKind::UnTracked(prep) => {
                    let tensors = [x.into_primitive(), weight.into_primitive()];
                    prep.finish(forward::<B>(tensors, bias.into_primitive(), options).0)
                }
            }
        }
    }
}
