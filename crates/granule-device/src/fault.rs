//! Failures of an open GPU, brought about on purpose so that tests see what follows them on any adapter.
//!
//! What is done is done to the real device through its own interface: nothing of what follows is simulated.

use crate::OpenDevice;

/// Loses the device for the rest of the process, as a reset of its driver does. False where it has no such failure.
pub fn lose(device: &OpenDevice) -> bool {
    #[cfg(feature = "wgpu")]
    if let Some(raw) = device.graphics() {
        raw.destroy();
        return true;
    }
    let _ = device;
    false
}

/// Gives the device a kernel that it refuses, of which its runtime tells by a panic. False where it has no such failure.
pub fn refuse_kernel(device: &OpenDevice) -> bool {
    #[cfg(feature = "wgpu")]
    if let Some(raw) = device.graphics() {
        use burn::tensor::wgpu::wgpu::{ShaderModuleDescriptor, ShaderSource};

        let _ = raw.create_shader_module(ShaderModuleDescriptor {
            label: None,
            source: ShaderSource::Wgsl("no kernel".into()),
        });
        return true;
    }
    let _ = device;
    false
}
