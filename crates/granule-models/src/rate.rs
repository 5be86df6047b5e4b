//! Rate network, on trials and on images by rows.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_dynamics::population::{
    Activation, Initialization, RateNetwork, RateNetworkConfig, Rectifier, Recurrence,
    SequenceModel,
};
use granule_dynamics::{Place, Values};
use serde::{Deserialize, Serialize};

use crate::layers::check_size;
use crate::parameters::Parameters;
use crate::sequence::{Readout, to_steps};
use crate::stepper::RateStep;
use crate::{InputShape, Mode, Model, ModelError, ModelSettings, Step};

/// Configuration of [`Rate`]: a [`RateNetworkConfig`], which has the equation, and how its outputs are read.
///
/// An image is shown from top to bottom, one row a step: the inputs of a step are the pixels of that row, of all channels
/// one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// The number of units, N. Default 128, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
    /// r(x). Default relu, whose rates are not negative.
    pub activation: Activation,
    /// The step in ms: of a trial, or of one row of an image; at most the smallest time constant. Default 20.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub dt: f64,
    /// τ in ms: one for all units, or one for each. Default 100.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub time_constant: Values,
    /// Trains a time constant for every unit between these bounds, in ms.
    pub time_constant_bounds: Option<[f64; 2]>,
    /// Which recurrent connections there are. Default all.
    pub recurrence: Recurrence,
    /// Whether units may connect to themselves. Default true.
    pub autapses: bool,
    /// The share of excitatory units, 0 to 1: Dale's law. Unset, weights have any sign.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub dale_ratio: Option<f64>,
    /// How Dale's law is kept. Default abs.
    pub rectifier: Rectifier,
    /// Reads out excitatory units only. Default false.
    pub excitatory_output: bool,
    /// The recurrent weights at the beginning. Default a spectral radius of 1.
    pub initialization: Initialization,
    /// Trains the initial state. Default false: it is 0.
    pub train_initial_state: bool,
    /// σ of the noise that every unit has for itself, in training only. Default 0.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub private_noise: f64,
    /// σ of the noise that all units share, in training only. Default 0.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub shared_noise: f64,
    /// Which steps' outputs count. Default auto.
    pub readout: Readout,
}

impl Default for RateConfig {
    fn default() -> Self {
        let RateNetworkConfig {
            units,
            activation: _,
            dt,
            time_constant,
            time_constant_bounds,
            recurrence,
            autapses,
            dale_ratio,
            rectifier,
            excitatory_output,
            initialization,
            train_initial_state,
            private_noise,
            shared_noise,
            ..
        } = RateNetworkConfig::default();
        Self {
            units,
            activation: Activation::Relu,
            dt,
            time_constant,
            time_constant_bounds,
            recurrence,
            autapses,
            dale_ratio,
            rectifier,
            excitatory_output,
            initialization,
            train_initial_state,
            private_noise,
            shared_noise,
            readout: Readout::Auto,
        }
    }
}

impl RateConfig {
    /// The network's part of the configuration.
    pub fn network(&self) -> RateNetworkConfig {
        RateNetworkConfig {
            units: self.units,
            activation: self.activation,
            dt: self.dt,
            time_constant: self.time_constant.clone(),
            time_constant_bounds: self.time_constant_bounds,
            recurrence: self.recurrence.clone(),
            autapses: self.autapses,
            dale_ratio: self.dale_ratio,
            rectifier: self.rectifier,
            excitatory_output: self.excitatory_output,
            initialization: self.initialization,
            train_initial_state: self.train_initial_state,
            private_noise: self.private_noise,
            shared_noise: self.shared_noise,
            ..RateNetworkConfig::default()
        }
    }
}

impl ModelSettings for RateConfig {
    type Model = Rate;
    const KIND: &'static str = "rate";
    const SUMMARY: &'static str = "Rate network, for trials, and for images by rows.";

    fn first_weight(&self) -> Option<String> {
        Some("network.input".to_owned())
    }

    fn time_step(&self) -> Option<f64> {
        Some(self.dt)
    }

    fn readout(&self) -> Option<Readout> {
        Some(self.readout)
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        check_size("units", self.units)?;
        self.network().validate()?;
        self.readout.width(input, outputs).map(drop)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Rate, ModelError> {
        let (extents, readout) = self.readout.of_steps(input, outputs)?;
        parameters.whole(|seed, device| {
            let place = Place::f32(device);
            Ok(Rate {
                network: rate_network(self.network(), extents, seed, &place)?,
                config: self.clone(),
                input: *input,
                readout,
            })
        })
    }
}

/// A rate network that is shown an image by rows, or a sequence.
///
/// `[batch, features]` → `[batch, outputs]`, where the features of a sequence, and the outputs of each of its steps, are
/// those of the first step, then of the next.
#[derive(Module, Debug)]
pub struct Rate {
    /// The network.
    pub network: RateNetwork,
    #[module(skip)]
    config: RateConfig,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    readout: Readout,
}

impl Model for Rate {
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let (noise, mode) = match mode {
            Mode::Training(stream) => (stream.noise(), Mode::Inference),
            mode => (None, mode),
        };
        let trajectory = self.network.forward(to_steps(x, &self.input), noise)?;
        if let Some(input) = &self.network.input {
            mode.note(input, &trajectory.rates);
        }
        let outputs = trajectory.outputs;
        if let Some(readout) = &self.network.readout {
            mode.note(&readout.raw, &outputs);
        }
        Ok(self.readout.take(outputs))
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        self.readout.check_step()?;
        Ok(Some(Box::new(RateStep::new(&self.network)?)))
    }

    fn fixed_count(&self) -> usize {
        fixed_of(&self.network)
    }
}

/// The parameters of a network that no training changes.
pub(crate) fn fixed_of(network: &RateNetwork) -> usize {
    let pattern = network.recurrent.fixed();
    let units = network.readout.as_ref().and_then(|out| out.units.as_ref());
    let matrices = [pattern, units].into_iter().flatten();
    let mut count = matrices.map(|x| x.lazy_shape().num_elements()).sum();
    if network.config().time_constant_bounds.is_none() {
        count += network.time_constant.len();
    }
    if !network.config().train_initial_state {
        count += network.initial.len();
    }
    count
}

/// A network drawn from a seed, or one whose weights those of a file replace.
pub(crate) fn rate_network(
    mut config: RateNetworkConfig,
    [inputs, outputs]: [usize; 2],
    seed: Option<u64>,
    place: &Place,
) -> Result<RateNetwork, ModelError> {
    if seed.is_none() {
        // Eigenvalues of weights that are thrown away are not worth their time.
        config.initialization = Initialization::Gaussian(1.0);
    }
    Ok(config.init(inputs, outputs, seed.unwrap_or_default(), place)?)
}

impl Rate {
    /// What the model was made from.
    pub fn config(&self) -> &RateConfig {
        &self.config
    }
}
