//! Differentiation through a run: discretise, then optimise.
//!
//! The gradient is that of the discrete steps that were taken, not of the continuous equation. How much of the run is kept at a
//! time is a [`Memory`] policy; the rest is computed again from stored states.
//!
//! With the feature `capture`, on a CPU device, the operations of one step and those of its gradient are recorded, and many steps
//! are taken in one call, forward as well as back ([`crate::whole`]). Every operation of every step is on Burn's tape where that is
//! not so, or where a fused operation of many steps is faster ([`Backward::tape`] says which).

#[cfg(feature = "capture")]
mod recorded;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};
use serde::{Deserialize, Serialize};

use crate::model::{Dynamics, Input, LentInput, Model, PlainInput};
use crate::simulate::{Grid, courses, record_every};
use crate::state::host;
use crate::{DynamicsError, State};

/// What is kept of a run of T steps for its backward pass: on the tape, or of recorded steps the states before them. `Full`,
/// `Segments` and `Nested` give the same gradient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// All T steps.
    #[default]
    Full,
    /// k segments: k states and T/k steps on the tape; every step but those of the last segment is computed three times: for
    /// what is observed, for the states between segments and on the tape. k = √T needs least.
    Segments(usize),
    /// Segments within segments, outermost first: the sum of the counts in states and T divided by their product in
    /// steps on the tape; every step is computed as in segments, and once more for each further level.
    Nested(Vec<usize>),
    /// No gradient flows back further than to the last multiple of k steps: k steps on the tape. Not the gradient of
    /// the loss, but an approximation that forgets what lies further back.
    Truncated(usize),
}

impl Memory {
    /// Checks that every count is positive.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the count.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let counts = match self {
            Self::Full => &[][..],
            Self::Segments(count) | Self::Truncated(count) => std::slice::from_ref(count),
            Self::Nested(counts) => counts,
        };
        if counts.contains(&0) {
            Err(DynamicsError::config("memory", "0", "at least 1"))
        } else {
            Ok(())
        }
    }
}

/// A loss with its gradient.
#[derive(Debug)]
pub struct Backward {
    /// The loss.
    pub loss: f64,
    /// With respect to the model's parameters.
    pub parameters: GradientsParams,
    /// With respect to the initial state that was given; zeros where it was the model's own.
    pub initial: State,
    /// What the model showed at the beginning and after every `every` steps, `[times, batch, outputs]`.
    pub observed: Tensor<3>,
    /// Why every operation of the steps was on Burn's tape; `None` where many steps were taken in one call.
    pub tape: Option<String>,
}

/// What is differentiated: a run and which of its instants a loss sees.
#[derive(Clone, Debug)]
pub struct Run<'a, I: Input + ?Sized> {
    /// The state at the beginning; `None` takes the model's own, whose parameters then get their gradient.
    pub initial: Option<State>,
    /// The rows of the model's own initial state.
    pub batch: usize,
    /// The input.
    pub input: &'a I,
    /// The instants.
    pub grid: &'a Grid,
    /// The loss sees the initial state and the one after every `every` steps.
    pub every: usize,
    /// What is kept.
    pub memory: &'a Memory,
}

/// Runs `model`, whose device has autodiff, and differentiates `loss`, a function of what it showed
/// (`[times, batch, outputs]` → `[1]`).
///
/// `loss` may use parameters of the model as well; they get both gradients.
///
/// # Errors
///
/// Those of [`crate::record_every()`]; also [`DynamicsError::NonFinite`] for a loss that is not finite.
pub fn gradient<M: Model, I: Input + ?Sized>(
    model: &M,
    run: &Run<'_, I>,
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
) -> Result<Backward, DynamicsError> {
    gradient_again(model, run, loss, &mut RecordedSteps::default())
}

/// Steps that were recorded for a gradient, to be used for others: recording takes as long as hundreds of steps.
#[derive(Debug, Default)]
pub struct RecordedSteps {
    #[cfg(feature = "capture")]
    kept: Vec<recorded::Kept>,
}

/// As [`gradient`], with the steps that were recorded for an earlier one, where they are the same: between two gradients with one
/// `steps` a model may change the values of its parameters, and nothing else. Gradients of other models can be between
/// them, and runs of other shapes.
///
/// # Errors
///
/// Those of [`gradient`].
pub fn gradient_again<M: Model, I: Input + ?Sized>(
    model: &M,
    run: &Run<'_, I>,
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
    steps: &mut RecordedSteps,
) -> Result<Backward, DynamicsError> {
    run.memory.validate()?;
    if run.every == 0 {
        return Err(DynamicsError::config("every", 0, "at least 1"));
    }
    #[cfg(feature = "capture")]
    let why = match recorded::Forward::run(model, run, &mut steps.kept)? {
        Ok(forward) => return forward.differentiate(model, run, loss),
        Err(why) => why,
    };
    #[cfg(not(feature = "capture"))]
    let why = {
        let _ = steps;
        "built without the feature capture".to_string()
    };
    let backward = taped(model, run, loss)?;
    Ok(Backward {
        tape: Some(why),
        ..backward
    })
}

/// The number of the outermost segments of a run, and of those in each of them, level by level; `None` of one that is kept as a
/// whole.
fn segments(memory: &Memory, steps: usize) -> Option<(usize, &[usize])> {
    match memory {
        Memory::Full => None,
        Memory::Segments(count) => Some((*count, &[])),
        Memory::Nested(counts) => counts.split_first().map(|(count, inner)| (*count, inner)),
        Memory::Truncated(length) => Some((steps.div_ceil(*length), &[])),
    }
}

/// The state off the tape that a run begins with, where `plain` is its model off the tape.
fn plain_beginning<M: Model, I: Input + ?Sized>(
    plain: &M,
    run: &Run<'_, I>,
) -> Result<State, DynamicsError> {
    Ok(match &run.initial {
        Some(state) => state.clone().without_autodiff(),
        None => plain.initial_state(run.batch)?.without_autodiff(),
    })
}

/// The same with every operation on Burn's tape.
pub(crate) fn taped<M: Model, I: Input + ?Sized>(
    model: &M,
    run: &Run<'_, I>,
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
) -> Result<Backward, DynamicsError> {
    let steps = run.grid.steps();
    let Some((count, inner)) = segments(run.memory, steps) else {
        return whole(model, run, loss);
    };
    let mut sweep = Sweep {
        model,
        run,
        slopes: None,
        parameters: GradientsParams::new(),
    };
    let counts = [&[count], inner].concat();
    let truncated = matches!(run.memory, Memory::Truncated(_));

    // Forward without a tape, for what the loss sees.
    let plain = model.clone().valid();
    let dynamics = plain.dynamics()?;
    let initial = plain_beginning(&plain, run)?;
    let input = PlainInput(run.input);
    let (observed, _) = record_every(&dynamics, initial.clone(), &input, run.grid, run.every)?;

    // The loss by itself gives the slope of every observation.
    let leaf = observed.clone().autodiff().require_grad();
    let value = loss(leaf.clone());
    let at_loss = finite(&value, run)?;
    if value.is_tracked() {
        let mut gradients = value.backward();
        sweep.slopes = leaf.grad_remove(&mut gradients);
        accumulate(&mut sweep.parameters, gradients, model);
    }

    let adjoint = sweep.segment(0, steps, initial, None, &counts, truncated)?;
    Ok(Backward {
        loss: at_loss,
        parameters: sweep.parameters,
        initial: adjoint,
        observed,
        tape: None,
    })
}

/// Runs the model once, with all steps on the tape.
fn whole<M: Model, I: Input + ?Sized>(
    model: &M,
    run: &Run<'_, I>,
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
) -> Result<Backward, DynamicsError> {
    let dynamics = model.dynamics()?;
    let begin = match &run.initial {
        Some(state) => state
            .clone()
            .map(|x| x.without_autodiff().autodiff().require_grad()),
        None => model.initial_state(run.batch)?,
    };
    let input = LentInput(run.input);
    let (observed, _) = record_every(&dynamics, begin.clone(), &input, run.grid, run.every)?;
    let value = loss(observed.clone());
    let at_loss = finite(&value, run)?;
    let mut parameters = GradientsParams::new();
    let mut initial = begin.clone().map(|x| x.without_autodiff().zeros_like());
    if value.is_tracked() {
        let mut gradients = value.backward();
        if run.initial.is_some() {
            initial = begin.zip(initial, |leaf, zeros| {
                leaf.grad_remove(&mut gradients).unwrap_or(zeros)
            });
        }
        accumulate(&mut parameters, gradients, model);
    }
    Ok(Backward {
        loss: at_loss,
        parameters,
        initial,
        observed: observed.without_autodiff(),
        tape: None,
    })
}

/// The value of a loss.
fn finite<I: Input + ?Sized>(loss: &Tensor<1>, run: &Run<'_, I>) -> Result<f64, DynamicsError> {
    let value = host(loss.clone())?.first().copied().unwrap_or(f64::NAN);
    if value.is_finite() {
        return Ok(value);
    }
    Err(DynamicsError::NonFinite {
        time: run.grid.time(run.grid.steps()),
        variable: "the loss".into(),
        batch: 0,
        unit: 0,
    })
}

/// The backward sweep over segments, last first.
struct Sweep<'a, 'b, M: Model, I: Input + ?Sized> {
    model: &'a M,
    run: &'a Run<'b, I>,
    /// ∂loss/∂observed
    slopes: Option<Tensor<3>>,
    parameters: GradientsParams,
}

impl<M: Model, I: Input + ?Sized> Sweep<'_, '_, M, I> {
    /// Differentiates the steps `from..to`, which begin at `state` and after which the loss has the slope `adjoint`;
    /// returns the slope before them.
    fn segment(
        &mut self,
        from: usize,
        to: usize,
        state: State,
        adjoint: Option<State>,
        counts: &[usize],
        truncated: bool,
    ) -> Result<State, DynamicsError> {
        let Some((count, inner)) = counts.split_first() else {
            return self.leaf(from, to, state, adjoint);
        };
        let length = (to - from).div_ceil(*count).max(1);
        let bounds: Vec<usize> = (from..to).step_by(length).collect();
        let mut states = vec![state];
        if bounds.len() > 1 {
            let plain = self.model.clone().valid();
            let dynamics = plain.dynamics()?;
            let input = PlainInput(self.run.input);
            for ends in bounds.windows(2) {
                let mut state = states.last().cloned().unwrap_or_else(|| states[0].clone());
                let span = (self.run.grid, ends[0]..ends[1], self.run.every);
                if let Some((_, last)) = courses(&dynamics, &state, &input, span)? {
                    states.push(last);
                    continue;
                }
                for step in ends[0]..ends[1] {
                    let at = self.run.grid.clock(step);
                    state = dynamics.step(at, &state, input.at(at).as_ref())?;
                }
                states.push(state);
            }
        }
        if bounds.is_empty() {
            return self.leaf(from, to, states.swap_remove(0), adjoint);
        }
        let mut adjoint = adjoint;
        for begin in bounds.iter().rev() {
            let Some(state) = states.pop() else { break };
            let end = (begin + length).min(to);
            let before = self.segment(*begin, end, state, adjoint.take(), inner, truncated)?;
            adjoint = Some(if truncated && *begin > from {
                before.map(|x| x.zeros_like())
            } else {
                before
            });
        }
        adjoint.ok_or_else(|| DynamicsError::device("a segment without steps"))
    }

    /// Repeats a few steps on the tape and differentiates them.
    fn leaf(
        &mut self,
        from: usize,
        to: usize,
        state: State,
        adjoint: Option<State>,
    ) -> Result<State, DynamicsError> {
        let dynamics = self.model.dynamics()?;
        let leaves = state.map(|x| x.autodiff().require_grad());
        let own = from == 0 && self.run.initial.is_none();
        let mut state = if own {
            self.model.initial_state(self.run.batch)?
        } else {
            leaves.clone()
        };
        let mut total: Option<Tensor<1>> = None;
        let mut add = |term: Tensor<1>| {
            total = Some(match total.take() {
                Some(sum) => sum + term,
                None => term,
            });
        };
        let every = self.run.every;
        let slope = |index: usize| -> Option<Tensor<2>> {
            let slopes = self.slopes.as_ref()?;
            let [_, batch, outputs] = slopes.dims();
            let row = slopes.clone().narrow(0, index, 1);
            Some(row.reshape([batch, outputs]).autodiff())
        };
        if from == 0
            && let Some(slope) = slope(0)
        {
            add((dynamics.observe(&state) * slope).sum());
        }
        let input = LentInput(self.run.input);
        let span = (self.run.grid, from..to, every);
        if let Some((seen, last)) = courses(&dynamics, &state, &input, span)? {
            let mut first = from / every + 1;
            for seen in seen {
                let times = seen.dims()[0];
                if let Some(slopes) = &self.slopes {
                    let slopes = slopes.clone().narrow(0, first, times);
                    add((seen * slopes.autodiff()).sum());
                }
                first += times;
            }
            state = last;
        } else {
            for step in from..to {
                let at = self.run.grid.clock(step);
                state = dynamics.step(at, &state, input.at(at).as_ref())?;
                if (step + 1).is_multiple_of(every)
                    && let Some(slope) = slope((step + 1) / every)
                {
                    add((dynamics.observe(&state) * slope).sum());
                }
            }
        }
        if let Some(adjoint) = adjoint {
            for (x, slope) in state.into_tensors().into_iter().zip(adjoint.into_tensors()) {
                add((x * slope.autodiff()).sum());
            }
        }
        let zeros = leaves.clone().map(|x| x.without_autodiff().zeros_like());
        let Some(total) = total.filter(Tensor::is_tracked) else {
            return Ok(zeros);
        };
        let mut gradients = total.backward();
        let before = leaves.zip(zeros, |leaf, zeros| {
            leaf.grad_remove(&mut gradients).unwrap_or(zeros)
        });
        accumulate(&mut self.parameters, gradients, self.model);
        Ok(before)
    }
}

/// Adds the gradients of a module's parameters to those collected so far.
fn accumulate<M: Module>(total: &mut GradientsParams, gradients: Gradients, module: &M) {
    add(
        total,
        GradientsParams::from_grads(gradients, module),
        module,
    );
}

fn add<M: Module>(total: &mut GradientsParams, new: GradientsParams, module: &M) {
    module.visit(&mut Adder { total, new });
}

struct Adder<'a> {
    total: &'a mut GradientsParams,
    new: GradientsParams,
}

impl ModuleVisitor for Adder<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(new) = self.new.remove::<D>(param.id) {
            let sum = match self.total.remove::<D>(param.id) {
                Some(old) => old + new,
                None => new,
            };
            self.total.register(param.id, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::model::{Field, NoInput};
    use crate::solver::{Euler, Rk4, Solver, Stepped};
    use crate::state::{Place, Variable};
    use crate::testing::{assert_close, f64_autodiff, f64_autodiffs};
    use crate::{Bounds, Parameter, simulate};

    /// τ dx/dt = −x + b with a nonlinear neighbour, dy/dt = tanh(x) − y, and x₀ trainable.
    #[derive(Module, Debug)]
    struct Leak {
        tau: Parameter,
        b: Parameter,
        start: Parameter,
    }

    struct LeakField {
        variables: Vec<Variable>,
        tau: Tensor<2>,
        b: Tensor<2>,
    }

    impl Field for LeakField {
        fn name(&self) -> &str {
            "leak"
        }

        fn variables(&self) -> &[Variable] {
            &self.variables
        }

        fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
            let x = (self.b.clone() - state[0].clone()) / self.tau.clone();
            let y = state[0].clone().tanh() - state[1].clone();
            State::new(vec![x, y])
        }

        fn observe(&self, state: &State) -> Tensor<2> {
            Tensor::cat(state.tensors().to_vec(), 1)
        }
    }

    impl Leak {
        fn new(place: &Place) -> Self {
            let one = |name: &str, value: f64, bounds| {
                Parameter::trainable(name, &[value], bounds, place).unwrap()
            };
            Self {
                tau: one("tau", 10.0, Bounds::Above(0.0)),
                b: one("b", 0.3, Bounds::Free),
                start: one("start", 1.0, Bounds::Free),
            }
        }
    }

    impl Model for Leak {
        type Dynamics = Stepped<LeakField, Box<dyn Solver>>;

        fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
            Ok(Stepped {
                field: LeakField {
                    variables: vec![Variable::new("x", "1", 1), Variable::new("y", "1", 1)],
                    tau: self.tau.value(),
                    b: self.b.value(),
                },
                solver: match self.b.len() {
                    1 => Box::new(Euler),
                    _ => Box::new(Rk4),
                },
            })
        }

        fn initial_state(&self, _batch: usize) -> Result<State, DynamicsError> {
            let x = self.start.value();
            Ok(State::new(vec![x.clone(), x.zeros_like()]))
        }
    }

    fn run(model: &Leak, steps: usize, memory: &Memory) -> (f64, [f64; 3]) {
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 20.0 / steps as f64,
            steps,
        };
        let run = Run {
            initial: None,
            batch: 1,
            input: &NoInput,
            grid: &grid,
            every: 1,
            memory,
        };
        let last = |seen: Tensor<3>| {
            let [times, _, _] = seen.dims();
            seen.narrow(0, times - 1, 1).narrow(2, 0, 1).sum()
        };
        let mut result = gradient(model, &run, last).unwrap();
        let mut of = |parameter: &Parameter| {
            let gradient = result.parameters.remove::<2>(parameter.raw.id).unwrap();
            host(gradient).unwrap()[0]
        };
        let gradients = [of(&model.tau), of(&model.b), of(&model.start)];
        (result.loss, gradients)
    }

    /// Reference numbers, section 4: backpropagation gives the derivative of the discrete steps.
    #[test]
    fn the_gradient_is_that_of_the_discrete_steps() {
        for place in f64_autodiffs() {
            let model = Leak::new(&place);
            let (x, [tau, _, _]) = run(&model, 20, &Memory::Full);
            assert_close(x, 0.385103658213, 1e-11);
            // τ = exp(raw)
            assert_close(tau / 10.0, 0.018911924047, 1e-11);
        }
    }

    #[test]
    fn memory_policies_give_one_gradient() {
        let model = Leak::new(&f64_autodiff());
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 0.5,
            steps: 37,
        };
        let whole = |memory: &Memory| {
            let run = Run {
                initial: None,
                batch: 1,
                input: &NoInput,
                grid: &grid,
                every: 3,
                memory,
            };
            let mut result =
                gradient(&model, &run, |seen| (seen.clone() * seen.sin()).sum()).unwrap();
            let of = |parameter: &Parameter, result: &mut Backward| {
                host(result.parameters.remove::<2>(parameter.raw.id).unwrap()).unwrap()[0]
            };
            [&model.tau, &model.b, &model.start].map(|p| of(p, &mut result))
        };
        let full = whole(&Memory::Full);
        let policies = [
            Memory::Segments(1),
            Memory::Segments(5),
            Memory::Segments(100),
            Memory::Nested(vec![3, 4]),
            Memory::Nested(vec![2, 2, 2]),
        ];
        for memory in policies {
            for (a, b) in whole(&memory).into_iter().zip(full) {
                assert_close(a, b, 1e-12);
            }
        }
        let truncated = whole(&Memory::Truncated(5));
        assert!(
            (truncated[0] - full[0]).abs() > 1e-3,
            "{truncated:?} {full:?}"
        );
        assert!((truncated[2]).abs() < full[2].abs());
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        let place = f64_autodiff();
        let model = Leak::new(&place);
        let (_, [tau, b, start]) = run(&model, 40, &Memory::Segments(6));
        let loss = |change: [f64; 3]| {
            let mut moved = Leak::new(&place);
            for (p, d) in [&mut moved.tau, &mut moved.b, &mut moved.start]
                .into_iter()
                .zip(change)
            {
                p.raw = p
                    .raw
                    .clone()
                    .map(|raw| raw.add_scalar(d).detach().require_grad());
            }
            run(&moved, 40, &Memory::Full).0
        };
        let h = 1e-5;
        for (i, gradient) in [tau, b, start].into_iter().enumerate() {
            let at = |sign: f64| loss([0, 1, 2].map(|j| if i == j { sign * h } else { 0.0 }));
            assert_close(gradient, (at(1.0) - at(-1.0)) / (2.0 * h), 1e-8);
        }
    }

    #[test]
    fn ten_thousand_steps_are_differentiated_under_every_policy() {
        let model = Leak::new(&f64_autodiff());
        let full = run(&model, 10_000, &Memory::Full);
        assert_close(full.0, 0.394734698266, 2e-4);
        for memory in [Memory::Segments(100), Memory::Nested(vec![20, 20])] {
            let other = run(&model, 10_000, &memory);
            for (a, b) in other.1.into_iter().zip(full.1) {
                assert_close(a, b, 1e-10);
            }
        }
    }

    #[test]
    fn divergence_names_time_variable_and_index() {
        let place = f64_autodiff();
        let model = Leak::new(&place);
        let dynamics = model.dynamics().unwrap();
        let start = State::new(vec![place.full(1.0, [2, 1]), place.full(0.0, [2, 1])]);
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 1e4,
            steps: 1000,
        };
        let error = simulate(&dynamics, start, &NoInput, &grid, |_, _, _| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
        let DynamicsError::NonFinite {
            time,
            variable,
            batch,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        // Each step multiplies y by 1 − dt: 10⁴ to the power of 78 exceeds 1.8·10³⁰⁸.
        assert!(variable == "x" || variable == "y");
        assert_eq!(*batch, 0);
        assert!(*time >= 70.0 * 1e4 && *time <= 120.0 * 1e4, "{error}");
    }
}
