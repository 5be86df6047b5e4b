//! Loading data sets from files: good ones, bad ones, random ones, and the real ones where they are present.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "data/arrays.rs"]
mod arrays;
#[path = "data/cifar.rs"]
mod cifar;
#[path = "data/containers.rs"]
mod containers;
#[path = "data/decoding.rs"]
mod decoding;
#[path = "data/folder.rs"]
mod folder;
#[path = "data/idx.rs"]
mod idx;
#[path = "data/idx_set.rs"]
mod idx_set;
#[path = "data/inspect.rs"]
mod inspect;
#[path = "data/memory.rs"]
mod memory;
#[path = "data/numpy.rs"]
mod numpy;
#[path = "data/nwb.rs"]
mod nwb;
#[path = "data/parquet.rs"]
mod parquet;
#[path = "data/patch_clamp.rs"]
mod patch_clamp;
#[path = "data/real.rs"]
mod real;
#[path = "data/sonata.rs"]
mod sonata;
#[path = "data/split.rs"]
mod split;
#[path = "data/support.rs"]
mod support;
#[path = "data/tables.rs"]
mod tables;
#[path = "data/targets.rs"]
mod targets;
#[path = "data/volumes.rs"]
mod volumes;
