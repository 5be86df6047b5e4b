//! What can go wrong between a device's name and an open device.

use std::fmt;

use thiserror::Error;

use crate::{DeviceEntry, DeviceSpec};

/// Why a device could not be named, opened or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A word names no device.
    #[error("no device is called `{value}`{}; accepted: {}", Meant(.nearest), accepted())]
    Spelling {
        /// What was given.
        value: String,
        /// The accepted word nearest to it, if one is near.
        nearest: Option<&'static str>,
    },
    /// An environment variable names no device.
    #[error(
        "the environment variable {variable} is `{value}`, which names no device{}; accepted: {}; \
         correct the variable or unset it",
        Meant(.nearest), accepted()
    )]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The accepted word nearest to it, if one is near.
        nearest: Option<&'static str>,
    },
    /// The build does not contain the backend.
    #[error(
        "`{spec}` is not compiled into this build; build with `--features {feature}`, or use {}{}",
        Instead(.found), Found(.found)
    )]
    NotCompiled {
        /// The device asked for.
        spec: DeviceSpec,
        /// The cargo feature that adds it.
        feature: &'static str,
        /// The devices of this machine and build.
        found: Vec<DeviceEntry>,
    },
    /// The machine does not have the device.
    #[error("no device `{spec}` here: {reason}; use {}{}", Instead(.found), Found(.found))]
    Absent {
        /// The device asked for.
        spec: DeviceSpec,
        /// What was looked for and not found.
        reason: String,
        /// The devices of this machine and build.
        found: Vec<DeviceEntry>,
    },
    /// The device is there, but its driver or runtime turned it down.
    #[error("`{spec}` could not be opened: {reason}; use {}{}", Instead(.found), Found(.found))]
    Refused {
        /// The device asked for.
        spec: DeviceSpec,
        /// What the driver or the runtime said.
        reason: String,
        /// The devices of this machine and build.
        found: Vec<DeviceEntry>,
    },
    /// An open device has no memory left for a buffer, or cannot hold one so large.
    #[error(
        "the device `{spec}` is out of memory{}; use a smaller batch, which train.accumulate makes up for, a smaller \
         model, or another device", Buffer(.buffer)
    )]
    OutOfMemory {
        /// The open device.
        spec: DeviceSpec,
        /// The bytes of the buffer asked for, where that is known.
        buffer: Option<u64>,
    },
    /// An open device is gone: its driver was reset, a kernel ran over the time that the system gives it, or it was taken
    /// out. The process can no longer use it.
    #[error(
        "the device `{spec}` was lost while it was working ({reason}), as after a reset of its driver or a kernel that ran \
         too long; start the program again, on another device if that repeats"
    )]
    Lost {
        /// The open device.
        spec: DeviceSpec,
        /// What the runtime said.
        reason: String,
    },
    /// Work already handed to an open device failed.
    #[error(
        "the device `{spec}` failed while it was working: {reason}; what it computed since is lost. Try again, on another \
         device or with a newer driver if that repeats"
    )]
    Failed {
        /// The open device.
        spec: DeviceSpec,
        /// What the runtime said.
        reason: String,
    },
}

impl DeviceError {
    /// Whether a device that was open failed, rather than that none could be opened.
    #[must_use]
    pub fn is_of_open_device(&self) -> bool {
        matches!(
            self,
            Self::OutOfMemory { .. } | Self::Lost { .. } | Self::Failed { .. }
        )
    }
}

struct Buffer<'a>(&'a Option<u64>);

impl fmt::Display for Buffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => {
                write!(
                    f,
                    ": it cannot hold a buffer of {:.0} MiB",
                    *bytes as f64 / 1_048_576.0
                )
            }
            None => Ok(()),
        }
    }
}

fn accepted() -> String {
    DeviceSpec::WORDS.join(", ")
}

/// The accepted word that `text` most likely meant.
pub(crate) fn nearest(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    if ["llvmpipe", "lavapipe", "software", "swiftshader", "warp"].contains(&text.as_str()) {
        return Some("wgpu:software");
    }
    DeviceSpec::WORDS
        .into_iter()
        .map(|word| (strsim::osa_distance(&text, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
        .or_else(|| nearest_backend(&text))
}

/// The shortest word of the backend whose name is near.
fn nearest_backend(text: &str) -> Option<&'static str> {
    let backend = |word: &'_ str| word.split(':').next().unwrap_or_default().to_owned();
    let found = backend(text);
    DeviceSpec::WORDS
        .into_iter()
        .map(|word| (strsim::osa_distance(&found, &backend(word)), word))
        .filter(|(distance, _)| *distance <= 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

struct Meant<'a>(&'a Option<&'static str>);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(word) => write!(f, "; did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

/// The words to type instead.
struct Instead<'a>(&'a [DeviceEntry]);

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self
            .0
            .iter()
            .filter(|entry| entry.available)
            .map(|entry| format!("`{}`", entry.spec))
            .collect();
        if words.is_empty() {
            return f
                .write_str("a build with at least one of the cargo features flex, ndarray, wgpu");
        }
        f.write_str(&words.join(" or "))
    }
}

/// What those words would open.
struct Found<'a>(&'a [DeviceEntry]);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found: Vec<String> = self
            .0
            .iter()
            .filter(|entry| entry.available)
            .map(|entry| format!("{} = {}", entry.spec, entry.name))
            .collect();
        if found.is_empty() {
            Ok(())
        } else {
            write!(f, " (found: {})", found.join("; "))
        }
    }
}
