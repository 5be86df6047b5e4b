//! The CPU backends.

#[cfg(any(feature = "flex", feature = "ndarray"))]
use burn::tensor::Device;

#[cfg(any(feature = "flex", feature = "ndarray"))]
use super::Opened;
use crate::DeviceEntry;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::{DeviceKind, DeviceSpec};

pub(super) fn entries() -> Vec<DeviceEntry> {
    vec![
        #[cfg(feature = "flex")]
        entry(DeviceSpec::Flex, "flex"),
        #[cfg(feature = "ndarray")]
        entry(DeviceSpec::NdArray, "ndarray"),
    ]
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn entry(spec: DeviceSpec, backend: &'static str) -> DeviceEntry {
    DeviceEntry {
        spec,
        backend,
        name: name(backend),
        kind: DeviceKind::Cpu,
        api: None,
        driver: None,
        available: true,
        auto: false,
        note: None,
    }
}

#[cfg(feature = "flex")]
pub(super) fn flex() -> Opened {
    Opened::new(Device::flex(), name("flex"))
}

/// Burn deprecates its ndarray backend in favour of flex. It stays here as an independent implementation to compare
/// results with.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
pub(super) fn ndarray() -> Opened {
    Opened::new(Device::ndarray(), name("ndarray"))
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn name(backend: &str) -> String {
    match threads() {
        1 => format!("{backend} (CPU, 1 thread)"),
        threads => format!("{backend} (CPU, {threads} threads)"),
    }
}

/// The size the worker pool has or will have. Asking the pool itself would start it.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn threads() -> usize {
    std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|threads| *threads > 0)
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1)
}
