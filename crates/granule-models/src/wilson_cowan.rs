//! Trained populations of Wilson and Cowan, on trials and on images by rows.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_dynamics::Place;
use granule_dynamics::population::{
    Initialization, SequenceModel, WilsonCowanNetwork, WilsonCowanNetworkConfig,
};
use serde::{Deserialize, Serialize};

use crate::layers::check_size;
use crate::parameters::Parameters;
use crate::sequence::{Readout, check_inputs, to_steps};
use crate::stepper::WilsonCowanStep;
use crate::{InputShape, Mode, Model, ModelError, ModelSettings, Step};

/// Configuration of [`WilsonCowan`]: a [`WilsonCowanNetworkConfig`], which has the equation, and how its outputs are read.
///
/// An image is shown from top to bottom, one row a step: the inputs of a step are the pixels of that row, of all channels
/// one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WilsonCowanConfig {
    /// The number of populations. Default 128, 2 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 65536)))]
    pub units: usize,
    /// The share of excitatory populations; the others are inhibitory. Default 0.8.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
    pub excitatory_share: f64,
    /// The step in ms: of a trial, or of one row of an image; at most the smaller time constant. Default 20.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub dt: f64,
    /// τ of excitatory populations, ms. Default 100.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub excitatory_time_constant: f64,
    /// τ of inhibitory populations, ms. Default 50.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub inhibitory_time_constant: f64,
    /// Refractoriness r of all populations. Default 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub refractoriness: f64,
    /// The recurrent weights at the beginning. Default a spectral radius of 4.
    pub initialization: Initialization,
    /// Which steps' outputs count. Default auto.
    pub readout: Readout,
}

impl Default for WilsonCowanConfig {
    fn default() -> Self {
        let network = WilsonCowanNetworkConfig::default();
        Self {
            units: network.units,
            excitatory_share: network.excitatory_share,
            dt: network.dt,
            excitatory_time_constant: network.excitatory_time_constant,
            inhibitory_time_constant: network.inhibitory_time_constant,
            refractoriness: network.refractoriness,
            initialization: network.initialization,
            readout: Readout::Auto,
        }
    }
}

impl WilsonCowanConfig {
    /// The network's part of the configuration.
    pub fn network(&self) -> WilsonCowanNetworkConfig {
        WilsonCowanNetworkConfig {
            units: self.units,
            excitatory_share: self.excitatory_share,
            dt: self.dt,
            excitatory_time_constant: self.excitatory_time_constant,
            inhibitory_time_constant: self.inhibitory_time_constant,
            refractoriness: self.refractoriness,
            initialization: self.initialization,
            ..WilsonCowanNetworkConfig::default()
        }
    }
}

impl ModelSettings for WilsonCowanConfig {
    type Model = WilsonCowan;
    const KIND: &'static str = "wilson-cowan";
    const SUMMARY: &'static str =
        "Excitatory and inhibitory populations that learn, for trials, and for images by rows.";

    fn first_weight(&self) -> Option<String> {
        Some("network.input.weight".to_owned())
    }

    fn time_step(&self) -> Option<f64> {
        Some(self.dt)
    }

    fn readout(&self) -> Option<Readout> {
        Some(self.readout)
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        check_size("units", self.units)?;
        self.network().validate()?;
        input.validate()?;
        check_inputs(input)?;
        self.readout.width(input, outputs).map(drop)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<WilsonCowan, ModelError> {
        let ([inputs, width], readout) = self.readout.of_steps(input, outputs)?;
        let mut network = self.network();
        parameters.whole(|seed, device| {
            if seed.is_none() {
                // Eigenvalues of weights that are thrown away are not worth their time.
                network.initialization = Initialization::Gaussian(1.0);
            }
            let seed = seed.unwrap_or_default();
            Ok(WilsonCowan {
                network: network.init(inputs, width, seed, &Place::f32(device))?,
                excitatory: network.excitatory(),
                input: *input,
                readout,
            })
        })
    }
}

/// Populations of Wilson and Cowan that are shown an image by rows, or a sequence, with a linear readout of their rates.
///
/// `[batch, features]` → `[batch, outputs]`, as of [`Rate`](crate::Rate).
#[derive(Module, Debug)]
pub struct WilsonCowan {
    /// The network.
    pub network: WilsonCowanNetwork,
    /// How many of the populations, the first, are excitatory.
    #[module(skip)]
    excitatory: usize,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    readout: Readout,
}

impl Model for WilsonCowan {
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let trajectory = self.network.forward(to_steps(x, &self.input), None)?;
        mode.note(&self.network.input.weight, &trajectory.rates);
        mode.note(&self.network.readout.weight, &trajectory.outputs);
        Ok(self.readout.take(trajectory.outputs))
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        self.readout.check_step()?;
        Ok(Some(Box::new(WilsonCowanStep::new(
            &self.network,
            self.excitatory,
        )?)))
    }

    fn fixed_count(&self) -> usize {
        let network = &self.network;
        let rows = [&network.time_constant, &network.slope, &network.threshold];
        let fixed = rows.into_iter().chain(network.recurrent.fixed());
        fixed.map(|x| x.lazy_shape().num_elements()).sum()
    }
}
