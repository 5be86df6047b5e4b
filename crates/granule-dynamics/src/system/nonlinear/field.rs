use burn::tensor::Tensor;

use super::Drive;
use crate::model::Field;
use crate::system::{channel, plus};
use crate::{Place, State, Variable};

/// `NonlinearSystem` with its parameters' values.
pub struct NonlinearField {
    pub(super) form: Box<dyn Field>,
    /// Whether the form is a network, which sees Y and to which G is added. Others take G through their channels.
    pub(super) of_network: bool,
    pub(super) drive: Drive,
    pub(super) inputs: Vec<Variable>,
}

impl NonlinearField {
    /// Y and U, zeros where there is no input.
    fn input(
        &self,
        batch: usize,
        like: &Tensor<2>,
        input: Option<&Tensor<2>>,
    ) -> Option<Tensor<2>> {
        let columns: usize = self.inputs.iter().map(|channel| channel.width).sum();
        let zeros = || Place::of(like).full(0.0, [batch, columns]);
        (columns > 0).then(|| match input {
            Some(input) => input.clone().expand([batch, columns]),
            None => zeros(),
        })
    }
}

impl Field for NonlinearField {
    fn name(&self) -> &str {
        self.form.name()
    }

    fn variables(&self) -> &[Variable] {
        self.form.variables()
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let input = self.input(state[0].dims()[0], &state[0], input);
        let drive = self.drive.of(&self.inputs, input.as_ref());
        if !self.of_network {
            return self.form.derivative(time, state, drive.as_ref());
        }
        let population = channel(&self.inputs, 0, input.as_ref());
        let slope = self.form.derivative(time, state, population.as_ref());
        State::new(vec![plus(slope[0].clone(), drive)])
    }

    fn diffusion(&self, time: f64, state: &State) -> Option<State> {
        self.form.diffusion(time, state)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.form.observe(state)
    }

    fn activity(&self) -> Variable {
        self.form.activity()
    }

    fn observed(&self) -> Variable {
        self.form.observed()
    }
}
