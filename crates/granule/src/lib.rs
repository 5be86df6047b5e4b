//! Train, simulate and ship neural models on any CPU or GPU, on Burn.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
