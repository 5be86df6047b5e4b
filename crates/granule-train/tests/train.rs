//! Whole runs on small data, on every backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "train/checkpoints.rs"]
mod checkpoints;
#[path = "train/common.rs"]
mod common;
#[path = "train/compute.rs"]
mod compute;
#[path = "train/documents.rs"]
mod documents;
#[path = "train/evaluation.rs"]
mod evaluation;
#[path = "train/failure.rs"]
mod failure;
#[path = "train/fine_tune.rs"]
mod fine_tune;
#[path = "train/impossible.rs"]
mod impossible;
#[path = "train/learning.rs"]
mod learning;
#[path = "train/overhead.rs"]
mod overhead;
#[path = "train/own_model.rs"]
mod own_model;
#[path = "train/own_objective.rs"]
mod own_objective;
#[path = "train/recordings.rs"]
mod recordings;
#[path = "train/resume.rs"]
mod resume;
#[path = "train/scales.rs"]
mod scales;
#[path = "train/small_sets.rs"]
mod small_sets;
#[path = "train/start.rs"]
mod start;
#[path = "train/steps.rs"]
mod steps;
#[path = "train/tasks.rs"]
mod tasks;
