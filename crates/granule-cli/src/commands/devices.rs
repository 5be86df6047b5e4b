//! `granule devices`.

use granule::device::{DeviceEntry, list};

use crate::args;
use crate::output;

pub fn run(args: &args::Devices) -> anyhow::Result<()> {
    let entries = list();
    if args.json {
        return entries.iter().try_for_each(output::json);
    }
    output::line(&table(&entries))?;
    output::line("")?;
    for entry in &entries {
        if let Some(note) = note(entry) {
            output::line(&format!("{}: {note}", entry.spec))?;
        }
    }
    Ok(())
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
