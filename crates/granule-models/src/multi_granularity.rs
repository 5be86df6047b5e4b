//! A model of several levels as a network: a sequence of inputs in, a sequence of observed quantities out.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_dynamics::composite::{MultiGranularityConfig, MultiGranularityModel};
use granule_dynamics::{
    DynamicsError, Grid, Input, InputSeries, Model as _, NoInput, Place, record_every,
};

use crate::parameters::Parameters;
use crate::state::{load_some, load_state_dict, state_dict};
use crate::{InputShape, Mode, Model, ModelError, ModelSettings, StateDict, TensorValue};

/// A [`MultiGranularityModel`] over a given number of steps.
///
/// `[batch, steps · channels]` → `[batch, samples · columns]`: the input of the first step, then of the next; what is
/// observed at the beginning, then after every so many steps. A model that takes no input is given rows of zero width.
#[derive(Module, Debug)]
pub struct MultiGranularity {
    /// The levels and couplers.
    pub model: MultiGranularityModel,
    steps: usize,
    channels: usize,
    every: usize,
    columns: usize,
}

/// Steps and input channels of a step.
fn extents(input: &InputShape) -> Result<(usize, usize), ModelError> {
    match *input {
        InputShape::Sequence { steps, channels } => Ok((steps, channels)),
        _ => Err(ModelError::config(
            "input",
            input,
            "sequences for a model of several levels",
        )),
    }
}

/// Weights are drawn from the seed in the configuration: a recording and the model that made it share them.
impl ModelSettings for MultiGranularityConfig {
    type Model = MultiGranularity;
    const KIND: &'static str = "multi-granularity";
    const SUMMARY: &'static str = "Several levels with couplers, for recordings.";

    /// Checks what can be checked without drawing the model.
    fn validate(&self, input: &InputShape, _outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        extents(input)?;
        Ok(MultiGranularityConfig::validate(self)?)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<MultiGranularity, ModelError> {
        let (steps, channels) = extents(input)?;
        parameters.whole(|_, device| {
            let model = MultiGranularityConfig::init(self, &Place::f32(device))?;
            let inputs = model.inputs()?;
            let taken: usize = inputs.iter().map(|channel| channel.width).sum();
            if taken != channels {
                let allowed = format!("{taken} channels, of the levels that take input");
                return Err(ModelError::config("input", input, allowed));
            }
            let columns: usize = model.outputs().iter().map(|output| output.width).sum();
            let samples = outputs / columns.max(1);
            let fits = outputs.is_multiple_of(columns.max(1))
                && samples >= 2
                && steps.is_multiple_of(samples - 1);
            if !fits {
                let allowed = format!(
                    "a multiple of the {columns} observed columns: one for each instant at equal distances over {steps} steps"
                );
                return Err(ModelError::config("outputs", outputs, allowed));
            }
            let every = steps / (samples - 1);
            Ok(MultiGranularity {
                every,
                model: model.counting(every),
                steps,
                channels,
                columns,
            })
        })
    }
}

/// Puts the weights of a [`MultiGranularity`] into such a model by itself, of either precision.
///
/// # Errors
///
/// [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and [`ModelError::TensorShape`] for weights of another
/// model.
pub fn load_levels(
    model: MultiGranularityModel,
    state: &StateDict,
) -> Result<MultiGranularityModel, ModelError> {
    load_state_dict(model, &of_levels(state))
}

/// The tensors of the levels by themselves.
fn of_levels(state: &StateDict) -> StateDict {
    let own = |(name, value): (&String, &TensorValue)| {
        let name = name.strip_prefix("model.").unwrap_or(name);
        (name.to_owned(), value.clone())
    };
    StateDict(state.0.iter().map(own).collect())
}

/// Puts into a model what was learnt and its configuration does not say: every tensor of `state` that is another in
/// `described`, the model of the configuration with all learnt values that it can hold. All else of `model` stays, in its
/// own precision, so that settings that were changed since act.
///
/// # Errors
///
/// As [`load_levels`], and [`ModelError::LearntReplaced`] where what was changed since is what was learnt.
pub fn load_undescribed(
    model: MultiGranularityModel,
    described: &MultiGranularityModel,
    state: &StateDict,
) -> Result<MultiGranularityModel, ModelError> {
    /// Of single precision, after there and back through the map of a parameter's bounds.
    const ROUNDING: f32 = 4e-6;
    let same = |a: &TensorValue, b: &TensorValue| {
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= ROUNDING * b.abs() + f32::EPSILON;
        a.shape == b.shape && a.data.iter().zip(&b.data).all(close)
    };
    let known = state_dict(described)?;
    let own = state_dict(&model)?;
    let mut rest = StateDict::default();
    for (name, value) in of_levels(state).0 {
        let described = known.get(&name, &value.shape)?;
        let described = TensorValue {
            shape: value.shape.clone(),
            data: described.to_vec(),
        };
        if same(&value, &described) {
            continue;
        }
        let set = own.0.get(&name).filter(|own| own.shape != value.shape);
        if let Some(set) = set {
            return Err(ModelError::TensorShape {
                name,
                expected: set.shape.clone(),
                found: value.shape,
            });
        }
        if own.get(&name, &value.shape)? != described.data {
            return Err(ModelError::LearntReplaced { name });
        }
        rest.0.insert(name, value);
    }
    Ok(load_some(model, &rest))
}

impl MultiGranularity {
    /// Steps of a whole run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Steps from one observation to the next.
    pub fn every(&self) -> usize {
        self.every
    }

    /// Instants observed in a whole run.
    pub fn samples(&self) -> usize {
        self.steps / self.every + 1
    }

    /// Values observed at an instant.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Input channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The instants of the first `steps` steps.
    pub fn grid(&self, steps: usize) -> Grid {
        Grid::Uniform {
            start: 0.0,
            dt: self.model.dt(),
            steps,
        }
    }

    /// Runs the first `steps` steps for `batch` trials and returns what is observed, `[samples, batch, columns]`.
    ///
    /// # Errors
    ///
    /// Those of [`simulate`](granule_dynamics::simulate()).
    pub fn observe(
        &self,
        batch: usize,
        steps: usize,
        input: &dyn Input,
    ) -> Result<Tensor<3>, DynamicsError> {
        let dynamics = self.model.dynamics()?;
        let initial = self.model.initial_state(batch)?;
        let (seen, _) = record_every(&dynamics, initial, input, &self.grid(steps), self.every)?;
        Ok(seen)
    }
}

impl Model for MultiGranularity {
    fn run(&self, x: Tensor<2>, _: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let [batch, _] = x.dims();
        let input: Box<dyn Input> = match self.channels {
            0 => Box::new(NoInput),
            channels => {
                let input = x.reshape([batch, self.steps, channels]);
                Box::new(InputSeries(input.swap_dims(0, 1)))
            }
        };
        let width = self.samples() * self.columns;
        let seen = self.observe(batch, self.steps, input.as_ref())?;
        Ok(seen.swap_dims(0, 1).reshape([batch, width]))
    }

    fn parameter_count(&self) -> usize {
        self.model.trainable()
    }

    fn layer_shapes(&self, _: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        // Runs may be long.
        Ok(vec![(
            "model".to_owned(),
            vec![self.samples(), self.columns],
        )])
    }
}
