//! What solvers, simulations and gradients know of a model.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_ops::Course;

use crate::state::{is_tracked, plain};
use crate::{DynamicsError, State, Variable};

/// A vector field dx/dt = f(t, x, u), with parameters bound: an ordinary differential equation as the solvers see it.
pub trait Field {
    /// The model's name, for errors.
    fn name(&self) -> &str;

    /// What the state holds.
    fn variables(&self) -> &[Variable];

    /// dx/dt at time `time`, in the variables' units per unit of time. `input` is held constant over a step.
    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State;

    /// The input's channels with their units; their columns lie one after the other in the input tensor. Empty where a model
    /// takes no input, or one of a form of its own, which [`check_input`](Self::check_input) then checks.
    fn inputs(&self) -> &[Variable] {
        &[]
    }

    /// Checks that an input fits the channels, before each step.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for an input that does not.
    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        match self.inputs() {
            [] => Ok(()),
            channels => check_channels(channels, state, input),
        }
    }

    /// The groups of variables that an exponential or semi-implicit solver updates one after another, each seeing the
    /// new values of the groups before it. Empty where the model offers no [`linear`](Self::linear) form.
    ///
    /// Hodgkin–Huxley cells update their gates first and the voltage then, which makes the scheme second order.
    fn groups(&self) -> &[Vec<usize>] {
        &[]
    }

    /// The variables of a group as dx/dt = drive − decay·x, with `drive` and `decay` frozen at `state`; one pair for
    /// each variable of the group.
    fn linear(
        &self,
        _group: usize,
        _time: f64,
        _state: &State,
        _input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        Vec::new()
    }

    /// A whole step of the exponential Euler method, where the model has it as one operation; the same as
    /// [`groups`](Self::groups) and [`linear`](Self::linear) give it.
    fn exponential_step(
        &self,
        _at: Clock,
        _state: &State,
        _input: Option<&Tensor<2>>,
    ) -> Option<State> {
        None
    }

    /// [`Dynamics::course`] by the exponential Euler method, where the model has many of its steps as one operation.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for an input that does not fit.
    fn exponential_course(
        &self,
        _span: &Span,
        _state: &State,
        _input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        Ok(None)
    }

    /// The amplitude of the noise of each variable per square root of time: dx = f dt + g dW. `None` without noise.
    fn diffusion(&self, _time: f64, _state: &State) -> Option<State> {
        None
    }

    /// The currents through the membranes of cells that can be told of a state beside its variables: each with its name, unit and width. As a
    /// voltage clamp shows them, what leaves a cell is positive.
    fn currents(&self) -> &[Variable] {
        &[]
    }

    /// All of them in a state, each `[batch, width]`.
    fn currents_of(&self, _state: &State) -> Vec<Tensor<2>> {
        Vec::new()
    }

    /// What happens at the end of a step outside the differential equation, such as a spike's reset.
    fn after_step(&self, _time: f64, _before: &State, after: State) -> State {
        after
    }

    /// What is recorded and given to a loss: the first variable unless a model says otherwise. `[batch, outputs]`.
    fn observe(&self, state: &State) -> Tensor<2> {
        state[0].clone()
    }

    /// What [`observe`](Self::observe) shows: its name, unit and width.
    fn observed(&self) -> Variable {
        self.variables()[0].clone()
    }

    /// What reaches other models, `[batch, width]`: what is observed unless a model says otherwise.
    fn output(&self, state: &State) -> Tensor<2> {
        self.observe(state)
    }

    /// What [`output`](Self::output) is: its name, unit and width.
    fn activity(&self) -> Variable {
        self.observed()
    }

    /// The mean firing rate of each node in Hz under an input; `None` where a model has no rates.
    fn rate(&self, _state: &State, _input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        None
    }

    /// A proxy of the local field potential of each node; `None` where a model has none.
    fn local_field_potential(&self, _state: &State) -> Option<Tensor<2>> {
        None
    }

    /// What [`local_field_potential`](Self::local_field_potential) is; `None` where a model has none.
    fn field_potential(&self) -> Option<Variable> {
        None
    }
}

/// What stands in a box is what it is outside, with every method that it has of its own.
macro_rules! boxed {
    ($trait:ident: $($method:ident($($argument:ident: $kind:ty),*) -> $result:ty;)+) => {
        impl<T: $trait + ?Sized> $trait for Box<T> {
            $(fn $method(&self, $($argument: $kind),*) -> $result {
                self.as_ref().$method($($argument),*)
            })+
        }
    };
}

boxed! {
    Field:
    name() -> &str;
    variables() -> &[Variable];
    inputs() -> &[Variable];
    derivative(time: f64, state: &State, input: Option<&Tensor<2>>) -> State;
    check_input(state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError>;
    groups() -> &[Vec<usize>];
    linear(group: usize, time: f64, state: &State, input: Option<&Tensor<2>>) -> Vec<Linear>;
    exponential_step(at: Clock, state: &State, input: Option<&Tensor<2>>) -> Option<State>;
    exponential_course(
        span: &Span,
        state: &State,
        input: &dyn Input
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError>;
    diffusion(time: f64, state: &State) -> Option<State>;
    currents() -> &[Variable];
    currents_of(state: &State) -> Vec<Tensor<2>>;
    after_step(time: f64, before: &State, after: State) -> State;
    observe(state: &State) -> Tensor<2>;
    observed() -> Variable;
    output(state: &State) -> Tensor<2>;
    activity() -> Variable;
    rate(state: &State, input: Option<&Tensor<2>>) -> Option<Tensor<2>>;
    local_field_potential(state: &State) -> Option<Tensor<2>>;
    field_potential() -> Option<Variable>;
}

/// Checks that an input has the columns that `inputs` take and one row or as many as the state.
pub(crate) fn check_channels(
    inputs: &[Variable],
    state: &State,
    input: Option<&Tensor<2>>,
) -> Result<(), DynamicsError> {
    let Some(input) = input else { return Ok(()) };
    let batch = state[0].dims()[0];
    let columns = inputs.iter().map(|channel| channel.width).sum();
    let [rows, found] = input.dims();
    if found == columns && (rows == 1 || rows == batch) {
        return Ok(());
    }
    let names: Vec<&str> = inputs.iter().map(|channel| channel.name.as_str()).collect();
    Err(DynamicsError::Shape {
        what: format!("the input ({})", names.join(", ")),
        expected: vec![batch, columns],
        found: vec![rows, found],
    })
}

/// dx/dt = drive − decay·x, each `[batch, width]` or broadcastable to it.
#[derive(Clone, Debug)]
pub struct Linear {
    /// 1/time.
    pub decay: Tensor<2>,
    /// The variable's unit per time.
    pub drive: Tensor<2>,
}

/// One step in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// The index of the step, counted from the run's beginning. Noise is a function of it.
    pub step: usize,
    /// The time at the step's beginning.
    pub time: f64,
    /// Its length.
    pub dt: f64,
}

/// Steps in a row, part of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The steps.
    pub steps: Vec<Clock>,
    /// Something is seen after those whose number, counted from 1 at the beginning of the run, is a multiple of this.
    pub every: usize,
}

impl Span {
    /// How many of its own steps are done when something is seen, rising.
    pub fn seen(&self) -> Vec<usize> {
        let steps = self.steps.iter().enumerate();
        let seen = steps.filter(|(_, at)| (at.step + 1).is_multiple_of(self.every));
        seen.map(|(index, _)| index + 1).collect()
    }

    /// The input of every step; empty where there is none at all. `None` where some steps have one and others do not, and for
    /// an input on a tape.
    pub fn inputs(&self, input: &dyn Input) -> Option<Vec<Tensor<2>>> {
        let mut all = Vec::new();
        for (index, at) in self.steps.iter().enumerate() {
            match input.at(*at) {
                Some(input) if all.len() == index && !is_tracked(&input) => {
                    all.push(plain(input));
                }
                None if all.is_empty() => {}
                _ => return None,
            }
        }
        Some(all)
    }

    /// The same in one tensor, `[steps, batch or 1, channels]`, where they lie so and are on no tape.
    pub(crate) fn inputs_together(&self, input: &dyn Input) -> Option<Tensor<3>> {
        let all = input.during(&self.steps)?;
        (!is_tracked(&all)).then(|| all.without_autodiff())
    }

    /// The steps as fused operations take them, of which the voltages of some columns are seen; `None` for an inflow on a tape,
    /// for those of each step have no gradient.
    pub(crate) fn course(
        &self,
        columns: Vec<usize>,
        inflows: Vec<Tensor<2>>,
        together: Option<Tensor<3>>,
    ) -> Option<Course> {
        let plain = !inflows.iter().any(is_tracked) && !together.as_ref().is_some_and(is_tracked);
        plain.then(|| Course {
            lengths: self.steps.iter().map(|at| at.dt).collect(),
            seen: self.seen(),
            columns,
            inflows,
            together,
        })
    }
}

/// A model that moves in steps: any [`Field`] with a solver ([`crate::solver::Stepped`]), a network with delays, a
/// whole multi-granularity model.
pub trait Dynamics {
    /// The model's name, for errors.
    fn name(&self) -> &str;

    /// What the state holds.
    fn variables(&self) -> &[Variable];

    /// The state one step later.
    ///
    /// # Errors
    ///
    /// Whatever makes the step impossible. Values that are not finite are not looked for here.
    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError>;

    /// What [`observe`](Self::observe) gives where something is [seen](Span::seen), `[times, batch, outputs]`, and the last
    /// state; the same numbers as single [`step`](Self::step)s give. `None` where the model does not take many steps as one
    /// operation.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    fn course(
        &self,
        _span: &Span,
        _state: &State,
        _input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        Ok(None)
    }

    /// What is recorded and given to a loss. `[batch, outputs]`.
    fn observe(&self, state: &State) -> Tensor<2> {
        state[0].clone()
    }

    /// The currents through the membranes of cells that can be told of a state beside its variables: each with its name, unit and width. As a
    /// voltage clamp shows them, what leaves a cell is positive.
    fn currents(&self) -> &[Variable] {
        &[]
    }

    /// All of them in a state, each `[batch, width]`.
    fn currents_of(&self, _state: &State) -> Vec<Tensor<2>> {
        Vec::new()
    }

    /// How far each cell has come from its last spike to its next, 1 where it fires, `[batch, cells]`; `None` where a model cannot
    /// say. Added to the number of spikes it is continuous in every parameter, with its own derivative.
    fn progress(&self, _state: &State) -> Option<Tensor<2>> {
        None
    }

    /// The state after a sudden change of the potential, the first variable, by `by`, `[batch or 1, cells]`, as synapses without
    /// a time course bring it. Cells that are refractory keep theirs.
    fn jump(&self, state: &State, by: Tensor<2>) -> State {
        let mut after = state.clone();
        after.replace(0, state[0].clone() + by);
        after
    }

    /// From sample to sample over how many steps it counts what is observed; `None` where it counts nothing. Who observes it at
    /// other intervals gets an error.
    fn counts_over(&self) -> Option<usize> {
        None
    }
}

boxed! {
    Dynamics:
    name() -> &str;
    variables() -> &[Variable];
    step(at: Clock, state: &State, input: Option<&Tensor<2>>) -> Result<State, DynamicsError>;
    course(
        span: &Span,
        state: &State,
        input: &dyn Input
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError>;
    observe(state: &State) -> Tensor<2>;
    currents() -> &[Variable];
    currents_of(state: &State) -> Vec<Tensor<2>>;
    progress(state: &State) -> Option<Tensor<2>>;
    jump(state: &State, by: Tensor<2>) -> State;
    counts_over() -> Option<usize>;
}

/// A Burn module that stands for a dynamical model.
pub trait Model: Module {
    /// The model with its parameters' values taken, so that one run maps each of them once.
    type Dynamics: Dynamics;

    /// Takes the parameters' values; on an autodiff device they are differentiable.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other.
    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError>;

    /// The state at the beginning, every variable `[batch, width]`; differentiable where it is trainable.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other.
    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError>;
}

/// What a model is driven by.
pub trait Input {
    /// The input during a step, `[batch or 1, channels]`, or none.
    fn at(&self, at: Clock) -> Option<Tensor<2>>;

    /// The inputs of steps in a row, `[steps, batch or 1, channels]`, where they lie together; `None` where each is to be asked
    /// for by itself.
    fn during(&self, _steps: &[Clock]) -> Option<Tensor<3>> {
        None
    }
}

/// No input.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInput;

impl Input for NoInput {
    fn at(&self, _at: Clock) -> Option<Tensor<2>> {
        None
    }
}

/// The same input at all times.
#[derive(Clone, Debug)]
pub struct ConstantInput(pub Tensor<2>);

impl Input for ConstantInput {
    fn at(&self, _at: Clock) -> Option<Tensor<2>> {
        Some(self.0.clone())
    }

    fn during(&self, steps: &[Clock]) -> Option<Tensor<3>> {
        let [rows, channels] = self.0.dims();
        let input = self.0.clone().unsqueeze::<3>();
        Some(input.expand([steps.len(), rows, channels]))
    }
}

/// One input for each step, `[steps, batch or 1, channels]`; after its end the last one stays.
#[derive(Clone, Debug)]
pub struct InputSeries(pub Tensor<3>);

impl Input for InputSeries {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        let [steps, batch, channels] = self.0.dims();
        let step = at.step.min(steps.checked_sub(1)?);
        let row = self.0.clone().narrow(0, step, 1);
        Some(row.reshape([batch, channels]))
    }

    fn during(&self, steps: &[Clock]) -> Option<Tensor<3>> {
        let first = steps.first()?.step;
        let in_a_row = (first..).zip(steps).all(|(step, at)| at.step == step);
        let within = first + steps.len() <= self.0.dims()[0];
        (in_a_row && within).then(|| self.0.clone().narrow(0, first, steps.len()))
    }
}

/// An input without its own tape.
#[cfg(feature = "autodiff")]
pub(crate) struct PlainInput<'a, I: ?Sized>(pub(crate) &'a I);

#[cfg(feature = "autodiff")]
impl<I: Input + ?Sized> Input for PlainInput<'_, I> {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        self.0.at(at).map(Tensor::without_autodiff)
    }

    fn during(&self, steps: &[Clock]) -> Option<Tensor<3>> {
        self.0.during(steps).map(Tensor::without_autodiff)
    }
}

/// An input that is lent.
#[cfg(feature = "autodiff")]
pub(crate) struct LentInput<'a, I: ?Sized>(pub(crate) &'a I);

#[cfg(feature = "autodiff")]
impl<I: Input + ?Sized> Input for LentInput<'_, I> {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        self.0.at(at)
    }

    fn during(&self, steps: &[Clock]) -> Option<Tensor<3>> {
        self.0.during(steps)
    }
}

impl<F: Fn(Clock) -> Option<Tensor<2>>> Input for F {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        self(at)
    }
}
