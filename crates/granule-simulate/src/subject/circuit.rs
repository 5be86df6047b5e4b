//! Networks as populations and projections.

use super::super::config::ExperimentConfig;
use super::{Firing, Subject, again, unit, within};
use granule_dynamics::circuit::CircuitConfig;
use granule_dynamics::model::Model;
use granule_dynamics::{DynamicsError, Place};

impl Subject {
    pub(super) fn circuit(
        settings: &CircuitConfig,
        config: &ExperimentConfig,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        if let Some(solver) = config.solver {
            let allowed = "none: each population names its own";
            return Err(DynamicsError::config("solver", solver, allowed));
        }
        let circuit = settings
            .init(config.dt, config.seed, place)
            .map_err(|error| within("circuit", error))?;
        let initial = circuit.initial_state(1)?;
        let groups = circuit.groups();
        let firing = groups.iter().map(|group| {
            let firing = Firing::Counted {
                count: group.count,
                since: group.since,
                interval: group.interval,
            };
            (0, firing)
        });
        let once = groups.iter().map(|group| {
            let mut all = settings.populations.iter();
            let neuron = all
                .find(|own| own.name == group.name)?
                .neuron(config.seed)?;
            unit::fires_once(&neuron).then_some(config.dt)
        });
        Ok(Self {
            shown: circuit.shown(),
            firing: firing.collect(),
            groups: groups
                .iter()
                .map(|group| (group.name.clone(), group.cells))
                .collect(),
            fires_once: once.collect(),
            doubts: circuit
                .unconnected()
                .iter()
                .map(|name| format!("{name} has no connections: look at its rule and at the sizes of its populations"))
                .collect(),
            ..Self::plain(
                again(circuit.clone()),
                initial,
                circuit.inputs()?,
                "by population".into(),
            )?
        })
    }
}
