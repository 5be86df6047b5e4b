//! `granule devices`.

use granule::device::{DeviceEntry, DeviceKind, list};
use granule::ops::FUSED;
use serde::Serialize;

use crate::args;
use crate::output;

pub fn run(args: &args::Devices) -> anyhow::Result<()> {
    let entries = list();
    if args.json {
        return entries.iter().try_for_each(|entry| {
            output::json(&Listed {
                entry,
                fused: fused(entry.kind),
            })
        });
    }
    output::line(&table(&entries))?;
    output::line("")?;
    for entry in &entries {
        if let Some(note) = note(entry) {
            output::line(&format!("{}: {note}", entry.spec))?;
        }
    }
    let kinds = |cpu: bool| {
        entries
            .iter()
            .map(|entry| entry.kind)
            .find(|kind| (*kind == DeviceKind::Cpu) == cpu)
    };
    for (place, kind) in [("on CPUs", kinds(true)), ("on GPUs, in f32", kinds(false))] {
        let fused = kind.map(fused).unwrap_or_default();
        if !fused.is_empty() {
            output::line(&format!("fused {place}: {}", fused.join(", ")))?;
        }
    }
    Ok(())
}

/// A device and the operations that have a kernel of granule's own there.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    entry: &'a DeviceEntry,
    fused: Vec<&'static str>,
}

/// The operations that have a kernel of granule's own on such a device.
fn fused(kind: DeviceKind) -> Vec<&'static str> {
    let has = FUSED.iter().filter(|fused| match kind {
        DeviceKind::Cpu => fused.cpu,
        _ => fused.gpu,
    });
    has.map(|fused| fused.operation).collect()
}

fn table(entries: &[DeviceEntry]) -> String {
    let dash = |text: Option<&str>| text.unwrap_or("-").to_string();
    let mut rows = vec![
        ["  DEVICE", "NAME", "KIND", "API", "DRIVER"]
            .map(String::from)
            .to_vec(),
    ];
    rows.extend(entries.iter().map(|entry| {
        vec![
            format!("{} {}", if entry.auto { '*' } else { ' ' }, entry.spec),
            entry.name.clone(),
            entry.kind.to_string(),
            dash(entry.api),
            dash(entry.driver.as_deref()),
        ]
    }));
    output::columns(&rows)
}

/// What the columns do not say.
fn note(entry: &DeviceEntry) -> Option<String> {
    match (&entry.note, entry.available) {
        (Some(note), true) => Some(note.clone()),
        (Some(note), false) => Some(format!("unavailable: {note}")),
        (None, true) => None,
        (None, false) => Some("unavailable".to_string()),
    }
}
