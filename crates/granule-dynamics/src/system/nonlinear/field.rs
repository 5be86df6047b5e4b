use burn::tensor::Tensor;

use super::Drive;
use crate::model::Field;
use crate::system::{Mlp, channel, plus};
use crate::{Place, State, Variable};

#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
pub(super) enum FormField {
    Network {
        network: Mlp,
        time_constant: Tensor<2>,
        variables: Vec<Variable>,
    },
    /// Takes G through its channels, one for each of its variables.
    Named(Box<dyn Field>),
}

/// `NonlinearSystem` with its parameters' values.
pub struct NonlinearField {
    pub(super) form: FormField,
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
        match &self.form {
            FormField::Network { .. } => "nonlinear",
            FormField::Named(form) => form.name(),
        }
    }

    fn variables(&self) -> &[Variable] {
        match &self.form {
            FormField::Network { variables, .. } => variables,
            FormField::Named(form) => form.variables(),
        }
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let input = self.input(state[0].dims()[0], &state[0], input);
        let drive = self.drive.of(&self.inputs, input.as_ref());
        match &self.form {
            FormField::Network {
                network,
                time_constant,
                ..
            } => {
                let seen = match channel(&self.inputs, 0, input.as_ref()) {
                    Some(population) => Tensor::cat(vec![state[0].clone(), population], 1),
                    None => state[0].clone(),
                };
                let slope = network.forward(seen) / time_constant.clone();
                State::new(vec![plus(slope, drive)])
            }
            FormField::Named(form) => form.derivative(time, state, drive.as_ref()),
        }
    }

    fn diffusion(&self, time: f64, state: &State) -> Option<State> {
        match &self.form {
            FormField::Network { .. } => None,
            FormField::Named(form) => form.diffusion(time, state),
        }
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match &self.form {
            FormField::Network { .. } => state[0].clone(),
            FormField::Named(form) => form.observe(state),
        }
    }

    fn activity(&self) -> Variable {
        match &self.form {
            FormField::Network { variables, .. } => variables[0].clone(),
            FormField::Named(form) => form.activity(),
        }
    }

    fn observed(&self) -> Variable {
        match &self.form {
            FormField::Network { variables, .. } => variables[0].clone(),
            FormField::Named(form) => form.observed(),
        }
    }
}
