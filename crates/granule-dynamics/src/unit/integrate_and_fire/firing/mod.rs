//! Cells that fire by a reset: the crossing of the peak is located inside the step, and the cell starts anew from it.

mod coordinates;
mod cubic;

use burn::tensor::Tensor;

use coordinates::Smooth;
pub use coordinates::{Coordinates, Upstroke};
use cubic::Cubic;

use crate::model::{Clock, Dynamics, Field};
use crate::quantity::Quantity;
use crate::solver::Solver;
use crate::state::host;
use crate::unit::{Observed, Surrogate};
use crate::{DynamicsError, Place, QuantityKind, State, Variable};

/// Time since the last spike of a cell that has had none, ms; it grows no further.
pub(super) const NEVER: f64 = 1e9;

/// The jumps `by` of cells that have fired longer ago than `period`, and of others none. `since` is the time since the last
/// spike, all in ms; a period that ends within [`ROUNDING`] of now is over.
pub(super) fn heard(by: Tensor<2>, since: &Tensor<2>, period: &Quantity) -> Tensor<2> {
    let waiting = since.clone().neg() + period;
    by.mask_fill(waiting.greater_elem(ROUNDING), 0.0)
}

/// ms
const ROUNDING: f64 = 1e-6;

/// How many spikes there were in the last step, and how long ago the last one was.
pub(super) fn spike_variables(cells: usize) -> [Variable; 2] {
    [
        Variable::new("spike", "1", cells).of_kind(QuantityKind::Spikes),
        Variable::new("since_spike", "ms", cells)
            .of_kind(QuantityKind::Elapsed)
            .within(0.0, NEVER),
    ]
}

/// The variables of cells with an exact step: the potential, the spikes of the step, and the time between them where it
/// has several.
pub(super) fn exact_variables(v: Variable) -> [Variable; 4] {
    let cells = v.width;
    let [spike, since] = spike_variables(cells);
    let interval = Variable::new("spike_interval", "ms", cells);
    let interval = interval.of_kind(QuantityKind::Elapsed).within(0.0, NEVER);
    [v, spike, since, interval]
}

/// The state of such cells at the beginning, which have never fired.
pub(super) fn exact_start(v: Tensor<2>) -> State {
    let quiet = v.zeros_like().detach();
    let never = quiet.clone().add_scalar(NEVER);
    State::new(vec![v, quiet.clone(), never, quiet])
}

/// A cell whose upstroke is cut at a peak; as a [`Field`](crate::Field) it is the equation between two spikes, of the variables
/// v and recovery.
pub trait Resetting: Coordinates {
    /// Where v starts anew, in the shape of `v`.
    fn reset(&self, v: Tensor<2>) -> Tensor<2>;

    /// The recovery after a spike.
    fn jump(&self, recovery: Tensor<2>) -> Tensor<2>;

    /// The absolute refractory period, ms.
    fn refractory(&self) -> f64 {
        0.0
    }

    /// The recovery after a `time` for which v was held at the reset.
    fn hold(&self, recovery: Tensor<2>, _time: Tensor<2>) -> Tensor<2> {
        recovery
    }
}

/// A cell with a reset, with the solver that moves it between spikes.
///
/// A step moves each cell to the end of the step as if there were no peak. Where it has then passed the peak, the time of
/// the crossing is a root of the cubic through both ends of the step and their slopes; the cell is reset there, waits for
/// what the refractory period leaves of the step, and moves through the rest of it. All cells are moved so and a mask keeps
/// what each needs, so that every backend does the same arithmetic; on a CPU the way from the reset is left out where no
/// cell fires. Gradients pass through the time of the crossing; the
/// spike itself has the surrogate's.
///
/// A cell fires once in a step. Where it would again, it waits at the peak and fires at the beginning of the next one.
///
/// State: v, recovery, `spike`, `since_spike`.
#[derive(Clone, Debug)]
pub struct Firing<F, S> {
    /// The equations.
    pub field: F,
    /// The method.
    pub solver: S,
    variables: Vec<Variable>,
    /// The coordinate of the peak, `[1, 1]` or `[1, cells]`.
    peak: Tensor<2>,
    /// One over the distance from reset to peak, of coordinates.
    per_span: Tensor<2>,
    surrogate: Surrogate,
    observed: Observed,
}

impl<F: Resetting, S: Solver> Firing<F, S> {
    /// Cells that fire at the potential `peak`.
    pub fn new(
        (field, solver): (F, S),
        peak: f64,
        (surrogate, observed): (Surrogate, Observed),
        place: &Place,
    ) -> Self {
        let cells = field.variables().first().map_or(0, |v| v.width);
        let mut variables = field.variables().to_vec();
        variables.extend(spike_variables(cells));
        let zero = place.full(0.0, [1, 1]);
        let [peak, _] = field.smooth(place.full(peak, [1, 1]), zero.clone());
        let [reset, _] = field.smooth(field.reset(zero.clone()), zero);
        let per_span = (peak.clone() - reset).recip();
        Self {
            field,
            solver,
            variables,
            peak,
            per_span,
            surrogate,
            observed,
        }
    }

    /// The state at the beginning, of a cell that has never fired.
    pub fn start(v: Tensor<2>, recovery: Tensor<2>) -> State {
        let quiet = v.zeros_like().detach();
        let never = quiet.clone().add_scalar(NEVER);
        State::new(vec![v, recovery, quiet, never])
    }
}

impl<F: Resetting, S: Solver> Dynamics for Firing<F, S> {
    fn name(&self) -> &str {
        self.field.name()
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
        let (dt, period) = (at.dt, self.field.refractory());
        let [v, recovery, _, since] = state.tensors() else {
            return Err(DynamicsError::Shape {
                what: format!("the state of {} (number of variables)", self.name()),
                expected: vec![self.variables.len()],
                found: vec![state.len()],
            });
        };
        self.field.check_input(state, input)?;
        let moved = |share: Option<Tensor<2>>, from: [Tensor<2>; 2]| {
            let field = Smooth {
                field: &self.field,
                share,
            };
            let from = State::new(from.to_vec());
            let to = self.solver.step(&field, at, &from, input)?;
            Ok::<_, DynamicsError>((field, from, to))
        };

        // What is left of the last refractory period, then to the end of the step.
        let (mut recovery, mut share) = (recovery.clone(), None);
        if period > 0.0 {
            let waiting = since.clone().neg().add_scalar(period).clamp(0.0, dt);
            recovery = self.field.hold(recovery, waiting.clone());
            share = Some(waiting.mul_scalar(-1.0 / dt).add_scalar(1.0));
        }
        let begin = self.field.smooth(v.clone(), recovery);
        let (field, begin, end) = moved(share.clone(), begin)?;
        let over = end[0].clone() - self.peak.clone();
        let [kept_v, kept] = self.field.rough([end[0].clone(), end[1].clone()]);
        let later = since.clone().add_scalar(dt).clamp_max(NEVER);
        let distance = over.clone() * self.per_span.clone();
        if nobody_fires(&over)? {
            let spikes = self.surrogate.attach(over.zeros_like().detach(), distance);
            return Ok(State::new(vec![kept_v, kept, spikes, later]));
        }
        let fired = over.clone().greater_equal_elem(0.0);
        let quiet = fired.clone().bool_not();

        let first = field.derivative(at.time, &begin, input);
        let last = field.derivative(at.time + dt, &end, input);
        let cubic = |variable: usize| {
            let slope = |slopes: &State| slopes[variable].clone().mul_scalar(dt);
            Cubic::new(
                begin[variable].clone(),
                end[variable].clone(),
                [slope(&first), slope(&last)],
            )
        };
        let crossing = cubic(0).root(&self.peak, &quiet);
        let there = cubic(1).at(&crossing);
        let summit = self.peak.clone().expand(there.dims());
        let [_, fallen] = self.field.rough([summit, there]);
        let mut renewed = self.field.jump(fallen);

        // From the reset through the rest of the step.
        let mut rest = crossing.neg().add_scalar(1.0);
        if let Some(share) = share {
            rest = rest * share;
        }
        let left = rest.clone().mul_scalar(dt);
        if period > 0.0 {
            let waiting = left.clone().clamp_max(period);
            renewed = self.field.hold(renewed, waiting.clone());
            rest = (left.clone() - waiting).mul_scalar(1.0 / dt);
        }
        let reset = self.field.reset(v.clone().detach());
        let (_, _, anew) = moved(Some(rest), self.field.smooth(reset, renewed))?;

        let behind = anew[0].clone().greater(self.peak.clone().expand(v.dims()));
        let anew_at = anew[0]
            .clone()
            .mask_where(behind, self.peak.clone().expand(v.dims()));
        let [anew_v, anew] = self.field.rough([anew_at, anew[1].clone()]);
        let spikes = fired.clone().float().cast(v.dtype());
        Ok(State::new(vec![
            kept_v.mask_where(fired.clone(), anew_v),
            kept.mask_where(fired.clone(), anew),
            self.surrogate.attach(spikes, distance),
            later.mask_where(fired, left),
        ]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[2].clone(),
        }
    }

    fn jump(&self, state: &State, by: Tensor<2>) -> State {
        let period = self.field.refractory();
        let by = if period > 0.0 {
            heard(by, &state[3], &Quantity::Number(period))
        } else {
            by
        };
        let mut after = state.clone();
        after.replace(0, state[0].clone() + by);
        after
    }
}

/// Whether it is known that no cell is `over` the peak: the masks would then keep nothing of the way from the reset. Where
/// tensors do not live in host memory, to ask costs more than to go there.
fn nobody_fires(over: &Tensor<2>) -> Result<bool, DynamicsError> {
    if !granule_ops::is_on_host(over) {
        return Ok(false);
    }
    let furthest = host(crate::state::plain(over.clone()).max())?;
    Ok(furthest.iter().all(|over| *over < 0.0))
}
