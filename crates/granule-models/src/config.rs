//! The choice of a model as data.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use granule_dynamics::composite::MultiGranularityConfig;

use crate::parameters::Parameters;
use crate::{
    Cnn, CnnConfig, InputShape, LeNet, LeNetConfig, Mlp, MlpConfig, ModelError, Network, Rate,
    RateConfig, ResNet, ResNetConfig, StateDict, multi_granularity,
};

/// A model and its settings; in a configuration file `kind` names the model.
///
/// ```
/// use granule_models::{InputShape, ModelConfig};
///
/// let config = ModelConfig::from_name("cnn")?;
/// let input = InputShape::Image { channels: 3, height: 32, width: 32 };
/// config.validate(&input, 10)?;
/// # Ok::<(), granule_models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ModelConfig {
    /// Multilayer perceptron, for images and feature vectors.
    Mlp(MlpConfig),
    /// LeNet-5, for images of 28×28 and 32×32.
    LeNet(LeNetConfig),
    /// Plain convolutional network.
    Cnn(CnnConfig),
    /// Small residual network.
    ResNet(ResNetConfig),
    /// Rate network, for trials, and for images by rows.
    Rate(RateConfig),
    /// Several levels with couplers, for recordings.
    #[serde(rename = "multi-granularity")]
    MultiGranularity(MultiGranularityConfig),
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::Mlp(MlpConfig::default())
    }
}

impl ModelConfig {
    /// The names of the models that need no more than their name; a [`MULTI_GRANULARITY`](Self::MULTI_GRANULARITY) one is
    /// described by its levels.
    pub const NAMES: [&'static str; 5] = ["mlp", "lenet", "cnn", "resnet", "rate"];

    /// The name of models of several levels.
    pub const MULTI_GRANULARITY: &'static str = "multi-granularity";

    /// The model of this name with its default settings.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownModel`] lists the names that exist.
    pub fn from_name(name: &str) -> Result<Self, ModelError> {
        match name {
            "mlp" => Ok(Self::Mlp(MlpConfig::default())),
            "lenet" => Ok(Self::LeNet(LeNetConfig::default())),
            "cnn" => Ok(Self::Cnn(CnnConfig::default())),
            "resnet" => Ok(Self::ResNet(ResNetConfig::default())),
            "rate" => Ok(Self::Rate(RateConfig::default())),
            Self::MULTI_GRANULARITY => {
                Ok(Self::MultiGranularity(MultiGranularityConfig::default()))
            }
            _ => Err(ModelError::UnknownModel {
                name: name.to_owned(),
                known: Self::NAMES.join(", "),
            }),
        }
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "mlp",
            Self::LeNet(_) => "lenet",
            Self::Cnn(_) => "cnn",
            Self::ResNet(_) => "resnet",
            Self::Rate(_) => "rate",
            Self::MultiGranularity(_) => Self::MULTI_GRANULARITY,
        }
    }

    /// The name, in [`crate::state`], of the weight that sees the raw input: `[features, units]` for mlp,
    /// `[inputs of a step, units]` for rate, `[filters, channels, height, width]` for the others; none for several levels.
    pub fn first_weight(&self) -> Option<&'static str> {
        match self {
            Self::Mlp(_) => Some("layers.0.weight"),
            Self::LeNet(_) => Some("conv1.weight"),
            Self::Cnn(_) => Some("stages.0.0.conv.weight"),
            Self::ResNet(_) => Some("stem.conv.weight"),
            Self::Rate(_) => Some("network.input"),
            Self::MultiGranularity(_) => None,
        }
    }

    /// Checks every setting against its range and against the input.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        match self {
            Self::Mlp(config) => config.validate(input, outputs),
            Self::LeNet(config) => config.validate(input, outputs),
            Self::Cnn(config) => config.validate(input, outputs),
            Self::ResNet(config) => config.validate(input, outputs),
            Self::Rate(config) => config.validate(input, outputs),
            Self::MultiGranularity(config) => multi_granularity::validate(config, input),
        }
    }

    /// Builds the model on a device with the weights of `state`, drawing none.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and
    /// [`ModelError::TensorShape`] when names or shapes differ in either direction.
    pub fn init_from_state(
        &self,
        input: &InputShape,
        outputs: usize,
        state: &StateDict,
        device: &Device,
    ) -> Result<Network, ModelError> {
        let mut parameters = Parameters::stored(state, device);
        let network = self.build(input, outputs, &mut parameters)?;
        parameters.finish()?;
        Ok(network)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Network, ModelError> {
        Ok(match self {
            Self::Mlp(config) => Network::Mlp(config.build(input, outputs, p)?),
            Self::LeNet(config) => Network::LeNet(config.build(input, outputs, p)?),
            Self::Cnn(config) => Network::Cnn(config.build(input, outputs, p)?),
            Self::ResNet(config) => Network::ResNet(config.build(input, outputs, p)?),
            Self::Rate(config) => Network::Rate(config.build(input, outputs, p)?),
            Self::MultiGranularity(config) => {
                Network::MultiGranularity(multi_granularity::build(config, input, outputs, p)?)
            }
        })
    }
}

/// Gives every configuration its `init`.
macro_rules! init {
    ($($config:ty => $model:ty,)+) => {$(
        impl $config {
            /// Builds the model on a device. Its weights are drawn on the host from `seed` and each parameter's path, so
            /// one seed starts from the same ones on every device. On an autodiff device the model is ready to train.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(
                &self,
                input: &InputShape,
                outputs: usize,
                seed: u64,
                device: &Device,
            ) -> Result<$model, ModelError> {
                self.build(input, outputs, &mut Parameters::drawn(seed, device))
            }
        }
    )+};
}

init! {
    ModelConfig => Network,
    MlpConfig => Mlp,
    LeNetConfig => LeNet,
    CnnConfig => Cnn,
    ResNetConfig => ResNet,
    RateConfig => Rate,
}
