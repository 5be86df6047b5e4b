//! Single neurons.

use super::super::config::ExperimentConfig;
use super::{Firing, Method, Subject, again, counting};
use granule_dynamics::model::{Dynamics, Model};
use granule_dynamics::solver::SolverKind;
use granule_dynamics::unit::UnitConfig;
use granule_dynamics::{DynamicsError, Place, Variable};

impl Subject {
    pub(super) fn unit(
        settings: &UnitConfig,
        config: &ExperimentConfig,
        method: &Method,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let unit = spread(settings);
        if let (Some(solver), Some(steps)) = (config.solver, unit.own_steps()) {
            return Err(DynamicsError::config("solver", solver, steps));
        }
        let (solver, name) = method.solver(config.solver.unwrap_or(SolverKind::Rk4));
        let cells = unit.init(solver, place)?;
        let dynamics = cells.dynamics()?;
        let initial = cells.initial_state(1)?;
        let inputs = vec![cells.input()?];
        let firing = firing(&unit, dynamics.variables());
        let width = dynamics.variables().first().map_or(0, |v| v.width);
        let shown = cells.shown(dynamics.variables().len());
        let (group, solver) = match &unit {
            UnitConfig::Cable(cable) => ("sites", cable.scheme.name().into()),
            _ if unit.is_exact() => ("cells", "exact".into()),
            _ => ("cells", name),
        };
        Ok(Self {
            shown,
            distances: cells.site_distances().to_vec(),
            firing: firing.into_iter().map(|firing| (0, firing)).collect(),
            groups: vec![(group.into(), width)],
            fires_once: vec![fires_once(&unit).then_some(config.dt)],
            ..Self::plain(again(cells), initial, inputs, solver)?
        })
    }
}

/// A unit whose one cell has a list of currents is as many cells.
pub(crate) fn spread(unit: &UnitConfig) -> UnitConfig {
    let mut unit = unit.clone();
    if unit.inputs() > 1 {
        return unit;
    }
    let currents = unit.current().as_slice().len();
    if unit.cells() == 1 && currents > 1 {
        unit.set_cells(currents);
    }
    unit
}

/// How the spikes of cells show.
pub(super) fn firing(unit: &UnitConfig, variables: &[Variable]) -> Option<Firing> {
    match unit.spike_threshold() {
        Some(threshold) => Some(Firing::Threshold(threshold)),
        None => counting(variables),
    }
}

/// Whether a cell with a reset, whose crossings are looked for once in a step, fires at most once in it.
pub(super) fn fires_once(unit: &UnitConfig) -> bool {
    !unit.is_exact() && unit.spike_threshold().is_none()
}
