//! What this build can open: one file per family of backends.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod graphics;
mod host;

use burn::tensor::Device;

use crate::{DeviceEntry, DeviceSpec};

/// A device that is open in this process.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub device: Device,
    pub name: String,
    /// The device as wgpu has it.
    #[cfg(feature = "wgpu")]
    pub graphics: Option<burn::tensor::wgpu::wgpu::Device>,
}

impl Opened {
    fn new(device: Device, name: String) -> Self {
        Self {
            device,
            name,
            #[cfg(feature = "wgpu")]
            graphics: None,
        }
    }
}

/// The cargo feature that `spec` needs and this build lacks.
pub(crate) fn missing_feature(spec: &DeviceSpec) -> Option<&'static str> {
    let (compiled, feature) = match spec {
        DeviceSpec::Auto => (true, ""),
        DeviceSpec::Cpu => (cfg!(any(feature = "flex", feature = "ndarray")), "flex"),
        DeviceSpec::Gpu => (cfg!(any(feature = "wgpu", feature = "cuda")), "wgpu"),
        DeviceSpec::Flex => (cfg!(feature = "flex"), "flex"),
        DeviceSpec::NdArray => (cfg!(feature = "ndarray"), "ndarray"),
        DeviceSpec::Wgpu(_) => (cfg!(feature = "wgpu"), "wgpu"),
        DeviceSpec::Vulkan(_) => (cfg!(feature = "vulkan"), "vulkan"),
        DeviceSpec::Metal(_) => (cfg!(feature = "metal"), "metal"),
        DeviceSpec::Cuda(_) => (cfg!(feature = "cuda"), "cuda"),
    };
    (!compiled).then_some(feature)
}

/// The CPU backends of this build, for which no driver is asked.
pub(crate) fn hosts() -> Vec<DeviceEntry> {
    host::entries()
}

/// Every device of this build and machine, the preferred GPUs first within each backend; `auto` is not marked yet.
pub(crate) fn inventory() -> Vec<DeviceEntry> {
    #[cfg_attr(not(any(feature = "wgpu", feature = "cuda")), allow(unused_mut))]
    let mut entries = hosts();
    #[cfg(feature = "cuda")]
    entries.extend(cuda::entries());
    #[cfg(feature = "wgpu")]
    entries.extend(graphics::entries());
    entries
}

/// Opens an exactly named device, or hands out the one already open.
///
/// # Errors
/// What the driver or the runtime said.
pub(crate) fn open(spec: &DeviceSpec) -> Result<Opened, String> {
    match spec {
        #[cfg(feature = "flex")]
        DeviceSpec::Flex => Ok(host::flex()),
        #[cfg(feature = "ndarray")]
        DeviceSpec::NdArray => Ok(host::ndarray()),
        #[cfg(feature = "cuda")]
        DeviceSpec::Cuda(index) => cuda::open(*index),
        #[cfg(feature = "wgpu")]
        DeviceSpec::Wgpu(adapter) => graphics::open(None, *adapter),
        #[cfg(feature = "vulkan")]
        DeviceSpec::Vulkan(adapter) => graphics::open(Some(graphics::Api::Vulkan), *adapter),
        #[cfg(feature = "metal")]
        DeviceSpec::Metal(adapter) => graphics::open(Some(graphics::Api::Metal), *adapter),
        _ => Err("this build has no such backend".to_owned()),
    }
}
