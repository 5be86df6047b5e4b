//! Compute devices chosen at run time: naming, listing and opening Burn backends.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
