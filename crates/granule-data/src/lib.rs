#![doc = include_str!("../README.md")]
//!
//! [`load`] turns a [`DatasetSpec`] into a [`Dataset`] of two [`Split`]s. Pixels stay `u8` in memory;
//! [`Split::gather`] writes normalised, and in training augmented, `f32` samples.
//!
//! [`task`] makes the trials that rate networks are trained on: decisions, memories, rhythms and intervals.
//!
//! # Features
//! - `fetch` (default): download of the published files over HTTPS.
//! - `burn` (default): Burn's `Dataset` trait for [`Split`].
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arrays;
pub mod augment;
#[cfg(feature = "burn")]
pub mod burn_dataset;
mod cifar;
mod constants;
mod data_dir;
mod dataset;
pub mod decoding;
mod division;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod fingerprint;
mod fold;
mod folder;
pub mod idx;
mod idx_set;
mod load;
mod moments;
mod normalization;
pub mod numbers;
mod parquet;
pub mod patch_clamp;
pub mod pickle;
pub mod preview;
mod progress;
mod reading;
pub mod recording;
pub mod registry;
mod shared;
mod spec;
mod split;
pub mod sonata {
    //! Edges of circuits in SONATA files.
    pub use crate::decoding::store::sonata::{EdgeRequest, Edges, read_edges};
}
pub mod synthetic;
pub mod task;
mod text;

pub use augment::{Augmentation, AugmentationKey};
pub use data_dir::{data_dir, dataset_dir};
pub use dataset::Dataset;
pub use decoding::DecodingConfig;
pub use error::DataError;
pub use fold::Fold;
pub use folder::{ImageOptions, Truncated};
pub use load::{LoadOptions, load};
pub use normalization::Normalization;
pub use progress::{Progress, Silent};
pub use recording::Recording;
pub use spec::DatasetSpec;
pub use split::{Features, Shape, Split, Targets};
