//! Opening devices, once each.

use std::sync::Arc;

use burn::tensor::Device;

use crate::backend::Opened;
use crate::{DeviceEntry, DeviceError, DeviceSpec, backend, choice, guard, list};

/// An open device: a cheap handle that can be cloned and sent between threads.
///
/// A device stays open until the process ends, so opening it again costs nothing.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opened: Opened,
    spec: DeviceSpec,
    requested: DeviceSpec,
    reason: Option<String>,
}

impl OpenDevice {
    /// Burn's handle, without autodiff. To train, use `device.burn().clone().autodiff()`.
    #[must_use]
    pub fn burn(&self) -> &Device {
        &self.inner.opened.device
    }

    /// The device that was opened: a backend and adapter, never `auto`, `cpu`, `gpu` or a bare `wgpu`.
    #[must_use]
    pub fn spec(&self) -> &DeviceSpec {
        &self.inner.spec
    }

    /// The device that was asked for.
    #[must_use]
    pub fn requested(&self) -> &DeviceSpec {
        &self.inner.requested
    }

    /// What the device calls itself, such as `flex (CPU, 2 threads)`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.opened.name
    }

    /// What a general word (`auto`, `cpu`, `gpu`, `wgpu`) chose and why; none where the device was named exactly.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.inner.reason.as_deref()
    }

    /// Whether tensors live in host memory (`flex`, `ndarray`), so that reading them back copies nothing over a bus.
    #[must_use]
    pub fn is_host(&self) -> bool {
        matches!(self.inner.spec, DeviceSpec::Flex | DeviceSpec::NdArray)
    }

    /// The device as wgpu has it.
    #[cfg(feature = "wgpu")]
    pub(crate) fn graphics(&self) -> Option<&burn::tensor::wgpu::wgpu::Device> {
        self.inner.opened.graphics.as_ref()
    }
}

pub(crate) fn open(requested: &DeviceSpec) -> Result<OpenDevice, DeviceError> {
    let choice = choice::choose(requested, list)?;
    let opened =
        guard::opened(|| backend::open(&choice.spec)).map_err(|reason| DeviceError::Refused {
            spec: choice.spec.clone(),
            reason,
            found: others(&choice.spec, list()),
        })?;
    Ok(OpenDevice {
        inner: Arc::new(Inner {
            opened,
            spec: choice.spec,
            requested: requested.clone(),
            reason: choice.reason,
        }),
    })
}

/// The listing without the device that was just turned down.
fn others(refused: &DeviceSpec, mut entries: Vec<DeviceEntry>) -> Vec<DeviceEntry> {
    entries.retain(|entry| entry.spec != *refused);
    entries
}
