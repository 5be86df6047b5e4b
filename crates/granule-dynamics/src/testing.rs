//! Devices and comparisons for the tests of this crate.

use burn::tensor::Device;
use granule_device::DeviceSpec;

use crate::Place;

/// The plain device behind one of the CPU backends.
pub(crate) fn host_device(name: &str) -> Device {
    let spec: DeviceSpec = name.parse().unwrap();
    spec.open().unwrap().burn().clone()
}

/// Double precision on `flex`.
pub(crate) fn f64_place() -> Place {
    Place::f64(&host_device("flex"))
}

/// Double precision on `flex`, with autodiff.
pub(crate) fn f64_autodiff() -> Place {
    Place::f64(&host_device("flex").autodiff())
}

/// Both CPU backends in double precision, with autodiff.
pub(crate) fn f64_autodiffs() -> [Place; 2] {
    ["flex", "ndarray"].map(|name| Place::f64(&host_device(name).autodiff()))
}

/// Both CPU backends in double precision.
pub(crate) fn f64_places() -> Vec<(&'static str, Place)> {
    ["flex", "ndarray"]
        .map(|name| (name, Place::f64(&host_device(name))))
        .to_vec()
}

/// Both CPU backends and, where there is one, wgpu (llvmpipe where no GPU is), in single precision. Without an adapter
/// the test says that it skips wgpu, unless `GRANULE_REQUIRE_WGPU` is set.
pub(crate) fn f32_places() -> Vec<(&'static str, Place)> {
    let mut places = ["flex", "ndarray"]
        .map(|name| (name, Place::f32(&host_device(name))))
        .to_vec();
    let gpu = ["gpu", "wgpu:software"].iter().find_map(|name| {
        let spec: DeviceSpec = name.parse().unwrap();
        spec.open().ok()
    });
    match gpu {
        Some(device) => places.push(("wgpu", Place::f32(device.burn()))),
        None if std::env::var_os("GRANULE_REQUIRE_WGPU").is_some() => {
            panic!("GRANULE_REQUIRE_WGPU is set and there is no wgpu adapter")
        }
        None => eprintln!("skipped on wgpu: no adapter"),
    }
    places
}

/// Asserts that two numbers agree to `tolerance`, relative to the second or absolute, whichever is looser.
#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let limit = tolerance * expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= limit,
        "{found} is not within {limit:e} of {expected}"
    );
}
