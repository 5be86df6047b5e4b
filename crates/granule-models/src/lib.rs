//! Neural models as Burn modules, the granule model file, and inference.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
