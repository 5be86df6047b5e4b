#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answered;
pub mod budget;
pub mod content;
mod document;
mod error;
pub mod held;
pub mod image;
pub mod intensity;
mod open;
pub mod path;
pub mod ranges;
mod read;
mod setting;
mod size;
pub mod table;
pub mod watch;
pub mod words;
mod write;

pub use answered::{answered, answers_for_panics};
pub use budget::MemoryError;
pub use document::{DocumentError, from_json, from_toml};
pub use error::FileError;
pub use intensity::{Intensity, IntensityError};
pub use open::{open_lock, open_regular};
pub use read::{Bound, open, read, read_text};
pub use setting::ConfigError;
pub use size::{ByteSize, ParseByteSizeError};
pub use write::{check_writable, is_temporary, write_atomic, write_atomic_with};
