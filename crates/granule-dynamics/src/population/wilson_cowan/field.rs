use burn::tensor::Tensor;

use super::{PopulationValues, WilsonCowanPopulation};
use crate::model::Field;
use crate::population::Activation;
use crate::quantity::Quantity;
use crate::system::plus;
use crate::{State, Variable};

/// The equations of `WilsonCowan`.
#[derive(Clone, Debug)]
pub struct WilsonCowanField {
    pub(super) variables: Vec<Variable>,
    pub(super) inputs: Vec<Variable>,
    pub(super) excitatory: Population,
    pub(super) inhibitory: Population,
}

/// A population with its parameters' values.
#[derive(Clone, Debug)]
pub(super) struct Population {
    values: PopulationValues,
    /// 1/(1 + e^(aθ)), what S takes off.
    floor: Quantity,
}

impl Population {
    pub(super) fn of(parameters: &WilsonCowanPopulation) -> Self {
        let values = parameters.values();
        let floor = (&values.slope * &values.threshold).negative().sigmoid();
        Self { values, floor }
    }

    fn derivative(&self, own: &Tensor<2>, state: &State, input: Option<Tensor<2>>) -> Tensor<2> {
        let (e, i) = (state[0].clone(), state[1].clone());
        let c = &self.values;
        let current = plus(
            e * &c.from_excitatory - i * &c.from_inhibitory + &c.drive,
            input,
        );
        let response = Activation::Sigmoid.rate((current - &c.threshold) * &c.slope) - &self.floor;
        let ready = 1.0 - (own.clone() * &c.refractoriness + &self.floor);
        (ready * response - own.clone()) / &c.time_constant
    }
}

impl Field for WilsonCowanField {
    fn name(&self) -> &str {
        "Wilson–Cowan"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let pairs = self.variables[0].width;
        let part = |half: usize| input.map(|u| u.clone().narrow(1, half * pairs, pairs));
        State::new(vec![
            self.excitatory.derivative(&state[0], state, part(0)),
            self.inhibitory.derivative(&state[1], state, part(1)),
        ])
    }
}
