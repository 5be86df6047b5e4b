#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod border;
mod failure;
mod model;

pub use border::*;
pub use failure::Status;
pub use model::Model;
