//! What the tests of devices share.

use granule_device::{DeviceError, DeviceSpec, OpenDevice};

/// The device, or `None` and a printed line where this machine lacks it. With `GRANULE_REQUIRE_WGPU=1` lacking the
/// software adapter is a failure.
pub fn open_or_skip(word: &str) -> Option<OpenDevice> {
    match word.parse::<DeviceSpec>().unwrap().open() {
        Ok(device) => Some(device),
        Err(error @ (DeviceError::Absent { .. } | DeviceError::NotCompiled { .. })) => {
            let required =
                std::env::var_os("GRANULE_REQUIRE_WGPU").is_some_and(|value| value == "1");
            assert!(!required, "GRANULE_REQUIRE_WGPU=1, but {error}");
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
