//! One level: a model with its own step and solver.

use std::sync::Arc;

use burn::module::Module;

use crate::model::{Dynamics, Model};
use crate::population::RateNetwork;
use crate::solver::Solver;
use crate::system::{Integrated, System, SystemModel};
use crate::unit::UnitModel;
use crate::{DynamicsError, QuantityKind, State, Variable};

/// A level of a [`super::MultiGranularityModel`].
#[derive(Module, Debug)]
pub struct Level {
    /// What moves.
    pub model: LevelModel,
}

/// The model of a level, by its granularity.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a handful of levels, and Burn's modules cannot be boxed"
)]
pub enum LevelModel {
    /// Single neurons.
    Unit(UnitModel),
    /// A rate network.
    Population(RateNetwork),
    /// A whole system.
    System(Integrated<SystemModel, Arc<dyn Solver>>),
}

impl Level {
    pub(super) fn dynamics(&self) -> Result<Box<dyn Dynamics>, DynamicsError> {
        Ok(match &self.model {
            LevelModel::Unit(cells) => cells.dynamics()?,
            LevelModel::Population(network) => Box::new(network.dynamics()?),
            LevelModel::System(system) => Box::new(system.dynamics()?),
        })
    }

    pub(super) fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        match &self.model {
            LevelModel::Unit(cells) => cells.initial_state(batch),
            LevelModel::Population(network) => network.initial_state(batch),
            LevelModel::System(system) => system.initial_state(batch),
        }
    }

    /// The input's channels: their units, and one variable for each group of columns.
    pub(super) fn inputs(&self) -> Result<Vec<Variable>, DynamicsError> {
        Ok(match &self.model {
            LevelModel::Unit(cells) => vec![cells.input()?],
            LevelModel::Population(network) => {
                vec![Variable::new("input", "1", network.inputs())]
            }
            LevelModel::System(system) => system.system.field()?.inputs().to_vec(),
        })
    }

    /// What `output` is of this level: rates of a population, what cells show, the activity of a system.
    pub(super) fn output(&self) -> Result<Variable, DynamicsError> {
        Ok(match &self.model {
            LevelModel::Unit(cells) => cells.output()?,
            LevelModel::Population(network) => {
                Variable::new("output", "1", network.units()).of_kind(QuantityKind::Rate)
            }
            LevelModel::System(system) => system.system.field()?.activity(),
        })
    }
}
