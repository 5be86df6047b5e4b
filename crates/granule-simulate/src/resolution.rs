//! Whether a run's steps resolve its model, and how long they take.

use super::config::ExperimentConfig;
use granule_dynamics::composite::MultiGranularityConfig;
use granule_dynamics::resolution::Step;
use granule_dynamics::solver::SolverKind;
use granule_dynamics::unit::UnitConfig;

impl ExperimentConfig {
    /// What there is to say of steps that are too long, or take long, one sentence each.
    pub(super) fn too_long(&self) -> Vec<String> {
        let own = |model, shortest, default| Step {
            field: "dt".into(),
            dt: self.dt,
            solver: self.solver.unwrap_or(default),
            model,
            shortest,
        };
        // Steps within dt that follow the error need no limit.
        let adaptive = self.rtol.is_some() || self.atol.is_some();
        let mut steps = Vec::new();
        if let (Some(unit), false) = (&self.unit, adaptive) {
            let method = match unit {
                UnitConfig::Cable(_) => SolverKind::BackwardEuler,
                _ => SolverKind::Rk4,
            };
            steps.push(own(unit.name(), unit.shortest_time_constant(), method));
        }
        if let (Some(system), false) = (&self.system, adaptive) {
            let shortest = system.shortest_time_constant();
            steps.push(own(system.kind(), shortest, SolverKind::Rk4));
        }
        if let Some(network) = &self.network {
            let shortest = network.synaptic_time_constant.min(network.time_constant);
            steps.push(own("its synapses", Some(shortest), SolverKind::Rk4));
        }
        let neurons = self.populations().iter();
        for (population, unit) in neurons.filter_map(|own| Some((own, own.neuron(self.seed)?))) {
            let method = own(unit.name(), unit.shortest_time_constant(), SolverKind::Rk4);
            steps.push(Step {
                solver: population.solver_of(&unit),
                ..method
            });
        }
        let mut warnings: Vec<String> = steps.into_iter().filter_map(Step::warning).collect();
        warnings.extend(self.unit.as_ref().and_then(|unit| unit.doubt("unit")));
        if let Some(composite) = &self.composite {
            let own = MultiGranularityConfig {
                dt: self.dt,
                ..composite.clone()
            };
            warnings.extend(own.too_long("composite"));
        }
        warnings
    }
}
