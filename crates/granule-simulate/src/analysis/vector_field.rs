//! The vector field of an experiment, whichever model it is of.

use burn::tensor::Tensor;
use granule_dynamics::model::{Clock, Input};
use granule_dynamics::solver::SolverKind;
use granule_dynamics::{
    DynamicsError, HostField, Place, Variable, host, jacobian_by_differences, rows_of_state,
    state_of_rows, tangent_by_differences,
};

use crate::config::ExperimentConfig;
use crate::run::{Driven, Experiment};
use crate::subject::{Body, Firing};

/// The equations dx/dt = f(x) of an [`ExperimentConfig`] with its stimulus held as it is at one time, in double precision.
///
/// f is what an explicit Euler step adds to the state, divided by the step; the Jacobian is taken by central differences, good to
/// about eight digits.
pub struct VectorField {
    experiment: Experiment,
    place: Place,
    clock: Clock,
    /// The stimulus, `[1, channels]`.
    input: Option<Tensor<2>>,
    dimension: usize,
}

impl VectorField {
    /// The field of the experiment's model with the stimulus of the time `at`, ms; without one, of the last step.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for settings that are wrong, and for models whose steps are no solution of such equations:
    /// those of several levels, circuits, networks of cells with resets and cells with exact steps, with noise, or with delays.
    pub fn new(
        config: &ExperimentConfig,
        at: Option<f64>,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let refused = |found: &str, why: &str| {
            let allowed = format!("a model that is dx/dt = f(x): {why}");
            DynamicsError::config("model", found, allowed)
        };
        if config.network.is_some() {
            return Err(refused("network", "its cells have resets"));
        }
        if config.circuit.is_some() {
            let why = "what its projections have under way is none of its variables";
            return Err(refused("circuit", why));
        }
        if config.composite.is_some() {
            return Err(refused(
                "composite",
                "each of its levels has steps of its own",
            ));
        }
        if config
            .population
            .as_ref()
            .is_some_and(|own| own.shared_noise != 0.0)
        {
            return Err(refused("population.shared_noise", "noise is none"));
        }
        let mut config = config.of_all_variables();
        config.solver = Some(SolverKind::Euler);
        (config.rtol, config.atol) = (None, None);
        config.record.every = usize::MAX / 4;
        let experiment = config.init(place)?;
        let subject = &experiment.subject;
        if subject.shown < subject.body.dynamics().variables().len() {
            return Err(refused(
                "connectivity.delays",
                "what is under way between its nodes is none of its variables",
            ));
        }
        let fires = |(_, firing): &(usize, Firing)| matches!(firing, Firing::Counted { .. });
        if subject.firing.iter().any(fires) || !matches!(subject.body, Body::One(_)) {
            return Err(refused("unit", "it has a reset"));
        }
        let last = experiment.steps().saturating_sub(1);
        let step = match at {
            None => last,
            Some(at) if at.is_finite() && (0.0..=config.duration).contains(&at) => {
                ((at / config.dt) as usize).min(last)
            }
            Some(at) => {
                let allowed = format!("0 to {} ms", config.duration);
                return Err(DynamicsError::config("at", at, allowed));
            }
        };
        let clock = experiment.grid.clock(step);
        Ok(Self {
            input: Driven(&experiment.stimulus).at(clock),
            dimension: subject.initial.tensors().iter().map(|x| x.dims()[1]).sum(),
            clock,
            place: place.clone(),
            experiment,
        })
    }

    /// The variables of the state, one after the other.
    pub fn variables(&self) -> &[Variable] {
        self.experiment.subject.body.dynamics().variables()
    }

    /// What each number of the state is called, with its unit: `v`, or `v[2]` where there are several.
    pub fn names(&self) -> Vec<(String, &'static str)> {
        let columns = self.variables().iter().flat_map(|variable| {
            (0..variable.width).map(move |column| {
                let name = match variable.width {
                    1 => variable.name.clone(),
                    _ => format!("{}[{column}]", variable.name),
                };
                (name, variable.unit)
            })
        });
        columns.collect()
    }

    /// The state in which the experiment begins.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`].
    pub fn initial(&self) -> Result<Vec<f64>, DynamicsError> {
        let tensors = self.experiment.subject.initial.tensors().iter();
        let values = tensors.map(|x| host(x.clone()));
        Ok(values.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// f of many states at once.
    ///
    /// # Errors
    ///
    /// Those of a step of the model.
    pub fn velocities(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, DynamicsError> {
        let state = state_of_rows(rows, self.variables(), &self.place);
        let dynamics = self.experiment.subject.body.dynamics();
        let next = dynamics.step(self.clock, &state, self.input.as_ref())?;
        let mut slopes = rows_of_state(next, rows.len())?;
        for (row, before) in slopes.iter_mut().zip(rows) {
            for (after, before) in row.iter_mut().zip(before) {
                *after = (*after - before) / self.clock.dt;
            }
        }
        Ok(slopes)
    }
}

/// The distance over which differences are taken at x.
fn reach(x: f64) -> f64 {
    f64::EPSILON.cbrt() * x.abs().max(1.0)
}

impl HostField for VectorField {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        Ok(self.velocities(&[x.to_vec()])?.concat())
    }

    fn jacobian(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        jacobian_by_differences(x, reach, |rows| self.velocities(rows))
    }

    fn tangent(&self, x: &[f64], direction: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let reach = reach(x.iter().fold(1.0, |m: f64, x| m.max(x.abs())));
        tangent_by_differences(x, direction, reach, |rows| self.velocities(rows))
    }
}
