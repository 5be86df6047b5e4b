//! What all cells have in common: their configurations and their populations.

use std::sync::Arc;

use super::Observed;
use super::cable::SiteDistances;
use super::channel::ChannelTable;
use crate::quantity::Constant;
use crate::solver::Solver;
use crate::{DynamicsError, Place};

/// What the configurations of all cells have in common.
pub(super) trait Unit: Default {
    /// What it makes.
    type Model: Population;

    /// The unit of the current.
    const CURRENT: &'static str;

    /// Whether the step is exact, so that no solver is asked.
    const EXACT: bool = false;

    /// The channels of a published cell, which are in the library.
    const PUBLISHED: Option<fn() -> ChannelTable> = None;

    /// `UnitConfig::shortest_time_constant`.
    fn shortest_time_constant(&self) -> Option<f64> {
        None
    }

    /// `UnitConfig::doubt`.
    fn doubt(&self, table: &str) -> Option<String> {
        let _ = table;
        None
    }

    /// `UnitConfig::spike_threshold`.
    fn spike_threshold(&self) -> Option<f64> {
        None
    }

    /// The method of cells that bring their own, and its key.
    fn own_method(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// How many currents enter, where that is not one for each cell.
    fn inputs(&self) -> Option<usize> {
        None
    }

    /// Where a parameter stands in the configuration.
    fn places(&self, name: &str) -> Places {
        Places::Whole(format!("unit.parameters.{name}"))
    }

    /// Makes the population.
    fn build(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Self::Model, DynamicsError>;
}

/// Where the values of a parameter stand in a configuration, as dotted paths with the places of elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Places {
    /// All of them at one path.
    Whole(String),
    /// Those of the regions of a cell.
    Regions {
        /// Everywhere that one value for all of them stands.
        shared: Vec<String>,
        /// Where that of each region stands, where they differ.
        each: Vec<Region>,
    },
    /// No setting would make the same cell.
    Nowhere,
}

/// Where the value of a region stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Region {
    At(String),
    /// The region is without it, whatever is learnt.
    Without,
    /// It shares a setting with other regions.
    Nowhere,
}

/// What the populations of all cells have in common.
pub(crate) trait Population {
    /// The parameters by their names in configuration files.
    fn constants(&self) -> Vec<(&'static str, &Constant)>;

    /// The constant part of the current, and its unit.
    fn current(&self) -> (&Constant, &'static str);

    /// The state at the beginning, of the variables for which it is given.
    fn initial_values(&self) -> Vec<(&'static str, &Constant)>;

    /// The section that messages name with a parameter.
    fn section(&self) -> &'static str {
        "unit.parameters"
    }

    /// What is recorded.
    fn observed(&self) -> Observed;

    /// How many currents enter, where that is not one for each cell.
    fn inputs(&self) -> Option<usize> {
        None
    }

    /// How many of `all` variables, the first ones, are of interest.
    fn shown(&self, all: usize) -> usize {
        all
    }

    /// How far what is shown is from all of it, where that is sites of one cell.
    fn distances(&self) -> &[SiteDistances] {
        &[]
    }
}
