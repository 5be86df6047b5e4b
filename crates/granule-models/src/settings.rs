//! What a model says of itself to be known by name.

use std::fmt::Debug;

use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::parameters::Parameters;
use crate::{InputShape, Model, ModelError, Readout};

/// The settings of a model: what a configuration file says of it, and how it is built from that.
///
/// With [`register`](crate::register), a type of a program becomes one of the models that granule knows by name: in configuration files,
/// checkpoints, model files and [`Classifier`](crate::Classifier).
///
/// ```
/// use burn::module::Module;
/// use burn::nn::Linear;
/// use burn::tensor::{Tensor, activation::softplus};
/// use granule_models::{
///     Initialization, InputShape, Mode, Model, ModelConfig, ModelError, ModelSettings, Parameters,
/// };
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct SoftplusConfig {
///     units: usize,
/// }
///
/// impl Default for SoftplusConfig {
///     fn default() -> Self {
///         Self { units: 64 }
///     }
/// }
///
/// #[derive(Module, Debug)]
/// struct Softplus {
///     hidden: Linear,
///     output: Linear,
/// }
///
/// impl Model for Softplus {
///     fn run(&self, x: Tensor<2>, _: Mode<'_>) -> Result<Tensor<2>, ModelError> {
///         Ok(self.output.forward(softplus(self.hidden.forward(x), 1.0)))
///     }
/// }
///
/// impl ModelSettings for SoftplusConfig {
///     type Model = Softplus;
///     const KIND: &'static str = "softplus";
///     const SUMMARY: &'static str = "One hidden layer of softplus units.";
///
///     fn build(&self, input: &InputShape, outputs: usize, p: &mut Parameters<'_>) -> Result<Softplus, ModelError> {
///         Ok(Softplus {
///             hidden: p.linear("hidden", [input.len(), self.units], Initialization::He)?,
///             output: p.linear("output", [self.units, outputs], Initialization::Xavier)?,
///         })
///     }
/// }
///
/// granule_models::register::<SoftplusConfig>()?;
/// let config = ModelConfig::from_name("softplus")?;
/// assert_eq!(config.get::<SoftplusConfig>().map(|own| own.units), Some(64));
/// # Ok::<(), ModelError>(())
/// ```
pub trait ModelSettings:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What is built.
    type Model: Model;

    /// The name of the model in configuration files: `kind`.
    const KIND: &'static str;

    /// The model in one line, for lists of models.
    const SUMMARY: &'static str;

    /// Checks every setting against its range and against the input.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] names the setting, its value and the values allowed.
    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        let _ = outputs;
        input.validate()
    }

    /// Builds the model from `parameters`, which are drawn from a seed or those of a file. What is asked for has been
    /// [validated](Self::validate).
    ///
    /// # Errors
    ///
    /// Those of `parameters`.
    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Self::Model, ModelError>;

    /// The name, in [`crate::state`], of the weight that sees the raw input, which reports draw: `[features, units]`,
    /// `[inputs of a step, units]` or `[filters, channels, height, width]`. Default none.
    fn first_weight(&self) -> Option<String> {
        None
    }

    /// The time of one step of a sequence, in ms, for models of sequences. Default none.
    fn time_step(&self) -> Option<f64> {
        None
    }

    /// Which steps' outputs count, for models that give some at every step. Default none.
    fn readout(&self) -> Option<Readout> {
        None
    }

    /// The JSON Schema of the settings. Default any table.
    #[cfg(feature = "schema")]
    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let _ = generator;
        schemars::json_schema!({"type": "object"})
    }

    /// Builds the model on a device. Its weights are drawn on the host from `seed` and each parameter's path, so
    /// one seed starts from the same ones on every device. On an autodiff device the model is ready to train.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate) and [`build`](Self::build).
    fn init(
        &self,
        input: &InputShape,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self::Model, ModelError> {
        let mut parameters = Parameters::drawn(seed, device);
        build(self, input, outputs, &mut parameters)
    }
}

/// A model as its settings ask for it, and as files will know it.
pub(crate) fn build<S: ModelSettings>(
    settings: &S,
    input: &InputShape,
    outputs: usize,
    parameters: &mut Parameters<'_>,
) -> Result<S::Model, ModelError> {
    // What does not fit is refused before its weights are drawn.
    settings.validate(input, outputs)?;
    let model = settings.build(input, outputs, parameters)?;
    parameters.check(&model)?;
    Ok(model)
}
