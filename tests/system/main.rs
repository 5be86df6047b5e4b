//! The `granule` binary from outside, as a user or a script meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod compute;
mod configuration;
mod decoding;
mod devices;
mod eval;
mod failure;
mod help;
mod images;
mod interchange;
mod interrupt;
mod levels;
mod limits;
mod meaning;
mod pipes;
mod predict;
mod probe;
mod quick_start;
mod real;
mod resume;
mod runs;
mod sequential;
mod simulate;
mod stored;
mod support;
mod task;
