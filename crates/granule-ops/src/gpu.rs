//! What the kernels for GPUs have in common; what [`crate::host`] is for the CPU backends.

use burn::backend::{
    BackendTensor, DispatchAutodiffContext, DispatchDevice, DispatchTensor, DispatchTensorKind,
};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeDevice;
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

/// How many units a workgroup may have where a tensor is.
pub(crate) fn units<const D: usize>(x: &Tensor<D>) -> u32 {
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => device.client().properties().hardware.max_units_per_cube,
        #[allow(unreachable_patterns)]
        _ => 0,
    }
}

/// What of a tensor on a GPU the kernels take, where it is on no tape.
pub(crate) fn as_primitive<const D: usize>(x: Tensor<D>) -> Option<CubeTensor> {
    match x.into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(x)) => Some(x),
        _ => None,
    }
}

/// A tensor that is on no tape.
pub(crate) fn as_tensor<const D: usize>(x: CubeTensor) -> Tensor<D> {
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Cube(BackendTensor::Float(x)),
        autodiff: DispatchAutodiffContext::Disabled,
    })
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

/// Workgroups along an axis that every GPU allows: what WebGPU guarantees.
pub(crate) const GROUPS: usize = 65_535;

/// Workgroups for a kernel of one unit for each of some elements.
pub(crate) fn one_for_each(client: &Client, elements: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, elements);
    (calculate_cube_count_elemwise(client, elements, dim), dim)
}

/// Elementary operations of a launch: less than a second on a slow GPU, whose driver ends what takes some seconds. Tests have few
/// steps.
const WORK: usize = 1 << if cfg!(test) { 27 } else { 36 };
/// The fewest elements that a launch counts as: fewer leave most of a GPU idle.
const LANES: usize = 1 << 14;

/// How many steps a launch may take in which each of `elements` has so many operations a step; one at least.
pub(crate) fn steps_of_launch(operations: usize, elements: usize) -> usize {
    let step = operations.max(1).saturating_mul(elements.max(LANES));
    (WORK / step).max(1)
}

/// The most elements that one buffer may have where a tensor is, in f32 and counted in 32 bits.
pub(crate) fn most_elements<const D: usize>(x: &Tensor<D>) -> usize {
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => most_elements_of(&device.client()),
        #[allow(unreachable_patterns)]
        _ => 0,
    }
}

/// The same of what has a client.
pub(crate) fn most_elements_of(client: &Client) -> usize {
    let bytes = client.properties().memory.max_page_size;
    let elements = bytes / size_of::<f32>() as u64;
    usize::try_from(elements.min(i32::MAX as u64)).unwrap_or(usize::MAX)
}

/// Numbers as a tensor of one dimension; a single 0 where there are none, for no buffer may be empty.
pub(crate) fn upload(values: &[f32], device: &CubeDevice) -> CubeTensor {
    let values = if values.is_empty() { &[0.0] } else { values };
    from_bytes(f32::as_bytes(values), DType::F32, device)
}

/// Likewise of whole numbers.
pub(crate) fn upload_indices(values: &[u32], device: &CubeDevice) -> CubeTensor {
    let values = if values.is_empty() { &[0] } else { values };
    from_bytes(u32::as_bytes(values), DType::U32, device)
}

fn from_bytes(bytes: &[u8], dtype: DType, device: &CubeDevice) -> CubeTensor {
    let client = device.client();
    let handle = client.create_from_slice(bytes);
    let shape = Shape::new([bytes.len() / size_of::<f32>()]);
    CubeTensor::new_contiguous(client, device.clone(), shape, handle, dtype)
}
