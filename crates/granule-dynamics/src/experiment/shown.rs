//! A model with what it shows as one variable more, the first one, so that it is recorded like the others.

use burn::tensor::Tensor;

use crate::model::{Clock, Dynamics};
use crate::{DynamicsError, State, Variable};

pub(super) struct Shown {
    inner: Box<dyn Dynamics>,
    variables: Vec<Variable>,
}

impl Shown {
    /// `name` and `unit` are those of the read-out.
    pub(super) fn new(
        inner: Box<dyn Dynamics>,
        initial: State,
        (name, unit): (&str, &'static str),
    ) -> (Self, State) {
        let width = inner.observe(&initial).dims()[1];
        let own = Variable::new(name, unit, width);
        let variables = [own].into_iter().chain(inner.variables().iter().cloned());
        let shown = Self {
            variables: variables.collect(),
            inner,
        };
        let initial = shown.with(initial);
        (shown, initial)
    }

    fn with(&self, state: State) -> State {
        let seen = self.inner.observe(&state);
        State::new([seen].into_iter().chain(state.into_tensors()).collect())
    }
}

impl Dynamics for Shown {
    fn name(&self) -> &str {
        self.inner.name()
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
        let own = State::new(state.tensors().get(1..).unwrap_or_default().to_vec());
        Ok(self.with(self.inner.step(at, &own, input)?))
    }
}
