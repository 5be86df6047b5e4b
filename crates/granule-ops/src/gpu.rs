//! What the kernels for GPUs have in common; what [`crate::host`] is for the CPU backends.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Whether the kernels for GPUs serve this tensor: it lies on such a device, in f32.
pub(crate) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32
        && matches!(
            x.device().without_autodiff().as_dispatch(),
            DispatchDevice::Cube(_)
        )
}

/// How many buffers a kernel may have where a tensor is.
pub(crate) fn bindings<const D: usize>(x: &Tensor<D>) -> u32 {
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => device.client().properties().hardware.max_bindings,
        #[allow(unreachable_patterns)]
        _ => 0,
    }
}

/// The elements in row-major order, in the same memory where they already lie so.
pub(crate) fn row_major(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(tensor)
}

/// An f32 tensor beside another one, whose elements are whatever the memory holds.
pub(crate) fn unwritten(beside: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(
        beside.client.clone(),
        beside.device.clone(),
        shape,
        DType::F32,
    )
}

/// Workgroups for a kernel of one unit for each of some elements.
pub(crate) fn one_for_each(client: &Client, elements: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, elements);
    (calculate_cube_count_elemwise(client, elements, dim), dim)
}
