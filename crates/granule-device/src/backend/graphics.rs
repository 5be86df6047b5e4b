//! Adapters reached through wgpu.
//!
//! Burn's `Auto` graphics API also asks OpenGL, whose drivers do not say which adapter is hardware, and its default
//! device obeys environment variables. Here the API is always pinned and the adapter always named, so that a word opens
//! the adapter it was listed under.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use burn::tensor::{
    Device, DeviceKind as Selector, try_read_sync,
    wgpu::{
        WgpuBackend,
        wgpu::{
            Adapter as WgpuAdapter, AdapterInfo, Backend, DeviceType, Instance, InstanceDescriptor,
            InstanceFlags,
        },
    },
};

use super::Opened;
use crate::{Adapter, DeviceEntry, DeviceKind, DeviceSpec};

/// Burn's own default. Given explicitly so that `CUBECL_WGPU_MAX_TASKS` has no say.
const TASKS_MAX: usize = 32;

/// A graphics API that Burn can compute through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Api {
    Vulkan,
    Metal,
    Dx12,
}

impl Api {
    /// What `wgpu` alone tries, in this order.
    const PREFERRED: &'static [Self] = if cfg!(target_vendor = "apple") {
        &[Self::Metal]
    } else if cfg!(windows) {
        &[Self::Vulkan, Self::Dx12]
    } else {
        &[Self::Vulkan]
    };

    fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "Vulkan",
            Self::Metal => "Metal",
            Self::Dx12 => "DirectX 12",
        }
    }

    fn backend(self) -> Backend {
        match self {
            Self::Vulkan => Backend::Vulkan,
            Self::Metal => Backend::Metal,
            Self::Dx12 => Backend::Dx12,
        }
    }

    fn pinned(self) -> WgpuBackend {
        match self {
            Self::Vulkan => WgpuBackend::Vulkan,
            Self::Metal => WgpuBackend::Metal,
            Self::Dx12 => WgpuBackend::Dx12,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Vulkan if cfg!(windows) => {
                "no Vulkan adapter was found; install the driver of the graphics card"
            }
            Self::Vulkan => {
                "no Vulkan adapter was found; install a Vulkan driver and loader \
                 (Debian and Ubuntu: `apt install libvulkan1 mesa-vulkan-drivers`)"
            }
            Self::Metal => "no Metal adapter was found; Metal exists on Apple systems only",
            Self::Dx12 => "no DirectX 12 adapter was found; DirectX exists on Windows only",
        }
    }
}

/// An adapter as the driver describes it. One that Burn has no selector for has no `adapter`.
#[derive(Clone, Debug)]
struct Found {
    adapter: Option<Adapter>,
    kind: DeviceKind,
    info: AdapterInfo,
}

/// The family of words that names an adapter.
type Naming = fn(Adapter) -> DeviceSpec;

#[derive(Default)]
struct State {
    probed: HashMap<Api, Arc<[Found]>>,
    opened: HashMap<(Api, Adapter), Opened>,
    instances: Vec<Instance>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Held while drivers are asked and while a device opens: the Vulkan loader crashes when instances come and go on
/// several threads.
fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn probe(&mut self, api: Api) -> Arc<[Found]> {
        if let Some(found) = self.probed.get(&api) {
            return found.clone();
        }
        let instance = Instance::new(InstanceDescriptor {
            backends: api.backend().into(),
            flags: InstanceFlags::empty(),
            ..InstanceDescriptor::new_without_display_handle()
        });
        let adapters =
            try_read_sync(instance.enumerate_adapters(api.backend().into())).unwrap_or_default();
        let found: Arc<[Found]> = number(adapters.iter().map(WgpuAdapter::get_info)).into();
        self.instances.push(instance);
        self.probed.insert(api, found.clone());
        found
    }

    /// The API that `wgpu` means: the first with hardware, else the first with anything.
    fn settle(&mut self) -> Api {
        let mut software = None;
        for &api in Api::PREFERRED {
            let found = self.probe(api);
            if found.iter().any(|found| found.kind != DeviceKind::Software) {
                return api;
            }
            if !found.is_empty() {
                software.get_or_insert(api);
            }
        }
        software.unwrap_or(Api::PREFERRED[0])
    }
}

/// Counts each kind from zero in the driver's order, as Burn does when it looks an index up.
fn number(adapters: impl Iterator<Item = AdapterInfo>) -> Vec<Found> {
    let mut counts = [0; 4];
    let mut next = |slot: usize| {
        let count = counts.get_mut(slot)?;
        *count += 1;
        Some(*count - 1)
    };
    adapters
        .map(|info| {
            let (adapter, kind) = match info.device_type {
                DeviceType::DiscreteGpu => (next(0).map(Adapter::Discrete), DeviceKind::Discrete),
                DeviceType::IntegratedGpu => {
                    (next(1).map(Adapter::Integrated), DeviceKind::Integrated)
                }
                DeviceType::VirtualGpu => (next(2).map(Adapter::Virtual), DeviceKind::Virtual),
                DeviceType::Cpu => (next(3).map(Adapter::Software), DeviceKind::Software),
                DeviceType::Other => (None, DeviceKind::Other),
            };
            Found {
                adapter,
                kind,
                info,
            }
        })
        .collect()
}

pub(super) fn entries() -> Vec<DeviceEntry> {
    let mut state = lock();
    let state = state.get_or_insert_default();
    let families: Vec<(Api, Naming)> = vec![
        (state.settle(), DeviceSpec::Wgpu),
        #[cfg(feature = "vulkan")]
        (Api::Vulkan, DeviceSpec::Vulkan),
        #[cfg(feature = "metal")]
        (Api::Metal, DeviceSpec::Metal),
    ];
    families
        .into_iter()
        .flat_map(|(api, spec)| describe(api, &state.probe(api), spec))
        .collect()
}

fn describe(api: Api, found: &[Found], spec: Naming) -> Vec<DeviceEntry> {
    let mut entries: Vec<DeviceEntry> = found
        .iter()
        .map(|found| {
            let note = match (found.adapter, found.kind) {
                (None, _) => {
                    Some("its driver does not say what kind of GPU it is, so it cannot be selected")
                }
                (Some(Adapter::Software(0)), _) => Some("for tests; used only when named"),
                (Some(Adapter::Software(_)), _) => {
                    Some("only the first software adapter can be opened")
                }
                _ => None,
            };
            DeviceEntry {
                spec: spec(found.adapter.unwrap_or_default()),
                backend: "wgpu",
                name: found.info.name.clone(),
                kind: found.kind,
                api: Some(api.name()),
                driver: driver(&found.info),
                available: !matches!(found.adapter, None | Some(Adapter::Software(1..))),
                auto: false,
                note: note.map(str::to_owned),
            }
        })
        .collect();
    if entries.is_empty() {
        entries.push(DeviceEntry {
            spec: spec(Adapter::Best),
            backend: "wgpu",
            name: "no adapter".to_owned(),
            kind: DeviceKind::Other,
            api: Some(api.name()),
            driver: None,
            available: false,
            auto: false,
            note: Some(api.advice().to_owned()),
        });
    }
    entries.sort_by_key(|entry| entry.kind);
    entries
}

fn driver(info: &AdapterInfo) -> Option<String> {
    let text = [info.driver.trim(), info.driver_info.trim()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    (!text.is_empty()).then_some(text)
}

pub(super) fn open(api: Option<Api>, adapter: Adapter) -> Result<Opened, String> {
    let mut state = lock();
    let state = state.get_or_insert_default();
    let api = api.unwrap_or_else(|| state.settle());
    if let Some(opened) = state.opened.get(&(api, adapter)) {
        return Ok(opened.clone());
    }
    let listed = state
        .probe(api)
        .iter()
        .find(|found| found.adapter == Some(adapter))
        .map(|found| found.info.clone())
        .ok_or_else(|| format!("{} lists no such adapter", api.name()))?;
    let kind = match adapter {
        Adapter::Discrete(index) => Selector::DiscreteGpu(index),
        Adapter::Integrated(index) => Selector::IntegratedGpu(index),
        Adapter::Virtual(index) => Selector::VirtualGpu(index),
        Adapter::Software(0) => Selector::Cpu,
        Adapter::Software(_) => {
            return Err("only the first software adapter can be opened".to_owned());
        }
        Adapter::Best => return Err("the adapter is not named".to_owned()),
    };
    let (device, setup) = Device::wgpu_options()
        .device_kind(kind)
        .graphics_api(api.pinned())
        .tasks_max(TASKS_MAX)
        .init_with_setup()
        .map_err(|error| error.to_string())?;
    let info = setup.adapter.get_info();
    if (
        &info.name,
        info.vendor,
        info.device,
        &info.device_pci_bus_id,
    ) != (
        &listed.name,
        listed.vendor,
        listed.device,
        &listed.device_pci_bus_id,
    ) {
        return Err(format!(
            "{} now hands out {} where it listed {}; start the program again",
            api.name(),
            info.name,
            listed.name
        ));
    }
    let opened = Opened {
        graphics: Some(setup.device),
        ..Opened::new(device, info.name)
    };
    state.opened.insert((api, adapter), opened.clone());
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_within_each_kind() {
        let types = [
            DeviceType::Cpu,
            DeviceType::IntegratedGpu,
            DeviceType::DiscreteGpu,
            DeviceType::Other,
            DeviceType::DiscreteGpu,
            DeviceType::VirtualGpu,
        ];
        let infos = types.map(|device_type| AdapterInfo::new(device_type, Backend::Vulkan));
        let found = number(infos.into_iter());
        let adapters: Vec<_> = found.iter().map(|found| found.adapter).collect();
        assert_eq!(
            adapters,
            [
                Some(Adapter::Software(0)),
                Some(Adapter::Integrated(0)),
                Some(Adapter::Discrete(0)),
                None,
                Some(Adapter::Discrete(1)),
                Some(Adapter::Virtual(0)),
            ]
        );
        let entries = describe(Api::Vulkan, &found, DeviceSpec::Wgpu);
        let words: Vec<_> = entries.iter().map(|entry| entry.spec.to_string()).collect();
        assert_eq!(
            words,
            [
                "wgpu:discrete:0",
                "wgpu:discrete:1",
                "wgpu:integrated:0",
                "wgpu:virtual:0",
                "wgpu:software",
                "wgpu"
            ]
        );
        let other = entries.last().unwrap();
        assert!(!other.available && other.note.is_some());
    }

    #[test]
    fn no_adapter_is_said_with_what_to_install() {
        let entries = describe(Api::Vulkan, &[], DeviceSpec::Wgpu);
        assert_eq!(entries.len(), 1);
        assert!(!entries[0].available && entries[0].note.as_ref().unwrap().contains("install"));
    }
}
