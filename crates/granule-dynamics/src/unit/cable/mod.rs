//! Cells of many compartments: cables of cylinders, and cells of sections or of a traced morphology.
//!
//! [`CableCellConfig`] is `unit.model = "cable"`: sections or an SWC file, channels, and the sites at which currents enter and
//! the cell is recorded. [`CableConfig`] is the layer below, a list of compartments for a program.

mod cell;
mod compartments;
mod discretise;
mod file;
mod geometry;
mod model;
mod places;
mod plan;
mod regions;
mod section;
mod site;
mod solve;
mod swc;
#[cfg(test)]
mod tests;

pub use cell::CableCellConfig;
pub use compartments::{CableConfig, CableScheme, Compartment};
pub use file::CableFile;
pub use model::{CableCell, CableCellDynamics, Regions};
pub use section::SectionConfig;
pub use site::{SiteDistances, Sites};
pub use solve::{Cable, CableDynamics, CompartmentField, Membrane};
pub use swc::{Morphology, MorphologyPoints};
