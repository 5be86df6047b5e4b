//! Cells of many compartments: cables of cylinders, and cells of sections or of a traced morphology.
//!
//! [`CableCellConfig`] is `unit.kind = "cable"`: sections or an SWC file, channels, and the sites at which currents enter and
//! the cell is recorded.

mod cell;
mod config;
mod discretise;
mod geometry;
mod membrane;
mod model;
mod places;
mod plan;
mod regions;
mod scheme;
mod section;
mod site;
mod solve;
mod swc;
#[cfg(test)]
mod tests;

pub use config::{CableCellConfig, CableFile};
pub use membrane::Regions;
pub use model::{CableCell, CableCellDynamics};
pub use scheme::CableScheme;
pub use section::SectionConfig;
pub use site::{SiteDistances, Sites};
pub use solve::{Cable, CableDynamics};
pub use swc::{Morphology, MorphologyPoints};
