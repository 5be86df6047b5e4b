//! Looking into a network that was trained on a task: what its units do trial by trial, and what becomes of its answers where something
//! is done to them.
//!
//! [`PROBES`] has the ways by name; each takes a [`Request`] and gives [`Findings`](granule_simulate::analysis::Findings).
//! The network runs on the host, step by step ([`Stepper`](granule_models::Stepper)), on the trials that it is tested on.

mod activity;
mod choices;
mod demix;
mod demixed;
mod intervention;
mod recorded;
mod registry;
mod tuning;

pub use demix::{Component, Demixed, demix};
pub use intervention::{Interventions, Lesion, Perturbation, UnitSet};
pub use registry::{PROBES, Probe, Request};
