//! Routing from Burn's tensors to the kernels.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::geometry::Geometry;
use super::{Conv2dOptions, bf16, columns, cpu};
use crate::host::{HostBackend, on_host, on_host_in_single};
use crate::{Bf16Arithmetic, Factors};

#[allow(
    deprecated,
    reason = "what the macro makes names Burn's deprecated ndarray backend, which granule keeps"
)]
mod extension {
    use super::*;

    /// Convolution as the CPU backends supply it; every method is documented at [`crate::conv2d()`].
    #[backend_extension(
        Flex: cfg(feature = "flex"),
        NdArray: cfg(feature = "ndarray"),
        Autodiff: cfg(feature = "autodiff"),
    )]
    pub(crate) trait Conv2dBackend: Backend {
        fn conv2d_forward(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            options: Conv2dOptions,
            factors: Factors,
        ) -> FloatTensor<Self>;

        fn conv2d_input_gradient(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            grad: FloatTensor<Self>,
            options: Conv2dOptions,
            factors: Factors,
        ) -> FloatTensor<Self>;

        fn conv2d_weight_gradient(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            grad: FloatTensor<Self>,
            options: Conv2dOptions,
            factors: Factors,
        ) -> FloatTensor<Self>;

        fn conv2d_bias_gradient(grad: FloatTensor<Self>) -> FloatTensor<Self>;
    }
}
use extension::Conv2dBackend;

pub(super) fn run(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
    factors: Factors,
) -> Tensor<4> {
    let bias = bias.unwrap_or_else(|| {
        let device = x.device().without_autodiff();
        Tensor::zeros([weight.dims()[0]], (&device, x.dtype()))
    });
    Tensor::from_dispatch(<Dispatch as Conv2dBackend>::conv2d_forward(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        options,
        factors,
    ))
}

impl Geometry {
    pub(super) fn new(x: &Shape, weight: &Shape, options: Conv2dOptions) -> Self {
        let Conv2dOptions { stride, padding } = options;
        let in_size = [x[2], x[3]];
        let kernel = [weight[2], weight[3]];
        assert_eq!(
            x[1], weight[1],
            "conv2d: channels of the input and of the weights"
        );
        assert!(
            kernel[0] * kernel[1] * stride[0] * stride[1] > 0,
            "conv2d: kernel {kernel:?} and stride {stride:?} must be positive"
        );
        let out_size = [0, 1].map(|i| {
            let padded = in_size[i] + 2 * padding[i];
            assert!(
                kernel[i] <= padded,
                "conv2d: kernel {kernel:?} is larger than the padded image"
            );
            (padded - kernel[i]) / stride[i] + 1
        });
        Self {
            batch: x[0],
            in_channels: x[1],
            in_size,
            out_channels: weight[0],
            out_size,
            kernel,
            stride,
            padding,
        }
    }

    pub(super) fn x_shape(&self) -> Shape {
        Shape::new([
            self.batch,
            self.in_channels,
            self.in_size[0],
            self.in_size[1],
        ])
    }

    pub(super) fn weight_shape(&self) -> Shape {
        Shape::new([
            self.out_channels,
            self.in_channels,
            self.kernel[0],
            self.kernel[1],
        ])
    }

    fn out_shape(&self) -> Shape {
        Shape::new([
            self.batch,
            self.out_channels,
            self.out_size[0],
            self.out_size[1],
        ])
    }
}

fn forward<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    options: Conv2dOptions,
    factors: Factors,
) -> FloatTensor<B> {
    let g = Geometry::new(&x.shape(), &weight.shape(), options);
    assert_eq!(
        bias.shape()[0],
        g.out_channels,
        "conv2d: one bias per output channel"
    );
    let arithmetic = Bf16Arithmetic::of_this_processor();
    let out = match factors {
        Factors::Full => on_host!(
            B,
            "conv2d",
            [x, weight, bias],
            cpu::forward(&g, x, weight, bias)
        ),
        Factors::Bf16 => on_host_in_single!(
            B,
            "conv2d",
            [x, weight, bias],
            bf16::forward(&g, x, weight, bias, arithmetic)
        ),
    };
    B::write(out, g.out_shape())
}

fn input_gradient<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    options: Conv2dOptions,
    factors: Factors,
) -> FloatTensor<B> {
    let g = Geometry::new(&x.shape(), &weight.shape(), options);
    let arithmetic = Bf16Arithmetic::of_this_processor();
    let out = match factors {
        Factors::Full => on_host!(
            B,
            "conv2d",
            [weight, grad],
            cpu::input_gradient(&g, weight, grad)
        ),
        Factors::Bf16 => on_host_in_single!(
            B,
            "conv2d",
            [weight, grad],
            bf16::input_gradient(&g, weight, grad, arithmetic)
        ),
    };
    B::write(out, g.x_shape())
}

fn weight_gradient<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    options: Conv2dOptions,
    factors: Factors,
) -> FloatTensor<B> {
    let g = Geometry::new(&x.shape(), &weight.shape(), options);
    let arithmetic = Bf16Arithmetic::of_this_processor();
    let out = match factors {
        Factors::Full => on_host!(B, "conv2d", [x, grad], cpu::weight_gradient(&g, x, grad)),
        Factors::Bf16 => on_host_in_single!(
            B,
            "conv2d",
            [x, grad],
            bf16::weight_gradient(&g, x, grad, arithmetic)
        ),
    };
    B::write(out, g.weight_shape())
}

fn bias_gradient<B: HostBackend>(grad: FloatTensor<B>) -> FloatTensor<B> {
    let shape = grad.shape();
    let (channels, pixels) = (shape[1], shape[2] * shape[3]);
    let out = on_host!(
        B,
        "conv2d",
        [grad],
        columns::bias_gradient(grad, channels, pixels)
    );
    B::write(out, Shape::new([channels]))
}

macro_rules! host_conv2d {
    ($backend:ty) => {
        impl Conv2dBackend for $backend {
            fn conv2d_forward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                options: Conv2dOptions,
                factors: Factors,
            ) -> FloatTensor<Self> {
                forward::<Self>(x, weight, bias, options, factors)
            }

            fn conv2d_input_gradient(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                grad: FloatTensor<Self>,
                options: Conv2dOptions,
                factors: Factors,
            ) -> FloatTensor<Self> {
                input_gradient::<Self>(x, weight, grad, options, factors)
            }

            fn conv2d_weight_gradient(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                grad: FloatTensor<Self>,
                options: Conv2dOptions,
                factors: Factors,
            ) -> FloatTensor<Self> {
                weight_gradient::<Self>(x, weight, grad, options, factors)
            }

            fn conv2d_bias_gradient(grad: FloatTensor<Self>) -> FloatTensor<Self> {
                bias_gradient::<Self>(grad)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_conv2d!(burn::backend::Flex);

#[cfg(feature = "ndarray")]
host_conv2d!(crate::host::ndarray::NdArray);

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
    struct Conv2d;

    impl<B: Conv2dBackend> Backward<B, 3> for Conv2d {
        type State = (NodeId, NodeId, Conv2dOptions, Factors);

        fn backward(
            self,
            ops: Ops<Self::State, 3>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, weight, options, factors) = ops.state;
            let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
            let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
            let [x_node, weight_node, bias_node] = ops.parents;
            if let Some(node) = x_node {
                let (x, weight, grad) = (x.clone(), weight.clone(), grad.clone());
                grads.register::<B>(
                    node.id,
                    B::conv2d_input_gradient(x, weight, grad, options, factors),
                );
            }
            if let Some(node) = weight_node {
                let gradient = B::conv2d_weight_gradient(x, weight, grad.clone(), options, factors);
                grads.register::<B>(node.id, gradient);
            }
            if let Some(node) = bias_node {
                grads.register::<B>(node.id, B::conv2d_bias_gradient(grad));
            }
        }
    }

    impl<B: Conv2dBackend, C: CheckpointStrategy> Conv2dBackend for Autodiff<B, C> {
        fn conv2d_forward(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            options: Conv2dOptions,
            factors: Factors,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), bias.node()];
            match Conv2d.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = (
                        prep.checkpoint(&x),
                        prep.checkpoint(&weight),
                        options,
                        factors,
                    );
                    let (x, weight) = (x.into_primitive(), weight.into_primitive());
                    let out = B::conv2d_forward(x, weight, bias.into_primitive(), options, factors);
                    prep.finish(state, out)
                }
                OpsKind::UnTracked(prep) => {
                    let (x, weight) = (x.into_primitive(), weight.into_primitive());
                    prep.finish(B::conv2d_forward(
                        x,
                        weight,
                        bias.into_primitive(),
                        options,
                        factors,
                    ))
                }
            }
        }

        fn conv2d_input_gradient(
            _x: FloatTensor<Self>,
            _weight: FloatTensor<Self>,
            _grad: FloatTensor<Self>,
            _options: Conv2dOptions,
            _factors: Factors,
        ) -> FloatTensor<Self> {
            first_order("conv2d")
        }

        fn conv2d_weight_gradient(
            _x: FloatTensor<Self>,
            _weight: FloatTensor<Self>,
            _grad: FloatTensor<Self>,
            _options: Conv2dOptions,
            _factors: Factors,
        ) -> FloatTensor<Self> {
            first_order("conv2d")
        }

        fn conv2d_bias_gradient(_grad: FloatTensor<Self>) -> FloatTensor<Self> {
            first_order("conv2d")
        }
    }
}
