use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::{BalloonWindkessel, BalloonWindkesselField};
use crate::model::{Clock, Dynamics, Field, Model};
use crate::solver::Solver;
use crate::system::System;
use crate::{DynamicsError, State, Variable};

/// Any model with the haemodynamic response to what it shows: one BOLD signal for each of its outputs.
///
/// The state is the model's, then that of the [`BalloonWindkessel`]. During a step the response is driven by the mean of the
/// activity at its beginning and its end. Observed: the BOLD signals.
#[derive(Module, Debug)]
pub struct WithBold<M: Module, V> {
    /// What is active.
    pub model: M,
    /// The response.
    pub response: BalloonWindkessel,
    #[module(skip)]
    solver: V,
}

impl<M: Model + ModuleDisplay, V: Solver + Clone + 'static> WithBold<M, V> {
    /// Adds `response`, moved by `solver`, to `model`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] when `response` has not as many nodes as the model has outputs.
    pub fn new(model: M, response: BalloonWindkessel, solver: V) -> Result<Self, DynamicsError> {
        let outputs = model.dynamics()?.observe(&model.initial_state(1)?).dims()[1];
        let nodes = response.field()?.nodes();
        if outputs != nodes {
            return Err(DynamicsError::Shape {
                what: "the haemodynamic response (nodes)".into(),
                expected: vec![outputs],
                found: vec![nodes],
            });
        }
        Ok(Self {
            model,
            response,
            solver,
        })
    }
}

impl<M: Model + ModuleDisplay, V: Solver + Clone + 'static> Model for WithBold<M, V> {
    type Dynamics = WithBoldDynamics<M::Dynamics, V>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let model = self.model.dynamics()?;
        let response = self.response.field()?;
        let own = response.variables().iter().cloned().map(|mut variable| {
            variable.name = format!("bold.{}", variable.name);
            variable
        });
        Ok(WithBoldDynamics {
            variables: model.variables().iter().cloned().chain(own).collect(),
            model,
            response,
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let model = self.model.initial_state(batch)?.into_tensors();
        let response = self.response.initial_state(batch)?.into_tensors();
        Ok(State::new(model.into_iter().chain(response).collect()))
    }
}

/// [`WithBold`] with its parameters' values.
pub struct WithBoldDynamics<D, V> {
    /// What is active.
    pub model: D,
    /// The response.
    pub response: BalloonWindkesselField,
    solver: V,
    variables: Vec<Variable>,
}

impl<D: Dynamics, V: Solver> WithBoldDynamics<D, V> {
    /// The model's state and that of the response.
    pub fn split(&self, state: &State) -> (State, State) {
        let (model, response) = state.tensors().split_at(self.model.variables().len());
        (State::new(model.to_vec()), State::new(response.to_vec()))
    }
}

impl<D: Dynamics, V: Solver> Dynamics for WithBoldDynamics<D, V> {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let (before, response) = self.split(state);
        let after = self.model.step(at, &before, input)?;
        let activity = self.model.observe(&before) + self.model.observe(&after);
        let activity = activity.mul_scalar(0.5);
        let response = self
            .solver
            .step(&self.response, at, &response, Some(&activity))?;
        let tensors = after
            .into_tensors()
            .into_iter()
            .chain(response.into_tensors());
        Ok(State::new(tensors.collect()))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.response.observe(&self.split(state).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NoInput;
    use crate::simulate::{Grid, record};
    use crate::solver::Rk4;
    use crate::system::testing::{model_gradients_agree, trace};
    use crate::system::{
        BalloonWindkesselConfig, Delays, Integrated, LinearSystemConfig, NetworkConfig,
        ReducedWongWangConfig,
    };
    use crate::testing::{assert_close, f64_place};
    use crate::{Place, host};

    fn network(place: &Place) -> impl Model + ModuleDisplay + use<> {
        let nodes = ReducedWongWangConfig {
            nodes: 2,
            initial: vec![vec![0.1, 0.3].into()],
            trainable: vec!["background".into()],
            ..Default::default()
        };
        let config = NetworkConfig {
            weights: vec![vec![0.0, 0.7], vec![0.2, 0.0]],
            delays: Delays::Uniform(20.0),
            dt: 10.0,
            trainable: vec!["strength".into(), "weights".into()],
            ..Default::default()
        };
        let network = config.init(nodes.init(place).unwrap(), Rk4, place).unwrap();
        let response = BalloonWindkesselConfig {
            nodes: 2,
            trainable: vec!["efficacy".into(), "transit_time".into()],
            ..Default::default()
        };
        WithBold::new(network, response.init(place).unwrap(), Rk4).unwrap()
    }

    #[test]
    fn constant_activity_gives_the_response_of_the_balloon_alone() {
        let place = f64_place();
        let still = LinearSystemConfig {
            a: vec![vec![0.0]],
            b: Vec::new(),
            initial: 0.8.into(),
            ..Default::default()
        };
        let response = BalloonWindkesselConfig::default();
        let model = Integrated::new(still.init(&place).unwrap(), Rk4);
        let model = WithBold::new(model, response.init(&place).unwrap(), Rk4).unwrap();
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 50.0,
            steps: 100,
        };
        let initial = model.initial_state(1).unwrap();
        let (seen, _) = record(&model.dynamics().unwrap(), initial, &NoInput, &grid).unwrap();
        let activity = crate::model::ConstantInput(place.full(0.8, [1, 1]));
        let (alone, _) = trace(&response.init(&place).unwrap(), &activity, 50.0, 100);
        for (found, expected) in host(seen).unwrap().into_iter().zip(alone) {
            assert_close(found, expected[0], 1e-14);
        }
    }

    #[test]
    fn gradients_reach_the_network_through_the_response() {
        model_gradients_agree(network, &[0.05, 0.0, 0.02, 0.03], 10.0, 40);
    }

    #[test]
    fn a_response_of_another_width_is_an_error() {
        let place = f64_place();
        let model = Integrated::new(LinearSystemConfig::default().init(&place).unwrap(), Rk4);
        let response = BalloonWindkesselConfig::default().init(&place).unwrap();
        let error = WithBold::new(model, response, Rk4).unwrap_err();
        assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
    }
}
