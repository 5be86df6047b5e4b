//! One room per command.

pub mod analyze;
pub mod bench;
pub mod compare;
pub mod completions;
pub mod config;
pub mod data;
mod decoder;
pub mod detect;
pub mod devices;
pub mod eval;
mod exchange;
pub mod export;
mod findings;
pub mod import;
pub mod importance;
pub mod predict;
pub mod presets;
pub mod probe;
pub mod receptive_fields;
pub mod report;
mod result;
pub mod runs;
mod series;
pub mod simulate;
pub mod target;
mod tested;
pub mod train;
