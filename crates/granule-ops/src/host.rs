//! Reading and making the tensors of the CPU backends as plain slices.

use std::borrow::Cow;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DispatchDevice};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

/// A backend whose tensors lie in host memory.
pub(crate) trait HostBackend: Backend {
    /// The elements in row-major order, borrowed where they already lie so.
    fn read<R>(tensor: FloatTensor<Self>, body: impl FnOnce(HostSlice<'_>) -> R) -> R;

    /// The elements in row-major order, borrowed where they already lie so.
    fn values(tensor: &FloatTensor<Self>) -> HostValues<'_>;

    /// A tensor of this backend from row-major values.
    fn write(values: HostVec, shape: Shape) -> FloatTensor<Self>;
}

/// Row-major elements of either precision.
#[derive(Clone, Copy)]
pub(crate) enum HostSlice<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// Row-major elements of either precision, borrowed or not.
pub(crate) enum HostValues<'a> {
    F32(Cow<'a, [f32]>),
    F64(Cow<'a, [f64]>),
}

impl HostValues<'_> {
    pub(crate) fn f32(&self) -> Option<&[f32]> {
        match self {
            HostValues::F32(values) => Some(values),
            HostValues::F64(_) => None,
        }
    }

    pub(crate) fn f64(&self) -> Option<&[f64]> {
        match self {
            HostValues::F64(values) => Some(values),
            HostValues::F32(_) => None,
        }
    }
}

/// Owned row-major elements of either precision.
#[derive(Clone, Debug)]
pub(crate) enum HostVec {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl HostVec {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            HostVec::F32(values) => values.is_empty(),
            HostVec::F64(values) => values.is_empty(),
        }
    }

    /// The values, or where there are none so many zeros.
    #[cfg(feature = "autodiff")]
    pub(crate) fn or_zeros(self, count: usize) -> Self {
        match self {
            values if !values.is_empty() => values,
            HostVec::F32(_) => HostVec::F32(vec![0.0; count]),
            HostVec::F64(_) => HostVec::F64(vec![0.0; count]),
        }
    }

    #[cfg(feature = "autodiff")]
    pub(crate) fn values(&self) -> HostValues<'_> {
        match self {
            HostVec::F32(values) => HostValues::F32(Cow::Borrowed(values)),
            HostVec::F64(values) => HostValues::F64(Cow::Borrowed(values)),
        }
    }

    fn into_data(self, shape: Shape) -> TensorData {
        match self {
            HostVec::F32(values) => TensorData::new(values, shape),
            HostVec::F64(values) => TensorData::new(values, shape),
        }
    }
}

impl From<Vec<f32>> for HostVec {
    fn from(values: Vec<f32>) -> Self {
        HostVec::F32(values)
    }
}

impl From<Vec<f64>> for HostVec {
    fn from(values: Vec<f64>) -> Self {
        HostVec::F64(values)
    }
}

/// Runs a kernel on the elements of tensors of the backend `B`, under the tensors' own names, in the one precision
/// that they share: a [`HostVec`], or after `=>` what the kernel gives, of one type for both precisions.
macro_rules! on_host {
    (@read $backend:ident, [], $body:expr) => { $body };
    (@read $backend:ident, [$first:ident $($rest:ident)*], $body:expr) => {
        $backend::read($first, |$first| on_host!(@read $backend, [$($rest)*], $body))
    };
    ($backend:ident, $operation:literal, [$($tensor:ident),+] => $kernel:expr) => {
        on_host!(@read $backend, [$($tensor)+], match ($($tensor,)+) {
            ($($crate::host::HostSlice::F32($tensor),)+) => $kernel,
            ($($crate::host::HostSlice::F64($tensor),)+) => $kernel,
            // A single tensor is of one precision.
            #[allow(unreachable_patterns)]
            _ => $crate::host::mixed_precision($operation),
        })
    };
    ($backend:ident, $operation:literal, [$($tensor:ident),+], $kernel:expr) => {
        on_host!($backend, $operation, [$($tensor),+] => $crate::host::HostVec::from($kernel))
    };
}
pub(crate) use on_host;

/// [`on_host`] for a kernel of f32 alone, of an operation with factors in bfloat16.
macro_rules! on_host_in_single {
    ($backend:ident, $operation:literal, [$($tensor:ident),+], $kernel:expr) => {
        $crate::host::on_host!(@read $backend, [$($tensor)+], match ($($tensor,)+) {
            ($($crate::host::HostSlice::F32($tensor),)+) => $crate::host::HostVec::from($kernel),
            _ => $crate::bf16::none($operation),
        })
    };
}
pub(crate) use on_host_in_single;

/// [`on_host`] for the [`HostValues`] of any number of tensors: the kernel gets a list of slices and gives a list of
/// vectors.
macro_rules! on_host_all {
    ($operation:literal, $values:expr, $slices:ident => $kernel:expr) => {{
        let all: Vec<$crate::host::HostValues<'_>> = $values.collect();
        let f32s: Option<Vec<&[f32]>> = all.iter().map(|values| values.f32()).collect();
        let f64s: Option<Vec<&[f64]>> = all.iter().map(|values| values.f64()).collect();
        let values: Vec<$crate::host::HostVec> = match (f32s, f64s) {
            (Some($slices), _) => $kernel.into_iter().map(Into::into).collect(),
            (_, Some($slices)) => $kernel.into_iter().map(Into::into).collect(),
            _ => $crate::host::mixed_precision($operation),
        };
        values
    }};
}
pub(crate) use on_host_all;

/// Whether it is a device of a CPU backend.
pub(crate) fn is_host(device: &Device) -> bool {
    match device.clone().without_autodiff().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Whether the kernels of this crate serve this tensor.
pub(crate) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    let serves = is_host(&x.device()) && matches!(x.dtype(), DType::F32 | DType::F64);
    if serves {
        keep_freed_memory();
    }
    serves
}

/// Makes the allocator of glibc keep what is freed for the next allocation: of itself it gives blocks of some megabytes back
/// to the system, and the next training step then spends a third of its time on page faults.
///
/// The sizes from which it does so follow the largest block that was ever freed, up to 32 MiB.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // Where there is no room for it, nothing is kept.
        ONCE.call_once(|| {
            let mut block = Vec::<u8>::new();
            let _: Result<(), _> = block.try_reserve_exact(31 << 20);
            drop(core::hint::black_box(block));
        });
    }
}

/// Burn's operations take tensors of one element type and panic on others; so do these.
#[allow(clippy::panic)]
pub(crate) fn mixed_precision(operation: &str) -> ! {
    panic!("{operation}: all tensors must have one element type")
}

#[cfg(feature = "flex")]
impl HostBackend for burn::backend::Flex {
    fn read<R>(tensor: FloatTensor<Self>, body: impl FnOnce(HostSlice<'_>) -> R) -> R {
        let tensor = if tensor.is_contiguous() {
            tensor
        } else {
            tensor.to_contiguous()
        };
        match tensor.dtype() {
            DType::F64 => body(HostSlice::F64(tensor.as_slice().unwrap_or_default())),
            _ => body(HostSlice::F32(tensor.as_slice().unwrap_or_default())),
        }
    }

    fn values(tensor: &FloatTensor<Self>) -> HostValues<'_> {
        macro_rules! values {
            ($variant:path) => {
                $variant(match tensor.as_slice() {
                    Some(values) => Cow::Borrowed(values),
                    None => {
                        let tensor = tensor.to_contiguous();
                        Cow::Owned(tensor.as_slice().unwrap_or_default().to_vec())
                    }
                })
            };
        }
        match tensor.dtype() {
            DType::F64 => values!(HostValues::F64),
            _ => values!(HostValues::F32),
        }
    }

    fn write(values: HostVec, shape: Shape) -> FloatTensor<Self> {
        FloatTensor::<Self>::from_data(values.into_data(shape))
    }
}

#[cfg(feature = "ndarray")]
#[allow(
    deprecated,
    reason = "Burn 0.22 deprecates its ndarray backend in favour of flex; granule keeps both"
)]
pub(crate) mod ndarray {
    use super::{Cow, FloatTensor, HostBackend, HostSlice, HostValues, HostVec, Shape};
    use burn_ndarray::NdArrayTensor;

    /// Unlike a re-export, an alias is not deprecated itself.
    pub(crate) type NdArray = burn::backend::NdArray;

    impl HostBackend for NdArray {
        fn read<R>(tensor: FloatTensor<Self>, body: impl FnOnce(HostSlice<'_>) -> R) -> R {
            macro_rules! read {
                ($storage:expr, $variant:path) => {{
                    let view = $storage.view();
                    match view.as_slice() {
                        Some(slice) => body($variant(slice)),
                        None => {
                            let values: Vec<_> = view.iter().copied().collect();
                            body($variant(&values))
                        }
                    }
                }};
            }
            match tensor {
                NdArrayTensor::F64(storage) => read!(storage, HostSlice::F64),
                NdArrayTensor::F32(storage) => read!(storage, HostSlice::F32),
                _ => body(HostSlice::F32(&[])),
            }
        }

        fn values(tensor: &FloatTensor<Self>) -> HostValues<'_> {
            macro_rules! values {
                ($storage:expr, $variant:path) => {{
                    let view = $storage.view();
                    $variant(match view.to_slice() {
                        Some(values) => Cow::Borrowed(values),
                        None => Cow::Owned(view.iter().copied().collect()),
                    })
                }};
            }
            match tensor {
                NdArrayTensor::F64(storage) => values!(storage, HostValues::F64),
                NdArrayTensor::F32(storage) => values!(storage, HostValues::F32),
                _ => HostValues::F32(Cow::Borrowed(&[])),
            }
        }

        fn write(values: HostVec, shape: Shape) -> FloatTensor<Self> {
            NdArrayTensor::from_data(values.into_data(shape))
        }
    }
}
