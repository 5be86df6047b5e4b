use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, activation};
use granule_io::budget;
use serde::{Deserialize, Serialize};

use super::connection::PlasticConnection;
use super::rule::{Activity, Rule};
use crate::setting;
use crate::{DynamicsError, NormalNoise, Place, State};

/// What units of a [`PlasticLayer`] make of their input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// y = xW.
    #[default]
    Linear,
    /// y = max(xW, 0).
    Relu,
    /// y = xW of the units with the largest values, 0 of all others.
    Winners {
        /// How many win each row; at least 1.
        count: usize,
        /// Winners answer 1, whatever their value. With Oja's rule this is competitive learning (Rumelhart and Zipser 1985):
        /// winners move towards the row.
        binary: bool,
    },
    /// Linear Poisson units (Kempter, Gerstner and van Hemmen 1999). Learning presents each row for a while: its values are
    /// rates of presynaptic spikes, their filtered sum through W, where positive, is the rate of postsynaptic spikes, and
    /// rules see the spikes. Asked for a response the layer gives the mean rates, max(xW, 0).
    Spikes {
        /// The number of steps of a presentation; at least 1.
        steps: usize,
        /// The length of a step, above 0, in ms.
        dt: f64,
        /// Spikes per ms at a value of 1, above 0; at most one spike in a step.
        rate: f64,
        /// Of the postsynaptic filter, above 0, in ms.
        time_constant: f64,
        /// Seed of the spikes.
        seed: u64,
    },
}

/// Settings of a [`PlasticLayer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlasticLayerConfig {
    /// The number of inputs, at least 1.
    pub inputs: usize,
    /// The number of units, at least 1.
    pub units: usize,
    /// What the units answer.
    pub response: Response,
    /// The mean of the weights at the beginning.
    pub weight_mean: f64,
    /// The standard deviation of the weights at the beginning, at least 0; 1/√inputs unless given, which gives a unit's
    /// weights norm 1 or so.
    pub weight_deviation: Option<f64>,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for PlasticLayerConfig {
    fn default() -> Self {
        Self {
            inputs: 1,
            units: 1,
            response: Response::Linear,
            weight_mean: 0.0,
            weight_deviation: None,
            seed: 0,
        }
    }
}

impl PlasticLayerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let count = |field: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                Err(DynamicsError::config(field, value, format!("1 to {most}")))
            }
        };
        let positive = |field: &str, value: f64| setting::Range::Positive.check(field, value);
        count("inputs", self.inputs, setting::MOST)?;
        count("units", self.units, setting::MOST)?;
        budget::ask_for_numbers("the layer's weights", &[self.inputs, self.units])?;
        let mean = self.weight_mean;
        setting::Range::Any.check("weight_mean", mean)?;
        setting::Range::NonNegative.check("weight_deviation", self.deviation())?;
        match self.response {
            Response::Linear | Response::Relu => Ok(()),
            Response::Winners { count: winners, .. } => {
                count("response.count", winners, self.units)
            }
            Response::Spikes {
                steps,
                dt,
                rate,
                time_constant,
                ..
            } => {
                count("response.steps", steps, setting::MOST)?;
                positive("response.dt", dt)?;
                positive("response.rate", rate)?;
                positive("response.time_constant", time_constant)
            }
        }
    }

    fn deviation(&self) -> f64 {
        self.weight_deviation
            .unwrap_or((self.inputs as f64).sqrt().recip())
    }

    /// Makes the layer, with Gaussian weights.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<PlasticLayer, DynamicsError> {
        self.validate()?;
        let shape = [self.inputs, self.units];
        let noise = NormalNoise::new(self.seed, 0).at(0, shape, place);
        let weights = noise * self.deviation() + self.weight_mean;
        Ok(PlasticLayer {
            weights: Param::from_tensor(weights).set_require_grad(false),
            response: self.response,
        })
    }
}

/// How far a layer has come.
#[derive(Clone, Debug)]
pub struct LayerProgress {
    /// The rule's traces, averaged over the rows: `[1, width]`.
    pub traces: State,
    /// The number of batches so far.
    pub batches: usize,
}

/// A layer that learns from rows of data by a rule alone, without labels and without backpropagation.
///
/// ```
/// use granule_device::DeviceSpec;
/// use granule_dynamics::plasticity::{OjaConfig, PlasticLayerConfig};
/// use granule_dynamics::{NormalNoise, Place, host};
///
/// let place = Place::f32(DeviceSpec::Cpu.open()?.burn());
/// let mut layer = PlasticLayerConfig { inputs: 3, ..Default::default() }.init(&place)?;
/// let oja = OjaConfig { rate: 0.05, ..Default::default() }.init(&place)?;
/// let spread = place.tensor(vec![0.5, 2.0, 1.0], [1, 3]);
///
/// let mut progress = layer.begin(&oja);
/// for batch in 0..200 {
///     let rows = NormalNoise::new(1, 0).at(batch, [64, 3], &place) * spread.clone();
///     (layer, progress) = layer.learn(&oja, rows, progress)?;
/// }
/// // The direction in which the rows vary most.
/// let weights = host(layer.weights.val())?;
/// assert!(weights[1].abs() > 0.99);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct PlasticLayer {
    /// W, `[inputs, units]`; not trained by gradient.
    pub weights: Param<Tensor<2>>,
    #[module(skip)]
    response: Response,
}

impl PlasticLayer {
    /// The response to rows `[batch, inputs]`, `[batch, units]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let sums = rows.matmul(self.weights.val());
        match self.response {
            Response::Linear => sums,
            Response::Relu | Response::Spikes { .. } => activation::relu(sums),
            Response::Winners { count, binary } => winners(sums, count, binary),
        }
    }

    /// The beginning of learning by `rule`.
    pub fn begin(&self, rule: &dyn Rule) -> LayerProgress {
        let weights = self.weights.val();
        let [inputs, units] = weights.dims();
        LayerProgress {
            traces: rule.initial(1, inputs, units, &Place::of(&weights)),
            batches: 0,
        }
    }

    /// Learns from a batch of rows, `[batch, inputs]`, which take one unit of time each, all at once.
    ///
    /// Rows are samples of one stream: weights change by the mean of what the rows call for, and the traces of a rule are
    /// averaged over them after each batch.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for rows of another width.
    pub fn learn(
        &self,
        rule: &dyn Rule,
        rows: Tensor<2>,
        progress: LayerProgress,
    ) -> Result<(Self, LayerProgress), DynamicsError> {
        let [inputs, _] = self.weights.dims();
        let [batch, width] = rows.dims();
        if width != inputs || batch == 0 {
            return Err(DynamicsError::Shape {
                what: "the rows to learn from".into(),
                expected: vec![batch.max(1), inputs],
                found: vec![batch, width],
            });
        }
        let connection = PlasticConnection::new(rule, self.weights.val());
        progress.traces.check(&connection.variables()[1..])?;
        let weights = connection.initial(1, true).into_tensors();
        let weights = weights.into_iter().take(1);
        let traces = progress.traces.into_tensors();
        let state = State::new(weights.chain(traces).collect());
        let state = match self.response {
            Response::Spikes {
                steps,
                dt,
                rate,
                time_constant,
                seed,
            } => {
                let presentation = Presentation {
                    first: progress.batches * steps,
                    steps,
                    dt,
                    rate,
                    time_constant,
                    seed,
                };
                presentation.learn(&connection, rows, state)?
            }
            _ => {
                let activity = Activity {
                    post: self.forward(rows.clone()),
                    pre: rows,
                    dt: 1.0,
                    reward: None,
                };
                connection.learn(&state, &activity)?
            }
        };
        let mut tensors = state.into_tensors().into_iter();
        let weights = tensors.next().map(|w| w.reshape(self.weights.dims()));
        let layer = Self {
            weights: self.weights.clone().map(|before| weights.unwrap_or(before)),
            response: self.response,
        };
        let traces = tensors.map(|trace| match trace.dims()[0] {
            1 => trace,
            _ => trace.mean_dim(0),
        });
        let progress = LayerProgress {
            traces: State::new(traces.collect()),
            batches: progress.batches + 1,
        };
        Ok((layer, progress))
    }
}

/// Zero for all but the `count` largest of each row; ties win together.
fn winners(sums: Tensor<2>, count: usize, binary: bool) -> Tensor<2> {
    let dtype: DType = sums.dtype();
    let values = crate::state::plain(sums.clone());
    let level = match count {
        1 => values.clone().max_dim(1),
        _ => values.clone().topk(count, 1).narrow(1, count - 1, 1),
    };
    let chosen = values.greater_equal(level).float().cast(dtype);
    if binary { chosen } else { sums * chosen }
}

/// Rows shown as spikes.
struct Presentation {
    first: usize,
    steps: usize,
    dt: f64,
    rate: f64,
    time_constant: f64,
    seed: u64,
}

impl Presentation {
    fn learn(
        &self,
        connection: &PlasticConnection<&dyn Rule>,
        rows: Tensor<2>,
        mut state: State,
    ) -> Result<State, DynamicsError> {
        let per_step = self.rate * self.dt;
        let left = (-self.dt / self.time_constant).exp();
        let [batch, _] = rows.dims();
        let units = connection.weights(&state).dims()[2];
        let mut drive = Place::of(&rows).full(0.0, [batch, units]);
        for step in self.first..self.first + self.steps {
            let pre = self.spikes(rows.clone() * per_step, step, 0);
            let arriving = connection.transmit(&state, pre.clone());
            drive = drive * left + arriving * ((1.0 - left) / per_step);
            let post = self.spikes(drive.clone() * per_step, step, 1);
            let dt = self.dt;
            state = connection.learn(
                &state,
                &Activity {
                    pre,
                    post,
                    dt,
                    reward: None,
                },
            )?;
        }
        Ok(state)
    }

    /// One spike with the given probability: a normal number lies below the quantile of it.
    fn spikes(&self, probability: Tensor<2>, step: usize, stream: u64) -> Tensor<2> {
        let dtype: DType = probability.dtype();
        let place = Place::of(&probability);
        let noise = NormalNoise::new(self.seed, stream).at(step, probability.dims(), &place);
        let uniform = noise
            .mul_scalar(std::f64::consts::FRAC_1_SQRT_2)
            .erf()
            .mul_scalar(0.5)
            .add_scalar(0.5);
        uniform.lower(probability).float().cast(dtype)
    }
}
