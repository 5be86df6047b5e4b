//! The devices of this machine and build.

use std::fmt;

use serde::Serialize;

use crate::{DeviceSpec, backend, choice};

/// One device that this build could open, or sees and cannot open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceEntry {
    /// The word that opens it.
    pub spec: DeviceSpec,
    /// The Burn backend: `flex`, `ndarray`, `wgpu` or `cuda`.
    pub backend: &'static str,
    /// What the device calls itself.
    pub name: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
    /// The graphics API it is reached through: `Vulkan`, `Metal`, `DirectX 12`; none for a CPU backend.
    pub api: Option<&'static str>,
    /// The driver and its version.
    pub driver: Option<String>,
    /// Whether it can be opened.
    pub available: bool,
    /// Whether `auto` takes it.
    pub auto: bool,
    /// Why `auto` takes it, or why it cannot be opened, or what it is good for.
    pub note: Option<String>,
}

/// What sort of device an entry is, the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The CPU, through a CPU backend.
    Cpu,
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the memory of the host.
    Integrated,
    /// A GPU handed to a virtual machine.
    Virtual,
    /// A software rasteriser: a graphics API carried out on the CPU.
    Software,
    /// A GPU whose driver does not say what it is.
    Other,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "cpu",
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        })
    }
}

impl DeviceEntry {
    /// Whether the device is a GPU in hardware and can be opened.
    pub(crate) fn is_real_gpu(&self) -> bool {
        self.available
            && matches!(
                self.kind,
                DeviceKind::Discrete | DeviceKind::Integrated | DeviceKind::Virtual
            )
    }
}

/// Lists every backend compiled in and every adapter it sees, without opening any.
///
/// The first call asks the graphics drivers, and later ones repeat the answer: adapters that appear later are seen by
/// the next process. OpenGL is not asked, since its drivers do not say which adapter is hardware.
#[must_use]
pub fn list() -> Vec<DeviceEntry> {
    let mut entries = backend::inventory();
    choice::mark_auto(&mut entries);
    entries
}

/// The listing as text: one line a device, aligned columns, `*` before the one that `auto` takes.
///
/// ```text
///   DEVICE         NAME                  KIND      API     DRIVER  NOTE
/// * flex           flex (CPU, 2 threads) cpu       -       -       taken by auto: …
/// ```
#[must_use]
pub fn table(entries: &[DeviceEntry]) -> String {
    const HEAD: [&str; 6] = ["DEVICE", "NAME", "KIND", "API", "DRIVER", "NOTE"];
    let dash = |text: Option<&str>| {
        text.filter(|text| !text.is_empty())
            .unwrap_or("-")
            .to_owned()
    };
    let mut rows = vec![(' ', HEAD.map(str::to_owned))];
    rows.extend(entries.iter().map(|entry| {
        let mark = if entry.auto { '*' } else { ' ' };
        let note = match (&entry.note, entry.available) {
            (Some(note), false) => Some(format!("unavailable: {note}")),
            (None, false) => Some("unavailable".to_owned()),
            (note, true) => note.clone(),
        };
        let cells = [
            entry.spec.to_string(),
            entry.name.clone(),
            entry.kind.to_string(),
            dash(entry.api),
            dash(entry.driver.as_deref()),
            note.unwrap_or_default(),
        ];
        (mark, cells)
    }));
    let mut widths = [0; HEAD.len()];
    for (_, cells) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (mark, cells) in &rows {
        let mut line = format!("{mark} ");
        for (width, cell) in widths.iter().zip(cells) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_aligns_wide_cells_and_marks_auto() {
        let entry = |word: &str, name: &str, auto| DeviceEntry {
            spec: word.parse().unwrap(),
            backend: "some",
            name: name.to_owned(),
            kind: DeviceKind::Cpu,
            api: None,
            driver: Some(String::new()),
            available: !name.is_empty(),
            auto,
            note: Some("why".to_owned()),
        };
        let text = table(&[
            entry("flex", "Grafikkärtchen", true),
            entry("wgpu:discrete:0", "", false),
        ]);
        assert_eq!(
            text,
            "  DEVICE           NAME            KIND  API  DRIVER  NOTE\n\
             * flex             Grafikkärtchen  cpu   -    -       why\n  \
               wgpu:discrete:0                  cpu   -    -       unavailable: why\n"
        );
    }
}
