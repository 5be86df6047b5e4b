//! A run whose steps are taken many in a call, and its way back, which is taken so as well.
//!
//! The step `x ← f(x, u; p)` of a model is recorded, and so is what Burn's autodiff makes of it: with the adjoint `λ` of the state
//! after the step and the slope `s` of the loss in what is observed there, the operations that give
//!
//! `λ ← λ ∂f/∂x + s ∂g/∂x` and `γ ← γ + λ ∂f/∂p + s ∂g/∂p`, where `g(x; p)` is what is observed after the step from `x`.
//!
//! They need the state before the step, and nothing else of the run.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use granule_io::{answered, budget};
use granule_ops::script::{
    self, Given, Recorded, Saved, Script, See, Slopes, Unrecorded, record_once,
};

use super::{Backward, Memory, Run, accumulate, add, finite, plain_beginning, segments};
use crate::model::{Dynamics, Input, Model, PlainInput, Span};
use crate::simulate::{CHECK_EVERY, Grid, check_beginning};
use crate::state::{host, is_tracked, taped};
use crate::whole::{WholeRun, WholeSteps, noted};
use crate::{DynamicsError, Place, State};

/// Numbers that are given to one call: 256 KiB, so that they are in a near cache still.
const TOGETHER: usize = 1 << 15;

/// Elements of all parameters that are set for each run; more of them are part of what is recorded, where the zeros of large
/// matrices are left out.
const MOST_SETTINGS: usize = 1 << 16;
/// Steps that are kept in a [`RecordedSteps`](super::RecordedSteps): of some shapes of a run, or parts of a model.
const MOST_KEPT: usize = 16;

/// Elements of a variable up to which recorded steps are faster than a fused operation of many steps: that one has its way back
/// written by hand, and hardly more of Burn's operations than one.
const MOST_BESIDE_FUSED: usize = 4;

/// What one gradient leaves for the next.
#[derive(Debug)]
pub(super) struct Kept {
    what: What,
    /// Or why there are none.
    steps: Result<Arc<BothWays>, String>,
}

/// What has to be the same for steps to be the same.
#[derive(Debug, PartialEq)]
struct What {
    /// All that the model says of itself as text: its kind, its solver and what it has beside parameters, as numbers and seeds.
    described: u64,
    /// Which parameters, whether they are trained, and their shapes.
    parameters: Vec<(ParamId, bool, Vec<usize>)>,
    states: Vec<[usize; 2]>,
    observed: [usize; 2],
    input: Option<[usize; 2]>,
    dtype: DType,
    device: Device,
    dt: f64,
}

/// Hashes what is written.
struct Described(DefaultHasher);

impl Write for Described {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.hash(&mut self.0);
        Ok(())
    }
}

fn described(model: &impl Model) -> u64 {
    let mut text = Described(DefaultHasher::new());
    // Hashing does not fail.
    let _ = write!(text, "{model:?}");
    text.0.finish()
}

impl ModuleVisitor for What {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        self.parameters
            .push((param.id, value.is_require_grad(), shape));
    }
}

/// A step both ways.
#[derive(Debug)]
pub(super) struct BothWays {
    /// Sees what is observed after the step, and each variable before it.
    forward: WholeSteps,
    back: Arc<Script>,
    parameters: Vec<Trained>,
    /// Whether parameters are set for each run.
    set: bool,
}

/// Says while a step is recorded that parameters are set for each run.
struct Setting;

impl ModuleVisitor for Setting {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.shape().num_elements() > 0 {
            script::setting(&value);
        }
    }
}

/// What is set for a run.
struct Settings(Result<Vec<Vec<f64>>, DynamicsError>);

impl ModuleVisitor for Settings {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.shape().num_elements() == 0 {
            return;
        }
        if let Ok(all) = &mut self.0 {
            match host(value) {
                Ok(values) => all.push(values),
                Err(error) => self.0 = Err(error),
            }
        }
    }
}

/// A parameter that is trained, and the number of its elements.
#[derive(Debug)]
struct Trained {
    id: ParamId,
    len: usize,
    /// Whether a step depends on it.
    used: bool,
}

struct Training(Vec<Trained>);

impl ModuleVisitor for Training {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let known = self.0.iter().any(|trained| trained.id == param.id);
        if value.is_require_grad() && !known && value.shape().num_elements() > 0 {
            self.0.push(Trained {
                id: param.id,
                len: value.shape().num_elements(),
                used: false,
            });
        }
    }
}

/// Takes the gradients of parameters as rows.
struct Rows {
    slopes: Slopes,
    found: HashMap<ParamId, Tensor<2>>,
}

impl ModuleVisitor for Rows {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(slope) = self.slopes.take(&param.val()) {
            let len = slope.shape().num_elements();
            let slope = slope.reshape([1, len]);
            // A parameter may stand in several places.
            let sum = match self.found.remove(&param.id) {
                Some(other) => other + slope,
                None => slope,
            };
            self.found.insert(param.id, sum);
        }
    }
}

/// Puts the parameters of a model that is recorded on a tape.
struct Taping<'a>(&'a [Trained]);

impl ModuleMapper for Taping<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trained = self.0.iter().any(|trained| trained.id == param.id);
        param.map(|value| match taped(value) {
            value if trained => value.require_grad(),
            value => value,
        })
    }
}

/// Puts rows of numbers where the gradients of parameters are.
struct Numbers {
    rows: HashMap<ParamId, Vec<f64>>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Numbers {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(row) = self.rows.remove(&param.id) {
            let like = param.val();
            let place = (&like.device().without_autodiff(), like.dtype());
            let data = TensorData::new(row, like.shape());
            let gradient = Tensor::<D>::from_data(data, place);
            self.gradients.register(param.id, gradient);
        }
    }
}

/// The sum of all products of the elements of tensors and slopes that depend on anything.
fn product(pairs: impl Iterator<Item = (Tensor<2>, Tensor<2>)>) -> Option<Tensor<1>> {
    let terms = pairs.filter(|(x, _)| is_tracked(x));
    let terms = terms.map(|(x, slope)| (x * taped(slope)).sum());
    terms.reduce(|sum, term| sum + term)
}

impl BothWays {
    /// Records the step of a model whose plain state at the beginning and what it shows of that have these shapes.
    fn record<M: Model, I: Input + ?Sized>(
        model: &M,
        run: &Run<'_, I>,
        initial: &State,
        what: &What,
    ) -> Result<Self, String> {
        let (observed, input) = (what.observed, what.input);
        let elements: usize = what
            .parameters
            .iter()
            .map(|(_, _, shape)| shape.iter().product::<usize>())
            .sum();
        let set = elements <= MOST_SETTINGS;
        let plain = |device: &Device| {
            let model = model.valid().to_device(device);
            if set {
                model.visit(&mut Setting);
            }
            model
        };
        let clock = run.grid.clock(0);
        let forward = WholeSteps::record(
            initial,
            input,
            clock,
            |device| plain(device).dynamics(),
            |dynamics, at, state, input| {
                let next = dynamics.step(at, state, input)?;
                let mut seen = vec![dynamics.observe(&next)];
                seen.extend(state.tensors().iter().cloned());
                Ok((next, seen))
            },
        )?;
        let mut training = Training(Vec::new());
        model.visit(&mut training);
        let mut parameters = training.0;
        let states = what.states.clone();
        let count = states.len();
        let given: Vec<[usize; 2]> = states
            .iter()
            .copied()
            .chain(input)
            .chain([observed])
            .collect();
        let after: Vec<[usize; 2]> = states
            .into_iter()
            .chain(parameters.iter().map(|trained| [1, trained.len]))
            .collect();
        let dtype = what.dtype;
        let step = |device: &Device, now: &[Tensor<2>], given: &[Tensor<2>]| {
            let model = plain(device).map(&mut Taping(&parameters));
            let dynamics = model.dynamics()?;
            let leaves = given[..count].iter().cloned();
            let leaves: Vec<Tensor<2>> = leaves.map(|x| taped(x).require_grad()).collect();
            let input = input.map(|_| taped(given[count].clone()));
            let state = State::new(leaves.clone());
            let (next, drawn) = noted(|| dynamics.step(clock, &state, input.as_ref()))?;
            let slope = given.last().cloned();
            let observed = slope.map(|slope| (dynamics.observe(&next), slope));
            let pairs = next.into_tensors().into_iter().zip(now.iter().cloned());
            let total = product(pairs.chain(observed));
            let slopes = total.and_then(Slopes::of);
            let mut slopes =
                slopes.ok_or_else(|| DynamicsError::device("nothing to differentiate"))?;
            let mut before: Vec<Tensor<2>> = leaves
                .iter()
                .map(|leaf| {
                    let own = slopes.take(leaf);
                    own.unwrap_or_else(|| crate::state::plain(leaf.clone()).zeros_like())
                })
                .collect();
            let mut rows = Rows {
                slopes,
                found: HashMap::new(),
            };
            model.visit(&mut rows);
            for (trained, sum) in parameters.iter_mut().zip(&now[count..]) {
                let own = rows.found.remove(&trained.id);
                trained.used = own.is_some();
                before.push(match own {
                    Some(own) => sum.clone() + own,
                    None => sum.clone(),
                });
            }
            let drawn = drawn.into_iter().map(|(tensor, ..)| tensor);
            Ok::<_, DynamicsError>(Recorded {
                next: before,
                seen: Vec::new(),
                given: drawn.collect(),
            })
        };
        // Burn's autodiff refuses some operations on what is recorded by a panic.
        let recorded = answered(|| record_once(dtype, &after, &given, step));
        let refused = |_| {
            Err(Unrecorded::Unknown(
                "a gradient that Burn does not record".into(),
            ))
        };
        let back = match recorded.unwrap_or_else(refused) {
            Ok(back) => back,
            Err(Unrecorded::Failed(DynamicsError::Device { .. })) => {
                return Err("a gradient that reads numbers as it goes".into());
            }
            Err(Unrecorded::Failed(error)) => return Err(error.to_string()),
            Err(Unrecorded::Unknown(what)) => return Err(what),
        };
        let drawn = back.given().split_off(given.len());
        if forward.script().given()[usize::from(input.is_some())..] != drawn {
            return Err("random numbers that a step with a gradient draws otherwise".into());
        }
        Ok(Self {
            forward,
            back: Arc::new(back),
            parameters,
            set,
        })
    }

    /// What is set for a run of this model.
    fn settings<M: Module>(&self, model: &M) -> Result<Vec<Vec<f64>>, DynamicsError> {
        let mut settings = Settings(Ok(Vec::new()));
        if self.set {
            model.visit(&mut settings);
        }
        settings.0
    }

    /// Room for the variables that the way back of so many steps needs.
    fn room(&self, count: usize) -> Result<Vec<Vec<f64>>, DynamicsError> {
        let widths = self.forward.script().states();
        let room = widths
            .iter()
            .zip(self.back.needed())
            .map(|(width, needed)| {
                let numbers = if *needed { width * count } else { 0 };
                budget::with_capacity(numbers, "the states of a run for its gradient")
            });
        Ok(room.collect::<Result<_, _>>()?)
    }

    /// When each thing that a step forward shows is kept: what is observed `every` so many steps, and the variables that the way
    /// back needs always, or never.
    fn see(&self, every: Option<usize>, states: bool) -> Vec<See> {
        let count = self.forward.script().states().len();
        let needed = self.back.needed()[..count].iter();
        let variables = needed.map(|needed| match needed {
            true if states => See::Every(1),
            _ => See::Never,
        });
        let observed = every.map_or(See::Never, See::Every);
        std::iter::once(observed).chain(variables).collect()
    }
}

/// What is kept of a run for its way back.
enum States {
    /// The variables that it needs, before every step.
    All(Vec<Vec<f64>>),
    /// The state at the beginning of every segment.
    Begins(Vec<Saved>),
}

/// A run that was taken forward.
pub(super) struct Forward {
    steps: Arc<BothWays>,
    settings: Vec<Vec<f64>>,
    initial: State,
    input: Option<[usize; 2]>,
    observed: Tensor<3>,
    states: States,
}

/// The numbers of the input at some steps, in a row; `None` where they are not of this shape, or on a tape.
fn inputs<I: Input + ?Sized>(
    run: &Run<'_, I>,
    shape: Option<[usize; 2]>,
    steps: Range<usize>,
) -> Result<Option<Vec<f64>>, DynamicsError> {
    let width = shape.map_or(0, |[rows, columns]| rows.saturating_mul(columns));
    let numbers = width.saturating_mul(steps.len());
    let mut all = budget::with_capacity(numbers, "the inputs of a run for its gradient")?;
    for step in steps {
        match (run.input.at(run.grid.clock(step)), shape) {
            (None, None) => {}
            (Some(input), Some(shape)) if input.dims() == shape && !is_tracked(&input) => {
                all.extend(host(input)?);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(all))
}

impl Forward {
    /// Takes a run; a sentence says why it is not taken so.
    pub(super) fn run<M: Model, I: Input + ?Sized>(
        model: &M,
        run: &Run<'_, I>,
        known: &mut Vec<Kept>,
    ) -> Result<Result<Self, String>, DynamicsError> {
        if !matches!(run.grid, Grid::Uniform { steps: 1.., .. }) {
            return Ok(Err("steps of several lengths".into()));
        }
        let plain = model.valid();
        let dynamics = plain.dynamics()?;
        let initial = plain_beginning(&plain, run)?;
        check_beginning(&dynamics, &initial, run.grid, run.every)?;
        if !initial.tensors().iter().all(granule_ops::is_on_host) {
            return Ok(Err("a device that is no CPU".into()));
        }
        let sizes = initial.tensors().iter().map(|x| x.shape().num_elements());
        if sizes.max().unwrap_or(0) > MOST_BESIDE_FUSED {
            let one = Span {
                steps: vec![run.grid.clock(0)],
                every: run.every,
            };
            let input = PlainInput(run.input);
            if dynamics.course(&one, &initial, &input)?.is_some() {
                return Ok(Err("many steps are one fused operation".into()));
            }
        }
        let first = dynamics.observe(&initial);
        let input = run.input.at(run.grid.clock(0)).map(|x| x.dims());
        let mut what = What {
            described: described(model),
            parameters: Vec::new(),
            states: initial.tensors().iter().map(Tensor::dims).collect(),
            observed: first.dims(),
            input,
            dtype: first.dtype(),
            device: first.device(),
            dt: run.grid.clock(0).dt,
        };
        model.visit(&mut what);
        // What was used last is kept longest.
        let found = known.iter().position(|kept| kept.what == what);
        if let Some(at) = found {
            known[..=at].rotate_right(1);
        }
        let steps = match known.first().filter(|_| found.is_some()) {
            Some(kept) => kept.steps.clone(),
            None => BothWays::record(model, run, &initial, &what).map(Arc::new),
        };
        let again = steps.as_ref().map_or(true, |steps| steps.set);
        if found.is_none() && again {
            known.truncate(MOST_KEPT - 1);
            let steps = steps.clone();
            known.insert(0, Kept { what, steps });
        }
        let steps = match steps {
            Ok(steps) => steps,
            Err(why) => return Ok(Err(why)),
        };
        let settings = steps.settings(model)?;
        let count = run.grid.steps();
        let (mut kept, length) = match segments(run.memory, count) {
            None => (States::All(steps.room(count)?), count),
            Some((outer, _)) => {
                let widths: usize = steps.forward.script().states().iter().sum();
                let numbers = outer.saturating_mul(widths);
                budget::ask_for::<f64>("the states of a run for its gradient", numbers)?;
                (States::Begins(Vec::new()), count.div_ceil(outer).max(1))
            }
        };
        let see = steps.see(Some(run.every), matches!(kept, States::All(_)));
        let [rows, columns] = first.dims();
        let samples = count / run.every + 1;
        let mut observed = budget::with_capacity(samples * rows * columns, "what is observed")?;
        observed.extend(host(first)?);
        let mut forward = steps.forward.begin_with(&initial, &settings)?;
        while forward.done() < count {
            let from = forward.done();
            if let States::Begins(begins) = &mut kept
                && from.is_multiple_of(length)
            {
                begins.push(forward.saved());
            }
            // The state is looked at after the same steps in every run.
            let to_check = CHECK_EVERY - from % CHECK_EVERY;
            let some = to_check.min(length - from % length).min(count - from);
            let Some(given) = inputs(run, input, from..from + some)? else {
                return Ok(Err(
                    "an input that changes its shape or has a gradient".into()
                ));
            };
            let mut seen = forward.steps(some, &given, &see)?.into_iter();
            observed.extend(seen.next().unwrap_or_default().values);
            if let States::All(all) = &mut kept {
                for (all, seen) in all.iter_mut().zip(seen) {
                    all.extend(seen.values);
                }
            }
            let done = from + some;
            if done.is_multiple_of(CHECK_EVERY) || done == count {
                let pairs = dynamics.variables().iter().zip(forward.values());
                if pairs
                    .into_iter()
                    .any(|(variable, x)| !variable.is_plausible(&x))
                {
                    return Ok(Err("a state that no model has".into()));
                }
            }
        }
        let place = Place::of(&initial[0]);
        Ok(Ok(Self {
            steps,
            settings,
            input,
            observed: place.tensor(observed, [samples, rows, columns]),
            initial,
            states: kept,
        }))
    }

    /// The gradient of a loss of what was observed.
    pub(super) fn differentiate<M: Model, I: Input + ?Sized>(
        self,
        model: &M,
        run: &Run<'_, I>,
        loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
    ) -> Result<Backward, DynamicsError> {
        let leaf = self.observed.clone().autodiff().require_grad();
        let value = loss(leaf.clone());
        let mut found = Backward {
            loss: finite(&value, run)?,
            parameters: GradientsParams::new(),
            initial: self.initial.clone().map(|x| x.zeros_like()),
            observed: self.observed.clone(),
            tape: None,
        };
        let mut slopes = None;
        if value.is_tracked() {
            let mut gradients = value.backward();
            slopes = leaf.grad_remove(&mut gradients);
            accumulate(&mut found.parameters, gradients, model);
        }
        let Some(slopes) = slopes else {
            return Ok(found);
        };
        let [samples, rows, columns] = slopes.dims();
        let first = slopes.clone().narrow(0, 0, 1).reshape([rows, columns]);
        let slopes = host(slopes)?;
        let zeros = self.steps.back.states();
        let zeros: Vec<Vec<f64>> = zeros.into_iter().map(|len| vec![0.0; len]).collect();
        let misfit = || DynamicsError::device("the way back has other shapes");
        let back = script::Run::with(Arc::clone(&self.steps.back), &self.settings, &zeros);
        let back = back.ok_or_else(misfit)?;
        let mut sweep = Sweep {
            of: &self.steps,
            run,
            input: self.input,
            forward: self
                .steps
                .forward
                .begin_with(&self.initial, &self.settings)?,
            back,
            last: (samples - 1) * run.every,
            width: rows * columns,
            slopes,
        };
        match (self.states, segments(run.memory, run.grid.steps())) {
            (States::Begins(begins), Some((_, inner))) => {
                let truncated = matches!(run.memory, Memory::Truncated(_));
                sweep.segments(begins, run.grid.steps(), inner, truncated)?;
            }
            (States::All(states), _) => sweep.back(0..run.grid.steps(), &states)?,
            _ => {}
        }
        let mut state = sweep.back.state();
        let sums = state.split_off(self.initial.len());
        let used = self.steps.parameters.iter().zip(sums);
        let used = used.filter(|(trained, _)| trained.used);
        let mut numbers = Numbers {
            rows: used.map(|(trained, sum)| (trained.id, sum)).collect(),
            gradients: GradientsParams::new(),
        };
        model.visit(&mut numbers);
        add(&mut found.parameters, numbers.gradients, model);

        // The state at the beginning, which is observed as well.
        let begin = match &run.initial {
            Some(_) => self.initial.map(|x| x.autodiff().require_grad()),
            None => model.initial_state(run.batch)?,
        };
        let adjoints = begin.tensors().iter().zip(state);
        let adjoints = adjoints.map(|(x, adjoint)| {
            let place = Place::of(&x.clone().without_autodiff());
            (x.clone(), place.tensor(adjoint, x.dims()))
        });
        let observed = (model.dynamics()?.observe(&begin), first);
        if let Some(total) = product(adjoints.chain([observed])) {
            let mut gradients = total.backward();
            if run.initial.is_some() {
                found.initial = begin.zip(found.initial, |leaf, zeros| {
                    leaf.grad_remove(&mut gradients).unwrap_or(zeros)
                });
            }
            accumulate(&mut found.parameters, gradients, model);
        }
        Ok(found)
    }
}

/// The way back.
struct Sweep<'a, 'b, I: Input + ?Sized> {
    of: &'a BothWays,
    run: &'a Run<'b, I>,
    input: Option<[usize; 2]>,
    forward: WholeRun,
    back: script::Run,
    /// The steps done when something is observed for the last time: what follows has no slope.
    last: usize,
    /// How many numbers are observed at a time.
    width: usize,
    /// ∂loss/∂observed
    slopes: Vec<f64>,
}

impl<I: Input + ?Sized> Sweep<'_, '_, I> {
    /// The segments that begin at these states, of which the last one ends after `to` steps.
    fn segments(
        &mut self,
        begins: Vec<Saved>,
        to: usize,
        inner: &[usize],
        truncated: bool,
    ) -> Result<(), DynamicsError> {
        let mut end = to;
        for begin in begins.iter().rev() {
            let from = begin.done();
            self.segment(begin, end, inner)?;
            if truncated && from > 0 {
                let mut state = self.back.state();
                let variables = self.of.forward.script().states().len();
                state[..variables].iter_mut().for_each(|x| x.fill(0.0));
                self.back.set(&state);
            }
            end = from;
        }
        Ok(())
    }

    fn segment(&mut self, begin: &Saved, to: usize, counts: &[usize]) -> Result<(), DynamicsError> {
        let from = begin.done();
        if from >= self.last {
            return Ok(());
        }
        self.forward.restore(begin);
        let Some((count, inner)) = counts.split_first() else {
            let see = self.of.see(None, true);
            let mut states = self.of.room(to - from)?;
            for first in (from..to).step_by(CHECK_EVERY) {
                let end = (first + CHECK_EVERY).min(to);
                let given = self.inputs(first..end)?;
                let seen = self.forward.steps(end - first, &given, &see)?;
                for (all, seen) in states.iter_mut().zip(seen.into_iter().skip(1)) {
                    all.extend(seen.values);
                }
            }
            return self.back(from..to, &states);
        };
        let length = (to - from).div_ceil(*count).max(1);
        let see = self.of.see(None, false);
        let mut begins = vec![begin.clone()];
        for end in (from..to).step_by(length).skip(1) {
            for first in (end - length..end).step_by(CHECK_EVERY) {
                let last = (first + CHECK_EVERY).min(end);
                let given = self.inputs(first..last)?;
                self.forward.steps(last - first, &given, &see)?;
            }
            begins.push(self.forward.saved());
        }
        self.segments(begins, to, inner, false)
    }

    fn inputs(&self, steps: Range<usize>) -> Result<Vec<f64>, DynamicsError> {
        let given = inputs(self.run, self.input, steps)?;
        given.ok_or_else(|| DynamicsError::device("an input is not what it was before"))
    }

    /// Takes some steps back, given the variables before each of them.
    fn back(&mut self, steps: Range<usize>, states: &[Vec<f64>]) -> Result<(), DynamicsError> {
        let widths = self.of.back.given();
        let columns: usize = widths.iter().sum();
        let most = (TOGETHER / columns.max(1)).max(1);
        let mut end = steps.end.min(self.last);
        while end > steps.start {
            let begin = end.saturating_sub(most).max(steps.start);
            let mut numbers = Vec::with_capacity(widths.len());
            for (values, width) in states.iter().zip(&widths) {
                let own = (begin - steps.start) * width..(end - steps.start) * width;
                // Empty of variables that are not needed.
                numbers.push(backwards(values.get(own).unwrap_or_default(), *width));
            }
            if let Some([rows, columns]) = self.input {
                let values = self.inputs(begin..end)?;
                numbers.push(backwards(&values, rows * columns));
            }
            let mut slopes = vec![0.0; (end - begin) * self.width];
            let places = slopes.chunks_exact_mut(self.width.max(1));
            for (place, step) in places.zip((begin..end).rev()) {
                if (step + 1).is_multiple_of(self.run.every) {
                    let sample = (step + 1) / self.run.every;
                    place.copy_from_slice(&self.slopes[sample * self.width..][..self.width]);
                }
            }
            numbers.push(slopes);
            let fills = self.of.forward.drawn_backwards(end, self.back.done());
            let drawn = fills.iter().map(|fill| Given::Drawn(fill));
            let given = numbers.iter().map(|x| Given::Numbers(x)).chain(drawn);
            let given: Vec<Given<'_>> = given.collect();
            let taken = self.back.steps_drawn(end - begin, &given, &[]);
            taken.ok_or_else(|| DynamicsError::device("what is given for the way back"))?;
            end = begin;
        }
        Ok(())
    }
}

/// Rows of numbers from the last to the first.
fn backwards(rows: &[f64], width: usize) -> Vec<f64> {
    let rows = rows.chunks_exact(width.max(1)).rev();
    rows.flatten().copied().collect()
}
