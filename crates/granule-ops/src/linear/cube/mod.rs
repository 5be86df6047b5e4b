//! A rectified dense layer on GPUs: Burn's products, and a launch beside them for the rest of each pass.

mod backend;
mod kernels;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use crate::gpu::{GROUPS, most_elements, one_for_each, row_major, serves, unwritten};
pub(super) use backend::run;
use kernels::{COLUMNS, ROWS};

/// The most rows that a workgroup adds up the gradients of.
const MOST_ROWS: usize = 1 << 18;

/// Whether the kernels serve these tensors; where they do not fit together, Burn's operation says so.
pub(super) fn serve(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    let ([batch, inputs], [rows, outputs]) = (x.dims(), weight.dims());
    inputs == rows
        && batch * inputs * outputs > 0
        && serves(x)
        && serves(weight)
        && bias.is_none_or(|bias| bias.dims() == [outputs] && serves(bias))
        && batch * outputs <= most_elements(x)
        && outputs <= GROUPS * COLUMNS
        && batch <= MOST_ROWS
        && crate::gpu::units(x) as usize >= COLUMNS * ROWS
}

/// `max(0, x W + b)`; a `bias` without elements is none.
fn forward(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let (batch, outputs) = (x.shape()[0], weight.shape()[1]);
    let product = row_major(CubeBackend::float_matmul(x, weight));
    let y = unwritten(&product, Shape::new([batch, outputs]));
    let biased = bias.shape().num_elements() > 0;
    let bias = if biased {
        row_major(bias)
    } else {
        product.clone()
    };
    let (count, dim) = one_for_each(&y.client, batch * outputs);
    kernels::rectify::launch(
        &y.client,
        count,
        dim,
        y.required_address_type(),
        product.into_buffer_arg(),
        bias.into_buffer_arg(),
        y.clone().into_buffer_arg(),
        outputs as u32,
        u32::from(biased),
    );
    y
}

/// The gradient by what is rectified, and by the bias.
fn masked(y: CubeTensor, grad: CubeTensor) -> (CubeTensor, CubeTensor) {
    let (y, grad) = (row_major(y), row_major(grad));
    let (batch, outputs) = (y.shape()[0], y.shape()[1]);
    let by_z = unwritten(&y, y.shape());
    let by_bias = unwritten(&y, Shape::new([outputs]));
    kernels::masked::launch(
        &y.client,
        CubeCount::Static(outputs.div_ceil(COLUMNS) as u32, 1, 1),
        CubeDim::new_2d(COLUMNS as u32, ROWS as u32),
        y.required_address_type(),
        y.clone().into_buffer_arg(),
        grad.into_buffer_arg(),
        by_z.clone().into_buffer_arg(),
        by_bias.clone().into_buffer_arg(),
        batch as u32,
        outputs as u32,
        batch.div_ceil(ROWS) as u32,
    );
    (by_z, by_bias)
}
