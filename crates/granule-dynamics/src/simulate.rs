//! Running a model forward in time.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use granule_io::budget;
use granule_io::words::Number;

use crate::model::{Clock, Dynamics, Input, Span};
use crate::setting::Range;
use crate::{DynamicsError, State};

/// The instants of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Grid {
    /// `steps` steps of `dt` from `start`.
    Uniform {
        /// The time of the initial state.
        start: f64,
        /// The length of a step.
        dt: f64,
        /// How many.
        steps: usize,
    },
    /// Given instants, rising; the first is that of the initial state. What an adaptive solver accepted, for example.
    Times(Vec<f64>),
}

impl Grid {
    /// Steps of `dt` from 0 that reach `duration`; the last may end after it by less than `dt`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a `dt` or `duration` that is not positive and finite, or more than 2³² steps.
    pub fn over(duration: f64, dt: f64) -> Result<Self, DynamicsError> {
        Range::Positive.check("dt", dt)?;
        Range::Positive.check("duration", duration)?;
        // 0.3/0.1 is a little less than 3, 0.7/0.1 a little more than 7.
        let steps = (duration / dt * (1.0 - 1e-12)).ceil();
        if steps > f64::from(u32::MAX) {
            let most = f64::from(u32::MAX);
            return Err(DynamicsError::config(
                "duration",
                Number(duration),
                format!(
                    "at most 2^32 steps of dt = {}, which is {:.4e}; take a shorter duration, or a dt of at least {:.1e}",
                    Number(dt),
                    most * dt,
                    1.05 * duration / most
                ),
            ));
        }
        Ok(Self::Uniform {
            start: 0.0,
            dt,
            steps: steps as usize,
        })
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        match self {
            Self::Uniform { steps, .. } => *steps,
            Self::Times(times) => times.len().saturating_sub(1),
        }
    }

    /// The instant after `step` steps.
    pub fn time(&self, step: usize) -> f64 {
        match self {
            Self::Uniform { start, dt, .. } => start + step as f64 * dt,
            Self::Times(times) => times
                .get(step)
                .or(times.last())
                .copied()
                .unwrap_or_default(),
        }
    }

    /// The step that begins after `step` steps.
    pub fn clock(&self, step: usize) -> Clock {
        let time = self.time(step);
        let dt = match self {
            Self::Uniform { dt, .. } => *dt,
            Self::Times(_) => self.time(step + 1) - time,
        };
        Clock { step, time, dt }
    }
}

/// Steps between two looks at whether the state is plausible: each waits for the device.
pub const CHECK_EVERY: usize = 128;

/// Runs a model over a grid and hands every state to `observer`, the initial one first, with the steps done and the time.
/// The observer ends the run early by breaking.
///
/// Returns the last state. A state that is no longer finite, or far outside the [range](crate::Variable::range) of a variable,
/// is noticed at most 128 steps later; the run then goes back and finds the step at which it happened.
///
/// # Errors
///
/// [`DynamicsError::Shape`] for a state that does not fit the model, [`DynamicsError::NonFinite`],
/// [`DynamicsError::Runaway`], and what the model's step returns.
pub fn simulate(
    dynamics: &dyn Dynamics,
    initial: State,
    input: &dyn Input,
    grid: &Grid,
    observer: impl FnMut(usize, f64, &State) -> ControlFlow<()>,
) -> Result<State, DynamicsError> {
    simulate_after(0, dynamics, initial, input, grid, observer)
}

/// The same from the state after `begins` steps on.
///
/// # Errors
///
/// As for [`simulate`].
pub fn simulate_after(
    begins: usize,
    dynamics: &dyn Dynamics,
    state: State,
    input: &dyn Input,
    grid: &Grid,
    mut observer: impl FnMut(usize, f64, &State) -> ControlFlow<()>,
) -> Result<State, DynamicsError> {
    let mut state = state;
    state.check(dynamics.variables())?;
    state.check_finite(dynamics.variables(), grid.time(begins))?;
    let mut good = (begins, state.clone());
    if observer(begins, grid.time(begins), &state).is_break() {
        return Ok(state);
    }
    for step in begins..grid.steps() {
        let at = grid.clock(step);
        state = dynamics.step(at, &state, input.at(at).as_ref())?;
        let done = step + 1;
        let check = done.is_multiple_of(CHECK_EVERY) || done == grid.steps();
        if check {
            let found = state.check_plausible(dynamics.variables(), grid.time(done));
            if let Err(late) = found {
                let first = failure(dynamics, good, done, input, grid);
                return Err(first.unwrap_or(late));
            }
            good = (done, state.clone());
        }
        if observer(done, grid.time(done), &state).is_break() {
            break;
        }
    }
    Ok(state)
}

/// What goes wrong in the steps from a state after `from` of them to that after `to`, after which the state is not plausible:
/// they are repeated with a look after each. Where a value is not finite in the end it is the first such step that counts, else
/// the first at which one is far outside its range. `None` where nothing does.
pub fn failure(
    dynamics: &dyn Dynamics,
    (from, state): (usize, State),
    to: usize,
    input: &dyn Input,
    grid: &Grid,
) -> Option<DynamicsError> {
    let mut far = None;
    let mut now = state;
    for step in from..to {
        let at = grid.clock(step);
        now = match dynamics.step(at, &now, input.at(at).as_ref()) {
            Ok(next) => next,
            Err(error) => return Some(error),
        };
        match now.check_plausible(dynamics.variables(), grid.time(step + 1)) {
            Err(error @ DynamicsError::Runaway { .. }) => far = far.or(Some(error)),
            Err(error) => return Some(error),
            Ok(()) => {}
        }
    }
    far
}

/// Runs a model and returns what [`Dynamics::observe`] gives at the beginning and after every step,
/// `[steps + 1, batch, outputs]`, with the last state.
///
/// # Errors
///
/// Those of [`record_every`].
pub fn record(
    dynamics: &dyn Dynamics,
    initial: State,
    input: &dyn Input,
    grid: &Grid,
) -> Result<(Tensor<3>, State), DynamicsError> {
    record_every(dynamics, initial, input, grid, 1)
}

/// As [`record()`], at the beginning and after every `every` steps, at least 1.
///
/// # Errors
///
/// Those of [`simulate`]; [`DynamicsError::Config`] for a model that counts [over](Dynamics::counts_over) another number of steps.
pub fn record_every(
    dynamics: &dyn Dynamics,
    initial: State,
    input: &dyn Input,
    grid: &Grid,
    every: usize,
) -> Result<(Tensor<3>, State), DynamicsError> {
    let every = every.max(1);
    check_beginning(dynamics, &initial, grid, every)?;
    let steps = 0..grid.steps();
    if let Some((after, last)) = courses(dynamics, &initial, input, (grid, steps, every))? {
        let first = dynamics.observe(&initial);
        let [batch, outputs] = first.dims();
        let seen = std::iter::once(first.reshape([1, batch, outputs])).chain(after);
        return Ok((Tensor::cat(seen.collect(), 0), last));
    }
    let mut seen: Vec<Tensor<2>> = Vec::with_capacity(grid.steps() / every + 1);
    let last = simulate(dynamics, initial, input, grid, |step, _, state| {
        if step.is_multiple_of(every) {
            seen.push(dynamics.observe(state));
        }
        ControlFlow::Continue(())
    })?;
    Ok((Tensor::stack(seen, 0), last))
}

/// Checks that a model can be run from a state and observed every so many steps.
pub(crate) fn check_beginning(
    dynamics: &dyn Dynamics,
    initial: &State,
    grid: &Grid,
    every: usize,
) -> Result<(), DynamicsError> {
    if let Some(over) = dynamics.counts_over()
        && over != every
    {
        let allowed = format!("{over}, for the model counts over so many steps");
        return Err(DynamicsError::config("every", every, allowed));
    }
    initial.check(dynamics.variables())?;
    initial.check_finite(dynamics.variables(), grid.time(0))
}

/// What is observed after some of the steps `steps`, in parts, and the last state, where the model takes many steps as one
/// operation; without a look at the state at the beginning. `None` where it does not, and where the state leaves what is
/// plausible, of which single steps can say more.
pub(crate) fn courses(
    dynamics: &dyn Dynamics,
    initial: &State,
    input: &dyn Input,
    (grid, steps, every): (&Grid, std::ops::Range<usize>, usize),
) -> Result<Option<(Vec<Tensor<3>>, State)>, DynamicsError> {
    let mut seen = Vec::new();
    let mut state = initial.clone();
    let widest = initial.tensors().iter().map(|x| x.shape().num_elements());
    // The inputs of all steps of a span are held at once.
    let together = budget::waiting_samples(widest.max().unwrap_or(1)).min(CHECK_EVERY);
    for first in steps.clone().step_by(together) {
        let end = (first + together).min(steps.end);
        let span = Span {
            steps: (first..end).map(|step| grid.clock(step)).collect(),
            every,
        };
        let Some((part, last)) = dynamics.course(&span, &state, input)? else {
            return Ok(None);
        };
        let plausible = last.check_plausible(dynamics.variables(), grid.time(end));
        if plausible.is_err() {
            return Ok(None);
        }
        if part.dims()[0] > 0 {
            seen.push(part);
        }
        state = last;
    }
    Ok(Some((seen, state)))
}
