//! CUDA devices.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use burn::tensor::{Device, DeviceType};

use super::Opened;
use crate::{DeviceEntry, DeviceKind, DeviceSpec};

static OPENED: Mutex<Option<HashMap<usize, Opened>>> = Mutex::new(None);

/// Devices are counted by the driver and not opened, so their names are not known yet.
pub(super) fn entries() -> Vec<DeviceEntry> {
    let count = Device::enumerate(DeviceType::Cuda).len();
    let entry = |index, name, kind, note: Option<&str>| DeviceEntry {
        spec: DeviceSpec::Cuda(index),
        backend: "cuda",
        name,
        kind,
        api: Some("CUDA"),
        driver: None,
        available: note.is_none(),
        auto: false,
        note: note.map(str::to_owned),
    };
    if count == 0 {
        let note = "no CUDA driver or no CUDA device was found";
        return vec![entry(
            0,
            "no device".to_owned(),
            DeviceKind::Other,
            Some(note),
        )];
    }
    (0..count)
        .map(|index| {
            entry(
                index,
                format!("CUDA device {index}"),
                DeviceKind::Discrete,
                None,
            )
        })
        .collect()
}

pub(super) fn open(index: usize) -> Result<Opened, String> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_default();
    if let Some(found) = opened.get(&index) {
        return Ok(found.clone());
    }
    let device = Device::cuda(index);
    // Burn opens a CUDA device at its first use, and a failure there is a panic.
    let name = catch_unwind(AssertUnwindSafe(|| {
        device.identity().map(|identity| identity.name)
    }))
    .map_err(|_| "the CUDA driver could not start the device".to_owned())?
    .unwrap_or_else(|| format!("CUDA device {index}"));
    let found = Opened::new(device, name);
    opened.insert(index, found.clone());
    Ok(found)
}
