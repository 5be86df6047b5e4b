//! Gated recurrent networks, on trials and on images by rows.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_dynamics::Place;
use granule_dynamics::population::{GatedCell, GatedNetwork, GatedNetworkConfig, SequenceModel};
use serde::{Deserialize, Serialize};

use crate::layers::check_size;
use crate::parameters::Parameters;
use crate::sequence::{Readout, check_inputs, to_steps};
use crate::stepper::GatedStep;
use crate::{InputShape, Mode, Model, ModelError, ModelSettings, Step};

/// A gated recurrent network that is shown an image by rows, or a sequence, with a linear readout of its hidden state.
///
/// `[batch, features]` → `[batch, outputs]`, as of [`Rate`](crate::Rate).
#[derive(Module, Debug)]
pub struct Gated {
    /// The network.
    pub network: GatedNetwork,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    readout: Readout,
}

impl Model for Gated {
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let trajectory = self.network.forward(to_steps(x, &self.input), None)?;
        mode.note(&self.network.cells.input.weight, &trajectory.rates);
        mode.note(&self.network.readout.weight, &trajectory.outputs);
        Ok(self.readout.take(trajectory.outputs))
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        self.readout.check_step()?;
        Ok(Some(Box::new(GatedStep::new(&self.network)?)))
    }
}

/// The settings of a model of one cell.
macro_rules! gated {
    ($(#[$doc:meta])+ $settings:ident, $kind:literal, $summary:literal, $cell:expr) => {
        $(#[$doc])+
        ///
        /// An image is shown from top to bottom, one row a step: the inputs of a step are the pixels of that row, of all
        /// channels one after the other.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $settings {
            /// The width of the hidden state. Default 128, 1 to 65536.
            #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
            pub units: usize,
            /// The step of a trial in ms; nothing else depends on it. Default 20.
            #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
            pub dt: f64,
            /// Which steps' outputs count. Default auto.
            pub readout: Readout,
        }

        impl Default for $settings {
            fn default() -> Self {
                Self {
                    units: 128,
                    dt: 20.0,
                    readout: Readout::Auto,
                }
            }
        }

        impl ModelSettings for $settings {
            type Model = Gated;
            const KIND: &'static str = $kind;
            const SUMMARY: &'static str = $summary;

            fn first_weight(&self) -> Option<String> {
                Some("network.cells.input.weight".to_owned())
            }

            fn time_step(&self) -> Option<f64> {
                Some(self.dt)
            }

            fn readout(&self) -> Option<Readout> {
                Some(self.readout)
            }

            fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
                check_size("units", self.units)?;
                if !(self.dt.is_finite() && self.dt > 0.0) {
                    return Err(ModelError::config("dt", self.dt, "a finite number above 0"));
                }
                input.validate()?;
                check_inputs(input)?;
                self.readout.width(input, outputs).map(drop)
            }

            fn build(
                &self,
                input: &InputShape,
                outputs: usize,
                parameters: &mut Parameters<'_>,
            ) -> Result<Gated, ModelError> {
                let ([inputs, width], readout) = self.readout.of_steps(input, outputs)?;
                let network = GatedNetworkConfig {
                    cell: $cell,
                    units: self.units,
                };
                parameters.whole(|seed, device| {
                    let seed = seed.unwrap_or_default();
                    Ok(Gated {
                        network: network.init(inputs, width, seed, &Place::f32(device))?,
                        input: *input,
                        readout,
                    })
                })
            }
        }
    };
}

gated!(
    /// Configuration of [`Gated`] with gated recurrent units: see [`GatedCell::Gru`] for the equation.
    GruConfig,
    "gru",
    "Gated recurrent units, for trials, and for images by rows.",
    GatedCell::Gru
);

gated!(
    /// Configuration of [`Gated`] with long short-term memory: see [`GatedCell::Lstm`] for the equation.
    LstmConfig,
    "lstm",
    "Long short-term memory, for trials, and for images by rows.",
    GatedCell::Lstm
);
