//! A model with what it shows as further variables, the first ones, so that they are recorded like the others.

use std::rc::Rc;

use burn::tensor::Tensor;

use granule_dynamics::model::{Clock, Dynamics};
use granule_dynamics::{DynamicsError, State, Variable};

/// Each `[batch, outputs]`.
pub(super) type Read = dyn Fn(&State) -> Vec<Tensor<2>>;

/// A model of which several things can be read.
pub(super) struct Readable {
    pub(super) dynamics: Rc<dyn Dynamics>,
    pub(super) initial: State,
    pub(super) read: Box<Read>,
}

pub(super) struct Shown {
    inner: Readable,
    /// How many of the variables are read-outs.
    count: usize,
    variables: Vec<Variable>,
}

impl Shown {
    /// `names` are the names and units of the first things that are read; what has none is not shown.
    pub(super) fn new(inner: Readable, names: &[(&str, &'static str)]) -> (Self, State) {
        let seen = (inner.read)(&inner.initial);
        let own = names.iter().zip(&seen);
        let own = own.map(|((name, unit), seen)| Variable::new(*name, unit, seen.dims()[1]));
        let own: Vec<Variable> = own.collect();
        let shown = Self {
            count: own.len(),
            variables: own
                .into_iter()
                .chain(inner.dynamics.variables().iter().cloned())
                .collect(),
            inner,
        };
        let initial = shown.with(shown.inner.initial.clone());
        (shown, initial)
    }

    /// How many of the variables are read-outs.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn with(&self, state: State) -> State {
        let seen = (self.inner.read)(&state).into_iter().take(self.count);
        State::new(seen.chain(state.into_tensors()).collect())
    }

    fn own(&self, state: &State) -> State {
        State::new(
            state
                .tensors()
                .get(self.count..)
                .unwrap_or_default()
                .to_vec(),
        )
    }
}

impl Dynamics for Shown {
    fn name(&self) -> &str {
        self.inner.dynamics.name()
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
        let next = self.inner.dynamics.step(at, &self.own(state), input)?;
        Ok(self.with(next))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.inner.dynamics.observe(&self.own(state))
    }
}
