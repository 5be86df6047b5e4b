//! From the device asked for to the device to open, given what the machine has.

use crate::{Adapter, DeviceEntry, DeviceError, DeviceKind, DeviceSpec, backend};

/// A device to open: a backend and an adapter, and why, where the name left it open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub spec: DeviceSpec,
    pub reason: Option<String>,
}

/// Resolves `requested`. The listing, which asks the drivers, is made only where the answer depends on it.
pub(crate) fn choose(
    requested: &DeviceSpec,
    listing: impl FnOnce() -> Vec<DeviceEntry>,
) -> Result<Choice, DeviceError> {
    if let Some(feature) = backend::missing_feature(requested) {
        return Err(DeviceError::NotCompiled {
            spec: requested.clone(),
            feature,
            found: listing(),
        });
    }
    match requested {
        DeviceSpec::Flex | DeviceSpec::NdArray => Ok(Choice {
            spec: requested.clone(),
            reason: None,
        }),
        DeviceSpec::Cpu => Ok(cpu()),
        DeviceSpec::Auto => auto(listing()),
        DeviceSpec::Gpu => best(requested, listing(), |_| true),
        DeviceSpec::Wgpu(Adapter::Best) => best(requested, listing(), |spec| {
            matches!(spec, DeviceSpec::Wgpu(_))
        }),
        DeviceSpec::Vulkan(Adapter::Best) => best(requested, listing(), |spec| {
            matches!(spec, DeviceSpec::Vulkan(_))
        }),
        DeviceSpec::Metal(Adapter::Best) => best(requested, listing(), |spec| {
            matches!(spec, DeviceSpec::Metal(_))
        }),
        DeviceSpec::Wgpu(_)
        | DeviceSpec::Vulkan(_)
        | DeviceSpec::Metal(_)
        | DeviceSpec::Cuda(_) => named(requested, listing()),
    }
}

fn cpu() -> Choice {
    if cfg!(feature = "flex") {
        let reason = if cfg!(feature = "ndarray") {
            "cpu is flex, the faster of the CPU backends"
        } else {
            "cpu is flex, the CPU backend of this build"
        };
        Choice {
            spec: DeviceSpec::Flex,
            reason: Some(reason.to_owned()),
        }
    } else {
        let reason = "cpu is ndarray, the CPU backend of this build";
        Choice {
            spec: DeviceSpec::NdArray,
            reason: Some(reason.to_owned()),
        }
    }
}

fn auto(entries: Vec<DeviceEntry>) -> Result<Choice, DeviceError> {
    match auto_index(&entries).and_then(|index| entries.get(index)) {
        Some(entry) => Ok(Choice {
            spec: entry.spec.clone(),
            reason: Some(format!(
                "auto took {}: {}",
                entry.spec,
                why_auto(entry, &entries)
            )),
        }),
        None => Err(DeviceError::Absent {
            spec: DeviceSpec::Auto,
            reason: format!("this build has no CPU backend and {}", no_gpu(&entries)),
            found: entries,
        }),
    }
}

/// Marks the entry that `auto` takes and says why in its note.
pub(crate) fn mark_auto(entries: &mut [DeviceEntry]) {
    let Some(index) = auto_index(entries) else {
        return;
    };
    let why = entries.get(index).map(|entry| why_auto(entry, entries));
    if let Some(entry) = entries.get_mut(index) {
        entry.auto = true;
        entry.note = why.map(|why| format!("taken by auto: {why}"));
    }
}

fn auto_index(entries: &[DeviceEntry]) -> Option<usize> {
    entries
        .iter()
        .position(DeviceEntry::is_real_gpu)
        .or_else(|| {
            entries
                .iter()
                .position(|entry| entry.kind == DeviceKind::Cpu)
        })
}

fn why_auto(entry: &DeviceEntry, entries: &[DeviceEntry]) -> String {
    if entry.is_real_gpu() {
        "the first real GPU".to_owned()
    } else {
        no_gpu(entries)
    }
}

fn best(
    requested: &DeviceSpec,
    entries: Vec<DeviceEntry>,
    among: impl Fn(&DeviceSpec) -> bool,
) -> Result<Choice, DeviceError> {
    match entries
        .iter()
        .find(|entry| entry.is_real_gpu() && among(&entry.spec))
    {
        Some(entry) => Ok(Choice {
            spec: entry.spec.clone(),
            reason: Some(format!(
                "{requested} took {}, the first real GPU",
                entry.spec
            )),
        }),
        None => Err(DeviceError::Absent {
            spec: requested.clone(),
            reason: no_gpu(&entries),
            found: entries,
        }),
    }
}

fn named(requested: &DeviceSpec, entries: Vec<DeviceEntry>) -> Result<Choice, DeviceError> {
    let reason = match entries.iter().find(|entry| entry.spec == *requested) {
        Some(entry) if entry.available => {
            return Ok(Choice {
                spec: requested.clone(),
                reason: None,
            });
        }
        Some(entry) => entry.note.clone(),
        None => None,
    };
    Err(DeviceError::Absent {
        spec: requested.clone(),
        reason: reason.unwrap_or_else(|| "the machine has none of that kind and index".to_owned()),
        found: entries,
    })
}

fn no_gpu(entries: &[DeviceEntry]) -> String {
    let software = entries
        .iter()
        .find(|entry| entry.available && entry.kind == DeviceKind::Software);
    match software {
        Some(entry) => format!(
            "no real GPU was found, and the software adapter {} is used only when named, as `{}`",
            entry.name, entry.spec
        ),
        None if cfg!(any(feature = "wgpu", feature = "cuda")) => "no GPU was found".to_owned(),
        None => "no GPU backend is compiled in".to_owned(),
    }
}
