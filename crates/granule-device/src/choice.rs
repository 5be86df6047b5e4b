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
        DeviceSpec::Auto if too_small_for_drivers(address_space()) => Ok(Choice {
            reason: Some(
                "auto took the CPU: `ulimit -v` leaves too little address space to look for GPUs"
                    .to_owned(),
            ),
            ..cpu()
        }),
        DeviceSpec::Auto => auto(listing()),
        _ if too_small_for_drivers(address_space()) => Err(DeviceError::Refused {
            spec: requested.clone(),
            reason: format!(
                "`ulimit -v` leaves {} MiB of address space, less than the {} MiB that a graphics driver takes; raise it",
                address_space() >> 20,
                FOR_DRIVERS >> 20
            ),
            found: backend::hosts(),
        }),
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

/// With less address space than this, what a graphics driver takes may be what the work then lacks, and drivers do not all
/// live through an allocation that fails.
const FOR_DRIVERS: u64 = 1 << 30;

fn too_small_for_drivers(space: u64) -> bool {
    space < FOR_DRIVERS
}

/// How much address space this process may have.
fn address_space() -> u64 {
    #[cfg(unix)]
    let limit = rlimit::Resource::AS.get_soft().unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    let limit = u64::MAX;
    limit
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
            reason: entries
                .iter()
                .find(|entry| {
                    !entry.available && entry.kind == DeviceKind::Other && among(&entry.spec)
                })
                .and_then(|entry| entry.note.clone())
                .unwrap_or_else(|| no_gpu(&entries)),
            found: entries,
        }),
    }
}

fn named(requested: &DeviceSpec, entries: Vec<DeviceEntry>) -> Result<Choice, DeviceError> {
    let listed = entries.iter().find(|entry| entry.spec == *requested);
    if listed.is_some_and(|entry| entry.available) {
        return Ok(Choice {
            spec: requested.clone(),
            reason: None,
        });
    }
    let reason = listed
        .or_else(|| nothing_like(requested, &entries))
        .and_then(|entry| entry.note.clone());
    Err(DeviceError::Absent {
        spec: requested.clone(),
        reason: reason.unwrap_or_else(|| "the machine has none of that kind and index".to_owned()),
        found: entries,
    })
}

/// The entry that stands in the listing for a backend without any device.
fn nothing_like<'a>(requested: &DeviceSpec, entries: &'a [DeviceEntry]) -> Option<&'a DeviceEntry> {
    entries.iter().find(|entry| {
        !entry.available
            && entry.kind == DeviceKind::Other
            && std::mem::discriminant(&entry.spec) == std::mem::discriminant(requested)
    })
}

/// Why none of the entries is a real GPU, in a few words.
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

#[cfg(all(test, feature = "flex", feature = "ndarray", feature = "wgpu"))]
mod tests {
    use super::*;

    fn entry(word: &str, kind: DeviceKind) -> DeviceEntry {
        DeviceEntry {
            spec: word.parse().unwrap(),
            backend: "some",
            name: format!("<{word}>"),
            kind,
            api: None,
            driver: None,
            available: true,
            auto: false,
            note: None,
        }
    }

    fn machine(more: &[(&str, DeviceKind)]) -> Vec<DeviceEntry> {
        let cpus = [("flex", DeviceKind::Cpu), ("ndarray", DeviceKind::Cpu)];
        cpus.iter()
            .chain(more)
            .map(|(word, kind)| entry(word, *kind))
            .collect()
    }

    fn choose_on(word: &str, entries: &[DeviceEntry]) -> Result<Choice, DeviceError> {
        choose(&word.parse().unwrap(), || entries.to_vec())
    }

    fn chosen(word: &str, entries: &[DeviceEntry]) -> String {
        choose_on(word, entries).unwrap().spec.to_string()
    }

    #[test]
    fn general_words_take_the_first_real_gpu() {
        let entries = machine(&[
            ("wgpu:discrete:0", DeviceKind::Discrete),
            ("wgpu:integrated:0", DeviceKind::Integrated),
            ("wgpu:software", DeviceKind::Software),
        ]);
        for word in ["auto", "gpu", "wgpu"] {
            assert_eq!(chosen(word, &entries), "wgpu:discrete:0", "{word}");
        }
        assert_eq!(chosen("wgpu:integrated:0", &entries), "wgpu:integrated:0");
        assert_eq!(chosen("cpu", &entries), "flex");
        let reason = choose_on("auto", &entries).unwrap().reason.unwrap();
        assert!(reason.contains("first real GPU"), "{reason}");
    }

    #[test]
    fn a_software_adapter_is_taken_only_by_its_name() {
        let entries = machine(&[("wgpu:software", DeviceKind::Software)]);
        let auto = choose_on("auto", &entries).unwrap();
        assert_eq!(auto.spec, DeviceSpec::Flex);
        assert!(
            auto.reason
                .unwrap()
                .contains("used only when named, as `wgpu:software`")
        );
        assert_eq!(chosen("wgpu:software", &entries), "wgpu:software");
        for word in ["gpu", "wgpu"] {
            let error = choose_on(word, &entries).unwrap_err().to_string();
            assert!(
                error.contains("<wgpu:software>")
                    && error.contains("use `flex` or `ndarray` or `wgpu:software`"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unavailable_entry_is_passed_over_and_explained() {
        let mut entries = machine(&[("wgpu:discrete:0", DeviceKind::Discrete)]);
        let broken = entries.last_mut().unwrap();
        broken.available = false;
        broken.note = Some("the card is asleep".to_owned());
        assert_eq!(chosen("auto", &entries), "flex");
        let error = choose_on("wgpu:discrete:0", &entries)
            .unwrap_err()
            .to_string();
        assert!(error.contains("the card is asleep"), "{error}");
    }

    #[test]
    fn a_backend_without_devices_says_what_to_install() {
        let mut entries = machine(&[("wgpu", DeviceKind::Other)]);
        let none = entries.last_mut().unwrap();
        none.available = false;
        none.note = Some("install a driver".to_owned());
        assert_eq!(chosen("auto", &entries), "flex");
        for word in ["gpu", "wgpu", "wgpu:software", "wgpu:discrete:0"] {
            let error = choose_on(word, &entries).unwrap_err().to_string();
            assert!(error.contains("install a driver"), "{error}");
        }
    }

    #[test]
    fn the_mark_agrees_with_the_choice() {
        for more in [
            vec![],
            vec![("wgpu:software", DeviceKind::Software)],
            vec![
                ("wgpu:integrated:0", DeviceKind::Integrated),
                ("wgpu:software", DeviceKind::Software),
            ],
            vec![("wgpu:virtual:0", DeviceKind::Virtual)],
        ] {
            let mut entries = machine(&more);
            let choice = choose_on("auto", &entries).unwrap();
            mark_auto(&mut entries);
            let marked: Vec<_> = entries.iter().filter(|entry| entry.auto).collect();
            assert_eq!(marked.len(), 1);
            assert_eq!(marked[0].spec, choice.spec);
        }
    }

    #[test]
    fn cpu_devices_are_chosen_without_a_listing() {
        for word in ["cpu", "flex", "ndarray"] {
            choose(&word.parse().unwrap(), || {
                panic!("the drivers were asked for {word}")
            })
            .unwrap();
        }
    }
}
