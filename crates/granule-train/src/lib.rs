//! Training, evaluation, checkpoints, run folders and reports for granule models.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
