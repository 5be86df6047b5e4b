#![doc = include_str!("../README.md")]
//!
//! A device is named by a [`DeviceSpec`], a word such as `cpu`, `flex` or `wgpu:discrete:0`. The word means the same
//! thing in a configuration file, on a command line and in `GRANULE_DEVICE`. Cargo features decide what can be opened:
//! `ndarray`, `flex` and `wgpu` are on by default; `vulkan`, `metal` and `cuda` are not.
//!
//! An opened device never falls back to another one. A software adapter (llvmpipe, WARP) is used only when named.
//!
//! | word | opens |
//! | --- | --- |
//! | `auto` | a real GPU if there is one, else `cpu` |
//! | `cpu` | the faster CPU backend: `flex`, or `ndarray` where `flex` is not compiled |
//! | `gpu` | a real GPU or an error |
//! | `flex`, `ndarray` | that CPU backend |
//! | `wgpu` | the best real GPU through wgpu |
//! | `wgpu:discrete:0`, `wgpu:integrated:0`, `wgpu:virtual:0` | that adapter, counted per kind as `granule devices` lists it |
//! | `wgpu:software` | a software rasteriser, for tests |
//! | `vulkan…`, `metal…` | the same adapters, pinned to that graphics API |
//! | `cuda:0` | that CUDA device |
//!
//! # Failures
//!
//! A device that was opened can still fail: [`OpenDevice::guard`] runs work and gives [`DeviceError::OutOfMemory`],
//! [`DeviceError::Lost`] or [`DeviceError::Failed`] where the runtime of a GPU panics, [`OpenDevice::failure`] makes the same
//! of an error of Burn's.
//!
//! # Reproducibility
//!
//! `Device::seed` seeds one generator per CPU backend for the whole process, and the generators of two backends give
//! different numbers. On `flex` and `ndarray` the same operations give the same bits run after run, with one exception:
//! on `flex`, `sum` and `mean` over a whole tensor of 4 194 304 elements or more add up in an order that varies. Sum such
//! a tensor along an axis first.
//!
//! # Notes on drivers
//!
//! Where `XDG_RUNTIME_DIR` is unset, Mesa's device-select layer writes an error to standard error whenever Vulkan is asked
//! for its adapters. It is harmless; setting that variable avoids it. OpenGL is not used. Builds with the feature `vulkan`
//! compile kernels to SPIR-V, which llvmpipe does not run reliably.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod backend;
mod choice;
mod entry;
mod error;
#[doc(hidden)]
pub mod fault;
mod guard;
mod open;
mod spec;

pub use entry::{DeviceEntry, DeviceKind, list, table};
pub use error::DeviceError;
pub use guard::answers_for;
pub use open::OpenDevice;
pub use spec::{Adapter, DEVICE_VARIABLE, DeviceSpec};
