//! The models on the CPU backends, their state, their file and inference.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "models/file.rs"]
mod file;
#[path = "models/gated.rs"]
mod gated;
#[path = "models/gradients.rs"]
mod gradients;
#[path = "models/inference.rs"]
mod inference;
#[path = "models/multi_granularity.rs"]
mod multi_granularity;
#[path = "models/network.rs"]
mod network;
#[path = "models/plan.rs"]
mod plan;
#[path = "models/rate.rs"]
mod rate;
#[path = "models/sequential.rs"]
mod sequential;
#[path = "models/state.rs"]
mod state;
#[path = "models/stepper.rs"]
mod stepper;
#[path = "models/support.rs"]
mod support;
