mod config;
mod matrix;
#[cfg(test)]
mod tests;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

pub use config::LinearSystemConfig;
pub(super) use matrix::{check_matrix, driven, matrix_parameter, population_and_external};

use super::parameters::initial_state;
use super::{System, plus};
use crate::model::{Field, Linear};
use crate::{DynamicsError, Held, Parameter, Place, State, Variable};

/// dX/dt = A X + B Y + C U.
///
/// State: X, `[batch, size]`. Input: Y in the first columns, as many as B has, then U, as many as C has. Observed and
/// given to other systems: X.
#[derive(Module, Debug)]
pub struct LinearSystem {
    /// A, `[size, size]` (1/ms).
    pub a: Param<Tensor<2>>,
    /// B, `[size, population]` (1/ms).
    pub b: Option<Param<Tensor<2>>>,
    /// C, `[size, external]` (1/ms).
    pub c: Option<Param<Tensor<2>>>,
    /// X at the beginning.
    pub initial: Parameter,
}

impl LinearSystem {
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("x", "1", self.a.dims()[0])]
    }
}

impl System for LinearSystem {
    type Field = LinearSystemField;

    fn field(&self) -> Result<Self::Field, DynamicsError> {
        let columns = |matrix: &Option<Param<Tensor<2>>>| {
            matrix.as_ref().map_or(0, |matrix| matrix.dims()[1])
        };
        let transposed = |matrix: &Param<Tensor<2>>| matrix.val().transpose();
        Ok(LinearSystemField {
            variables: self.variables(),
            inputs: population_and_external(columns(&self.b), columns(&self.c)),
            a: transposed(&self.a),
            b: self.b.as_ref().map(transposed),
            c: self.c.as_ref().map(transposed),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        initial_state(
            std::slice::from_ref(&self.initial),
            &self.variables(),
            batch,
        )
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        let matrices = [
            ("a", Some(&self.a)),
            ("b", self.b.as_ref()),
            ("c", self.c.as_ref()),
        ];
        let matrices = matrices.into_iter();
        let matrices = matrices.filter_map(|(name, matrix)| Some((name, Held::Matrix(matrix?))));
        let all = matrices.chain([("initial", Held::Values(&self.initial))]);
        all.map(|(name, held)| (name.to_owned(), held)).collect()
    }
}

/// [`LinearSystem`] with its matrices' values.
#[derive(Clone, Debug)]
pub struct LinearSystemField {
    variables: Vec<Variable>,
    inputs: Vec<Variable>,
    /// Aᵀ
    a: Tensor<2>,
    /// Bᵀ
    b: Option<Tensor<2>>,
    /// Cᵀ
    c: Option<Tensor<2>>,
}

impl LinearSystemField {
    /// B Y + C U
    fn drive(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        driven(&self.inputs, input, [self.b.clone(), self.c.clone()])
    }

    /// The diagonal of A, `[1, size]`.
    fn diagonal(&self) -> Tensor<2> {
        let place = Place::of(&self.a);
        let size = self.variables[0].width;
        let identity = (0..size * size).map(|i| if i % (size + 1) == 0 { 1.0 } else { 0.0 });
        let identity = place.tensor(identity.collect(), [size, size]);
        (self.a.clone() * identity).sum_dim(0)
    }
}

impl Field for LinearSystemField {
    fn name(&self) -> &str {
        "linear"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let slope = state[0].clone().matmul(self.a.clone());
        State::new(vec![plus(slope, self.drive(input))])
    }

    fn groups(&self) -> &[Vec<usize>] {
        static ONE: std::sync::LazyLock<Vec<Vec<usize>>> =
            std::sync::LazyLock::new(|| vec![vec![0]]);
        &ONE
    }

    fn linear(
        &self,
        _group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        let x = &state[0];
        let decay = self.diagonal().neg();
        let others = x.clone().matmul(self.a.clone()) + x.clone() * decay.clone();
        let drive = plus(others, self.drive(input));
        vec![Linear { decay, drive }]
    }
}
