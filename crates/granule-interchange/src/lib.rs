#![doc = include_str!("../README.md")]
//!
//! - [`FORMATS`] are the formats, a file and a line each; [`export`] writes one, [`import`] reads one; [`state_dict`] is what
//!   PyTorch would have in memory.
//! - [`names`] knows how a tensor is called, and how it lies, in PyTorch.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
mod exporting;
mod format;
mod importing;
pub mod names;
mod onnx;
mod weights;

pub use error::InterchangeError;
use exporting::Described;
pub use exporting::{export, state_dict};
pub use format::{FORMATS, Format};
pub use importing::{Imported, Template, import};
