//! Recurrent models, one step at a time.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use granule_dynamics::population::{
    self, Activation, GatedCell, GatedNetwork, RateNetwork, WilsonCowanNetwork,
};
use granule_io::budget;
use granule_io::words::counted;
use granule_ops::{Plan, PlanInput, PlanLayer};

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
        // The weights are copied.
        budget::ask_for::<f32>(format_args!("the weights of a step"), model.num_params())?;
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
        let lengths = [
            ("state", state.len(), self.initial().len()),
            ("outputs", outputs.len(), self.outputs),
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
        let taken = self.step_in(input, state, outputs, &mut room);
        idle().push(room);
        taken
    }

    fn step_in(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        room: &mut Room,
    ) -> Result<(), ModelError> {
        room.input.clear();
        self.input.prepare(input, self.inverting, &mut room.input)?;
        room.state.clear();
        room.state.extend_from_slice(state);
        room.outputs.resize(self.step.outputs(), 0.0);
        self.step.step(
            &room.input,
            &mut room.state,
            &mut room.outputs,
            &mut room.step,
        );
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

/// The values of a tensor.
fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(ModelError::device)
}

/// x W + b.
#[derive(Debug)]
struct Affine {
    /// None on processors without vectors that a plan knows.
    plan: Option<Plan>,
    /// `[inputs, outputs]`, unless there is a plan.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Affine {
    fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        let layer = PlanLayer::Dense {
            weight: (&weight).into(),
            bias: Some((&bias).into()),
            outputs,
        };
        let plan = match inputs {
            0 => None,
            _ => Plan::new(PlanInput::Vector(inputs), vec![layer], outputs),
        };
        Self {
            weight: if plan.is_some() { Vec::new() } else { weight },
            plan,
            bias,
        }
    }

    fn of(layer: &Linear) -> Result<Self, ModelError> {
        let [_, outputs] = layer.weight.dims();
        let bias = match &layer.bias {
            Some(bias) => values(bias.val())?,
            None => vec![0.0; outputs],
        };
        Ok(Self::new(values(layer.weight.val())?, bias))
    }

    fn run(&self, x: &[f32], out: &mut [f32]) {
        if let Some(plan) = &self.plan {
            return plan.run(x, out);
        }
        out.copy_from_slice(&self.bias);
        for (x, row) in x
            .iter()
            .zip(self.weight.chunks_exact(self.bias.len().max(1)))
        {
            for (out, weight) in out.iter_mut().zip(row) {
                *out += x * weight;
            }
        }
    }
}

/// Parts of some lengths, one after the other, of `room`, which grows to them.
fn parts<const N: usize>(room: &mut Vec<f32>, lengths: [usize; N]) -> [&mut [f32]; N] {
    room.resize(lengths.iter().sum(), 0.0);
    let mut rest = &mut room[..];
    lengths.map(|len| {
        let (part, others) = core::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        part
    })
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A step of a [`RateNetwork`]; the state is x.
#[derive(Debug)]
pub(crate) struct RateStep {
    /// Of rates and inputs together.
    drive: Affine,
    readout: Option<Affine>,
    alpha: Vec<f32>,
    initial: Vec<f32>,
    activation: Activation,
    inputs: usize,
}

impl RateStep {
    pub(crate) fn new(network: &RateNetwork) -> Result<Self, ModelError> {
        let n = network.units();
        let mut weight = values(network.recurrent.value())?;
        if let Some(input) = &network.input {
            weight.extend(values(input.val())?);
        }
        let alpha = network.time_constant.value().recip();
        let alpha = alpha.mul_scalar(network.config().dt).expand([1, n]);
        let readout = |readout: &population::Readout| {
            let bias = values(readout.bias.value())?;
            Ok::<_, ModelError>(Affine::new(values(readout.weights())?, bias))
        };
        Ok(Self {
            drive: Affine::new(weight, values(network.bias.value())?),
            readout: network.readout.as_ref().map(readout).transpose()?,
            alpha: values(alpha)?,
            initial: values(network.initial.value())?,
            activation: network.config().activation,
            inputs: network.inputs(),
        })
    }

    fn rate(&self, x: f32) -> f32 {
        self.activation.rate_of(f64::from(x)) as f32
    }
}

impl Step for RateStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        let readout = self.readout.as_ref();
        readout.map_or(self.initial.len(), |readout| readout.bias.len())
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], room: &mut Vec<f32>) {
        let n = state.len();
        let [x, drive] = parts(room, [n + self.inputs, n]);
        let (rates, inputs) = x.split_at_mut(n);
        inputs.copy_from_slice(input);
        for (rate, state) in rates.iter_mut().zip(&*state) {
            *rate = self.rate(*state);
        }
        self.drive.run(x, drive);
        for ((state, drive), alpha) in state.iter_mut().zip(&*drive).zip(&self.alpha) {
            *state += alpha * (drive - *state);
        }
        for (rate, state) in x.iter_mut().zip(&*state) {
            *rate = self.rate(*state);
        }
        let rates = &x[..n];
        match &self.readout {
            Some(readout) => readout.run(rates, outputs),
            None => outputs.copy_from_slice(rates),
        }
    }
}

/// A step of a [`GatedNetwork`]; the state is h, and m after it where there is one.
#[derive(Debug)]
pub(crate) struct GatedStep {
    cell: GatedCell,
    input: Affine,
    recurrent: Affine,
    readout: Affine,
    initial: Vec<f32>,
    inputs: usize,
    units: usize,
}

impl GatedStep {
    pub(crate) fn new(network: &GatedNetwork) -> Result<Self, ModelError> {
        let [inputs, _] = network.cells.input.weight.dims();
        let [units, _] = network.cells.recurrent.weight.dims();
        let cell = network.cells.cell();
        let carried = match cell {
            GatedCell::Gru => units,
            GatedCell::Lstm => 2 * units,
        };
        Ok(Self {
            cell,
            input: Affine::of(&network.cells.input)?,
            recurrent: Affine::of(&network.cells.recurrent)?,
            readout: Affine::of(&network.readout)?,
            initial: vec![0.0; carried],
            inputs,
            units,
        })
    }
}

impl Step for GatedStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.readout.bias.len()
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], room: &mut Vec<f32>) {
        let n = self.units;
        let width = self.input.bias.len();
        let [p, q] = parts(room, [width, width]);
        let (h, memory) = state.split_at_mut(n);
        self.input.run(input, p);
        self.recurrent.run(h, q);
        for (j, h) in h.iter_mut().enumerate() {
            let gate = |gate: usize| sigmoid(p[gate * n + j] + q[gate * n + j]);
            match self.cell {
                GatedCell::Gru => {
                    let (r, z) = (gate(0), gate(1));
                    let new = (p[2 * n + j] + r * q[2 * n + j]).tanh();
                    *h = z * (*h - new) + new;
                }
                GatedCell::Lstm => {
                    let (i, f, o) = (gate(0), gate(1), gate(2));
                    let new = (p[3 * n + j] + q[3 * n + j]).tanh();
                    memory[j] = f * memory[j] + i * new;
                    *h = o * memory[j].tanh();
                }
            }
        }
        self.readout.run(h, outputs);
    }
}

/// A step of a [`WilsonCowanNetwork`]; the state is the share of cells that are active.
#[derive(Debug)]
pub(crate) struct WilsonCowanStep {
    /// Of activities and inputs together.
    drive: Affine,
    readout: Affine,
    units: Vec<WilsonCowanUnit>,
    initial: Vec<f32>,
    refractoriness: f32,
    inputs: usize,
}

#[derive(Clone, Copy, Debug)]
struct WilsonCowanUnit {
    slope: f32,
    threshold: f32,
    /// The response without a current, S(0).
    floor: f32,
    /// dt/τ
    share: f32,
}

impl WilsonCowanStep {
    pub(crate) fn new(network: &WilsonCowanNetwork) -> Result<Self, ModelError> {
        let [inputs, n] = network.input.weight.dims();
        let mut weight = values(network.recurrent.value())?;
        weight.extend(values(network.input.weight.val())?);
        let bias = match &network.input.bias {
            Some(bias) => values(bias.val())?,
            None => vec![0.0; n],
        };
        let rows = [&network.slope, &network.threshold, &network.time_constant];
        let [slope, threshold, tau] = rows.map(|row| values(row.val()));
        let (slope, threshold, tau) = (slope?, threshold?, tau?);
        let of_unit = |((slope, threshold), tau): ((f32, f32), f32)| WilsonCowanUnit {
            slope,
            threshold,
            floor: sigmoid(-slope * threshold),
            share: (network.dt() / f64::from(tau)) as f32,
        };
        let units = slope.into_iter().zip(threshold).zip(tau).map(of_unit);
        Ok(Self {
            drive: Affine::new(weight, bias),
            readout: Affine::of(&network.readout)?,
            units: units.collect(),
            initial: vec![0.0; n],
            refractoriness: network.refractoriness() as f32,
            inputs,
        })
    }
}

impl Step for WilsonCowanStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.readout.bias.len()
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], room: &mut Vec<f32>) {
        let n = state.len();
        let [x, current] = parts(room, [n + self.inputs, n]);
        let (active, inputs) = x.split_at_mut(n);
        active.copy_from_slice(state);
        inputs.copy_from_slice(input);
        self.drive.run(x, current);
        for ((x, current), unit) in state.iter_mut().zip(&*current).zip(&self.units) {
            let response = sigmoid((current - unit.threshold) * unit.slope) - unit.floor;
            let ready = 1.0 - unit.floor - self.refractoriness * *x;
            *x += (ready * response - *x) * unit.share;
        }
        self.readout.run(state, outputs);
    }
}
