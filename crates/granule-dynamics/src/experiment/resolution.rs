//! Whether a run's steps resolve its model.

use super::config::ExperimentConfig;
use crate::simulate::Number;
use crate::solver::SolverKind;

/// Steps of a method, beside those of a Runge–Kutta method of second order or higher: how many times as long they may be.
fn relative_step(solver: SolverKind) -> f64 {
    match solver {
        SolverKind::Euler | SolverKind::EulerMaruyama => 0.2,
        SolverKind::ExponentialEuler | SolverKind::BackwardEuler => 4.0,
        _ => 1.0,
    }
}

/// A step of the run and what it has to resolve.
struct Step<'a> {
    field: String,
    dt: f64,
    solver: SolverKind,
    model: &'a str,
    /// The model's shortest time constant, ms; none where its step is exact.
    shortest: Option<f64>,
}

impl Step<'_> {
    fn warning(self) -> Option<String> {
        let shortest = self.shortest.filter(|time| time.is_finite())?;
        let most = 0.5 * shortest * relative_step(self.solver);
        (self.dt > most * (1.0 + 1e-9)).then(|| {
            format!(
                "{} = {} ms is too long for {} with {}, whose shortest time constant is about {} ms: take at most {} ms, or \
                 do not trust the result",
                self.field,
                Number(self.dt),
                self.model,
                self.solver,
                rounded(shortest),
                rounded(most),
            )
        })
    }
}

/// With two or three digits.
fn rounded(value: f64) -> Number {
    let scale = 10_f64.powf(1.0 - value.log10().floor());
    Number((value * scale).floor() / scale)
}

impl ExperimentConfig {
    /// What there is to say of steps that are too long, one sentence each.
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
            steps.push(own(
                unit.name(),
                unit.shortest_time_constant(),
                SolverKind::Rk4,
            ));
        }
        if let (Some(system), false) = (&self.system, adaptive) {
            let shortest = system.shortest_time_constant();
            steps.push(own(system.kind(), shortest, SolverKind::Rk4));
        }
        if let Some(network) = &self.network {
            let shortest = network.synaptic_time_constant.min(network.time_constant);
            steps.push(own("its synapses", Some(shortest), SolverKind::Rk4));
        }
        for level in self
            .composite
            .iter()
            .flat_map(|composite| &composite.levels)
        {
            let of = |model, shortest, default| Step {
                field: format!("composite.level.{}.dt", level.name),
                dt: level.dt.unwrap_or(self.dt),
                solver: level.solver.unwrap_or(default),
                model,
                shortest,
            };
            if let Some(unit) = &level.unit {
                let shortest = unit.shortest_time_constant();
                steps.push(of(unit.name(), shortest, SolverKind::ExponentialEuler));
            }
            if let Some(system) = &level.system {
                let shortest = system.shortest_time_constant();
                steps.push(of(system.kind(), shortest, SolverKind::Rk4));
            }
        }
        steps.into_iter().filter_map(Step::warning).collect()
    }
}
