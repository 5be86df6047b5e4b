//! Recurrent models, one step at a time.

mod gated;
mod rate;
mod shared;
mod wilson_cowan;

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use granule_io::budget;
use granule_io::words::counted;

pub(crate) use gated::GatedStep;
pub(crate) use rate::RateStep;
pub(crate) use wilson_cowan::WilsonCowanStep;

use crate::{InputShape, InputSpec, Model, ModelError, Predictor, Task};

/// One step of a recurrent model on the host.
pub trait Step: Debug + Send + Sync {
    /// The values of a step's input.
    fn inputs(&self) -> usize;

    /// The values that the model gives at a step.
    fn outputs(&self) -> usize;

    /// The state before the first step.
    fn initial(&self) -> &[f32];

    /// Takes `state` one step on, under an input as the network takes it, and writes what the network gives after it. `room` is
    /// for what the step needs, and has what the call before left there.
    ///
    /// The slices have the lengths that the other methods say.
    fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], room: &mut Vec<f32>);

    /// The units of the model, where they can be looked at and interfered with. Default none.
    fn units(&self) -> Option<&dyn Units> {
        None
    }

    /// The same units, to be changed. Default none.
    fn units_mut(&mut self) -> Option<&mut dyn Units> {
        None
    }
}

/// The units of a recurrent model: what they do, and what can be done to them.
pub trait Units: Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The units of each population that has a name.
    fn populations(&self) -> Vec<(&'static str, Vec<usize>)>;

    /// Writes what each unit hands on in `state`: a rate, a hidden value, a share of active cells.
    /// Default: the state, or the first of it.
    fn activity(&self, state: &[f32], activity: &mut [f32]) {
        for (value, own) in activity.iter_mut().zip(state) {
            *value = *own;
        }
    }

    /// [`Step::step`] under an intervention, whose slices have one element for each unit or none.
    fn step_under(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        intervention: Intervention<'_>,
        room: &mut Vec<f32>,
    );

    /// Takes the weights from some units to others away, the unit's own included where it is in both.
    fn cut(&mut self, from: &[usize], to: &[usize]);
}

/// What is done to the units of a model at a step, besides its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intervention<'a> {
    /// For each unit whether it hands nothing on, to units and outputs; empty: none is silent.
    pub silent: &'a [bool],
    /// What is added to the input of each unit (of a GRU or LSTM: to that of its new value); empty: nothing.
    pub current: &'a [f32],
}

impl Intervention<'_> {
    /// Takes what silent units hand on away.
    pub fn silence(&self, activity: &mut [f32]) {
        for (value, _) in activity
            .iter_mut()
            .zip(self.silent)
            .filter(|(_, silent)| **silent)
        {
            *value = 0.0;
        }
    }

    fn push(&self, input: &mut [f32]) {
        for (input, current) in input.iter_mut().zip(self.current) {
            *input += current;
        }
    }
}

/// A recurrent model inside another program's loop: state in, state out.
///
/// A step is one of those that the model was trained in ([`dt`](crate::ModelConfig::time_step)): of a sequence, or a row of an
/// image. As many steps from [`initial`](Self::initial) as a sample has give what [`Predictor`] gives for the sample, within
/// rounding; a model of windows goes on beyond its window. The
/// state belongs to the caller: one stepper, which is `Send + Sync`, serves any number of states and threads. After the first
/// step of each thread at once it asks for no memory; where a step is work for several threads, their queue may.
///
/// ```no_run
/// # fn sensors() -> Vec<f32> { Vec::new() }
/// # fn act(_: &[f32]) {}
/// # let device = granule_device::DeviceSpec::Cpu.open()?;
/// let stepper = granule_models::Stepper::from_path("rate.granule", device.burn())?;
/// let mut state = stepper.initial().to_vec();
/// let mut outputs = vec![0.0; stepper.outputs()];
/// loop {
///     stepper.step(&sensors(), &mut state, &mut outputs)?;
///     act(&outputs);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stepper {
    step: Box<dyn Step>,
    /// Of the values of one step.
    input: InputSpec,
    /// Of the outputs of one step.
    task: Task,
    outputs: usize,
    inverting: bool,
    /// Room of calls that are over.
    idle: Mutex<Vec<Room>>,
}

#[derive(Debug, Default)]
struct Room {
    input: Vec<f32>,
    outputs: Vec<f32>,
    /// The state after the step, which a step that fails leaves out.
    state: Vec<f32>,
    step: Vec<f32>,
}

impl Stepper {
    /// Loads a model file, a checkpoint, or the model of a run folder.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::from_path`] and of [`Predictor::stepper`].
    pub fn from_path(path: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let predictor = Predictor::from_path(path, device)?;
        predictor.stepper().map_err(|error| error.in_file(path))
    }

    /// Loads the content of a model file.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::from_bytes`] and of [`Predictor::stepper`].
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, ModelError> {
        Predictor::from_bytes(bytes, device)?.stepper()
    }

    /// Of a model that takes `input` and whose outputs mean `task`.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotRecurrent`]; [`ModelError::Config`] for real values whose scale differs from step to step, an answer that
    /// is not one of a step, and steps that do not fit `input` or `task`; [`ModelError::Memory`]; [`ModelError::Device`] where
    /// weights cannot be read.
    pub fn new(model: &impl Model, input: &InputSpec, task: &Task) -> Result<Self, ModelError> {
        // The weights are copied, and again as a plan has them.
        let weights = model.num_params().saturating_mul(2);
        budget::ask_for::<f32>(format_args!("the weights of a step"), weights)?;
        let step = model.step()?.ok_or(ModelError::NotRecurrent)?;
        let (steps, shape) = match input.shape {
            InputShape::Image {
                channels,
                height,
                width,
            } => {
                let row = InputShape::Image {
                    channels,
                    height: 1,
                    width,
                };
                (height, row)
            }
            InputShape::Sequence { channels, steps } => {
                (steps, InputShape::Sequence { steps: 1, channels })
            }
            InputShape::Vector { .. } => return Err(ModelError::NotRecurrent),
        };
        if step.inputs() != shape.len() {
            let takes = format!("steps of {}", counted(step.inputs(), "value"));
            return Err(ModelError::config("input", input.shape, takes));
        }
        let outputs = outputs_of(&*step, task, steps)?;
        Ok(Self {
            inverting: false,
            outputs,
            task: of_one_step(task, outputs)?,
            input: InputSpec {
                shape,
                ..input.clone()
            },
            step,
            idle: Mutex::default(),
        })
    }

    /// Whether the brightness of rows of images is inverted, as by [`Predictor::inverting`], whose steppers are as it is.
    #[must_use]
    pub fn inverting(self, inverting: bool) -> Self {
        Self { inverting, ..self }
    }

    /// The values of a step: channels of a sequence, or a row of an image with its channels one after the other.
    pub fn inputs(&self) -> usize {
        self.step.inputs()
    }

    /// The values that the model gives at a step.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The state before the first step; its length is that of every state.
    pub fn initial(&self) -> &[f32] {
        self.step.initial()
    }

    /// The units of the model, to be looked at.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] for a model of a user's own that does not tell them ([`Step::units`]).
    pub fn units(&self) -> Result<&dyn Units, ModelError> {
        self.step.units().ok_or_else(without_units)
    }

    /// Takes the weights from some units to others away, for all steps from now on.
    ///
    /// # Errors
    ///
    /// Those of [`units`](Self::units); [`ModelError::Config`] for a unit that there is not.
    pub fn cut(&mut self, from: &[usize], to: &[usize]) -> Result<(), ModelError> {
        let units = self.step.units_mut().ok_or_else(without_units)?;
        let count = units.count();
        if let Some(beyond) = from.iter().chain(to).find(|unit| **unit >= count) {
            let allowed = format!("below {count}, the number of units");
            return Err(ModelError::config("units", beyond, allowed));
        }
        units.cut(from, to);
        Ok(())
    }

    /// Takes `state` one step on under `input`, values as of [`Sample::Values`](crate::Sample::Values), and writes what the
    /// model gives after it into `outputs`: real values on their own scale, logits of a classifier.
    ///
    /// A step that fails leaves the state as it was.
    ///
    /// # Errors
    ///
    /// [`ModelError::InputLength`], [`ModelError::NonFiniteInput`] and [`ModelError::Intensity`] for what the model cannot take;
    /// [`ModelError::Config`] for a state or outputs of another length and a state that is not finite;
    /// [`ModelError::NonFiniteOutput`].
    pub fn step(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
    ) -> Result<(), ModelError> {
        self.step_under(input, state, outputs, Intervention::default())
    }

    /// As [`step`](Self::step), with something done to the units.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step); those of [`units`](Self::units), and [`ModelError::Config`] for an intervention with another
    /// number of units.
    pub fn step_under(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        intervention: Intervention<'_>,
    ) -> Result<(), ModelError> {
        let units = match (intervention.silent, intervention.current) {
            ([], []) => 0,
            _ => self.units()?.count(),
        };
        let of_units = |len: usize| if len == 0 { 0 } else { units };
        let (silent, current) = (intervention.silent.len(), intervention.current.len());
        let lengths = [
            ("state", state.len(), self.initial().len()),
            ("outputs", outputs.len(), self.outputs),
            ("silent", silent, of_units(silent)),
            ("current", current, of_units(current)),
        ];
        for (name, found, expected) in lengths {
            if found != expected {
                let [found, expected] = [found, expected].map(|len| counted(len, "value"));
                return Err(ModelError::config(name, found, expected));
            }
        }
        if let Some(value) = state.iter().find(|x| !x.is_finite()) {
            return Err(ModelError::config("state", value, "finite values"));
        }
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = idle().pop().unwrap_or_default();
        let taken = self.step_in(input, state, outputs, intervention, &mut room);
        idle().push(room);
        taken
    }

    fn step_in(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        intervention: Intervention<'_>,
        room: &mut Room,
    ) -> Result<(), ModelError> {
        room.input.clear();
        self.input.prepare(input, self.inverting, &mut room.input)?;
        room.state.clear();
        room.state.extend_from_slice(state);
        room.outputs.resize(self.step.outputs(), 0.0);
        let (state_after, given) = (&mut room.state, &mut room.outputs);
        match self.step.units() {
            Some(units) => units.step_under(
                &room.input,
                state_after,
                given,
                intervention,
                &mut room.step,
            ),
            None => self
                .step
                .step(&room.input, state_after, given, &mut room.step),
        }
        let given = room.outputs.get_mut(..self.outputs).unwrap_or_default();
        if !given.iter().chain(&room.state).all(|x| x.is_finite()) {
            return Err(ModelError::NonFiniteOutput);
        }
        self.task.scale_back(given)?;
        state.copy_from_slice(&room.state);
        outputs.copy_from_slice(given);
        Ok(())
    }
}

fn without_units() -> ModelError {
    let found = "a model that does not tell its units";
    let allowed = "rate, wilson-cowan, gru, lstm, or one whose `Step` has `units`";
    ModelError::config("model", found, allowed)
}

/// How many of the outputs of a step answer `task`: those of the whole answer, or of each of its steps.
fn outputs_of(step: &dyn Step, task: &Task, steps: usize) -> Result<usize, ModelError> {
    let (given, learnt, answers) = (step.outputs(), task.learnt_outputs(), task.outputs());
    if given == learnt {
        return Ok(answers);
    }
    // What is learnt besides stands after the answers of all steps.
    if learnt == answers && given.checked_mul(steps) == Some(answers) {
        return Ok(given);
    }
    let found = counted(answers, "output");
    let allowed = format!("those of a step, {given}, or of all {steps} steps");
    Err(ModelError::config("task", found, allowed))
}

/// The task with the scale of the outputs of one step, which is that of all of them.
fn of_one_step(task: &Task, width: usize) -> Result<Task, ModelError> {
    let mut task = task.clone();
    if let Task::Regression { mean, std, .. } = &mut task {
        let steps = |len: usize| len.div_ceil(width.max(1));
        let same = (1..steps(mean.len()))
            .all(|step| mean.get(step * width..(step + 1) * width) == mean.get(..width))
            && (1..steps(std.len()))
                .all(|step| std.get(step * width..(step + 1) * width) == std.get(..width));
        if !same {
            return Err(ModelError::config(
                "task",
                "a scale that differs from step to step",
                "one scale for all steps, to take them one at a time",
            ));
        }
        mean.truncate(width);
        std.truncate(width);
    }
    Ok(task)
}
