//! The loss and its gradient on GPUs: a unit for each row, and the sum of a workgroup's rows in their order.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use crate::gpu::{GROUPS, most_elements, row_major, serves, units, unwritten};

/// The rows of a workgroup.
const ROWS: usize = 128;

/// The most classes that a unit goes through.
const MOST_CLASSES: usize = 1 << 16;

/// Whether the kernel serves these tensors; where they do not fit together, Burn's operations say so.
pub(super) fn serve(outputs: &Tensor<2>, classes: &Tensor<1, Int>) -> bool {
    let [rows, width] = outputs.dims();
    rows * width > 0
        && classes.dims() == [rows]
        && classes.dtype() == DType::I32
        && serves(outputs)
        && rows * width <= most_elements(outputs)
        && rows <= GROUPS * ROWS
        && width <= MOST_CLASSES
        && units(outputs) as usize >= ROWS
}

/// Cross-entropies as GPUs supply them; documented at [`cross_entropy`](super::cross_entropy).
#[backend_extension(Cube, Autodiff: cfg(feature = "autodiff"))]
pub(crate) trait CrossEntropyOnGpu: Backend {
    fn cross_entropy_on_gpu(
        outputs: FloatTensor<Self>,
        classes: IntTensor<Self>,
        smoothing: f64,
    ) -> FloatTensor<Self>;
}

pub(super) fn run(outputs: Tensor<2>, classes: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as CrossEntropyOnGpu>::cross_entropy_on_gpu(
        outputs.into_dispatch(),
        classes.into_dispatch(),
        smoothing,
    ))
}

/// `losses` gets the share of each workgroup in the loss. There is a `gradient` where it is `wanted`.
#[cube(launch, address_type = "dynamic")]
fn entropies(
    outputs: &[f32],
    classes: &[i32],
    gradient: &mut [f32],
    losses: &mut [f32],
    rows: u32,
    width: u32,
    smoothing: f32,
    wanted: u32,
) {
    let mut shares = Shared::<[f32]>::new_slice(ROWS);
    let row = ABSOLUTE_POS;
    let samples = rows as f32;
    let kinds = width as f32;
    let width = width as usize;
    let mut share = 0.0f32;
    if row < rows as usize {
        let first = row * width;
        let mut largest = outputs[first];
        for k in 1..width {
            let x = outputs[first + k];
            largest = select(x > largest, x, largest);
        }
        let mut sum = 0.0f32;
        let mut all = 0.0f32;
        for k in 0..width {
            let x = outputs[first + k] - largest;
            sum += x.exp();
            all += x;
        }
        let logarithm = sum.ln();
        let class = classes[row] as usize;
        let own = outputs[first + class] - largest - logarithm;
        let part = smoothing / kinds;
        // Where there is no smoothing, what is infinite elsewhere does not count.
        let mut likelihood = own;
        if smoothing > 0.0 {
            likelihood = (1.0 - smoothing) * own + part * (all - kinds * logarithm);
        }
        share = -likelihood / samples;
        if wanted == 1 {
            for k in 0..width {
                let p = (outputs[first + k] - largest).exp() / sum;
                let target = part + select(k == class, 1.0 - smoothing, 0.0f32);
                gradient[first + k] = (p - target) / samples;
            }
        }
    }
    shares[UNIT_POS as usize] = share;
    sync_cube();
    if UNIT_POS == 0 {
        let mut total = 0.0f32;
        for other in 0..ROWS {
            total += shares[other];
        }
        losses[CUBE_POS] = total;
    }
}

/// The loss, and its gradient where it is `wanted`.
fn forward(
    outputs: CubeTensor,
    classes: CubeTensor,
    smoothing: f64,
    wanted: bool,
) -> (CubeTensor, CubeTensor) {
    let (outputs, classes) = (row_major(outputs), row_major(classes));
    let (rows, width) = (outputs.shape()[0], outputs.shape()[1]);
    let groups = rows.div_ceil(ROWS);
    let losses = unwritten(&outputs, Shape::new([groups]));
    let room = if wanted { [rows, width] } else { [1, 1] };
    let gradient = unwritten(&outputs, Shape::new(room));
    entropies::launch(
        &outputs.client,
        CubeCount::Static(groups as u32, 1, 1),
        CubeDim::new_1d(ROWS as u32),
        outputs.required_address_type(),
        outputs.clone().into_buffer_arg(),
        classes.into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        losses.clone().into_buffer_arg(),
        rows as u32,
        width as u32,
        smoothing as f32,
        u32::from(wanted),
    );
    let loss = match groups {
        1 => losses,
        _ => CubeBackend::float_sum_dim(losses, 0),
    };
    (loss, gradient)
}

impl CrossEntropyOnGpu for CubeBackend {
    fn cross_entropy_on_gpu(
        outputs: FloatTensor<Self>,
        classes: IntTensor<Self>,
        smoothing: f64,
    ) -> FloatTensor<Self> {
        forward(outputs, classes, smoothing, false).0
    }
}

#[cfg(feature = "autodiff")]
mod autodiff {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::*;

    #[derive(Debug)]
    struct CrossEntropy;

    impl Backward<CubeBackend, 1> for CrossEntropy {
        /// The gradient of the loss.
        type State = FloatTensor<CubeBackend>;

        fn backward(
            self,
            ops: Ops<Self::State, 1>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<CubeBackend>(&ops.node);
            if let [Some(node)] = ops.parents {
                let grad = CubeBackend::float_reshape(grad, Shape::new([1, 1]));
                let own = CubeBackend::float_mul(ops.state, grad);
                grads.register::<CubeBackend>(node.id, own);
            }
        }
    }

    impl<C: CheckpointStrategy> CrossEntropyOnGpu for Autodiff<CubeBackend, C> {
        fn cross_entropy_on_gpu(
            outputs: FloatTensor<Self>,
            classes: IntTensor<Self>,
            smoothing: f64,
        ) -> FloatTensor<Self> {
            let prep = CrossEntropy.prepare::<C>([outputs.node()]);
            match prep.compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let outputs = outputs.into_primitive();
                    let (loss, gradient) = forward(outputs, classes, smoothing, true);
                    prep.finish(gradient, loss)
                }
                OpsKind::UnTracked(prep) => {
                    prep.finish(forward(outputs.into_primitive(), classes, smoothing, false).0)
                }
            }
        }
    }
}
