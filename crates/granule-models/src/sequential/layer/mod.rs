//! The layers, a file each.

mod activation;
mod batch_norm;
mod branches;
mod conv;
mod dense;
mod dropout;
mod flatten;
mod gru;
mod latent;
mod layer_norm;
mod lstm;
mod pool;
mod rate;
mod residual;

use burn::module::Module;
use serde::{Deserialize, Serialize};

pub use activation::Nonlinearity;
pub use branches::{Branch, BranchConfig, Branches, Join};
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use latent::Latent;
pub use pool::{Pool, PoolMethod};

use super::{Builder, Features, Site};
use crate::parameters::Parameters;
use crate::{InputShape, Mode, ModelError, Outline};

/// The settings of a layer: what a configuration file says of it, the shape that follows, and how it is built.
///
/// The documentation of the type and of its fields is their help.
pub trait LayerSettings {
    /// What is built. Its parameters stand in files under the layer's place, as `layers.2.weight`.
    type Layer: Layer;

    /// The path of the weight on what the layer takes, below the layer's own, as `weight`; reports draw it where the layer takes
    /// the raw input. Default none.
    const WEIGHT: Option<&'static str> = None;

    /// Checks every setting, and what the layer takes: the shape of one sample that it gives. Default that which it takes.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] names the setting by its [`field`](Site::field), its value and the values allowed;
    /// [`Site::misfit`] for a layer that does not fit.
    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        Ok(site.input())
    }

    /// Builds the layer, whose shape has been checked, with the parameters that `p` has under its [`index`](Builder::index).
    ///
    /// # Errors
    ///
    /// Those of `p`.
    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Self::Layer, ModelError>;

    /// The lists of layers within this one. Default none.
    fn inner(&self) -> Vec<&[LayerConfig]> {
        Vec::new()
    }
}

/// A layer that has been built.
pub trait Layer: Module {
    /// Runs it on a batch.
    ///
    /// # Errors
    ///
    /// [`ModelError`] where the layer cannot be run.
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError>;

    /// Says what the layer runs at inference, as [`Model::outline`](crate::Model::outline). Default [`Outline::other`].
    fn outline(&self, outline: &mut Outline<'_>) {
        outline.other();
    }

    /// Whether it can be trained in bfloat16, as [`Model::has_bf16`](crate::Model::has_bf16): it has no products, or those that it
    /// has are from the factors that the mode asks for. Default false.
    fn has_bf16(&self) -> bool {
        false
    }

    /// The number of parameters that no training changes. Default 0.
    fn fixed_count(&self) -> usize {
        0
    }
}

/// The layers, a line each: its name in a program, its settings, and its name in files.
macro_rules! layers {
    ($($Layer:ident($file:ident::$Config:ident) = $kind:literal;)+) => {
        $(pub use $file::$Config;)+

        /// One layer; `kind` names it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind")]
        #[expect(missing_docs, reason = "the settings say what each is")]
        pub enum LayerConfig {
            $(#[serde(rename = $kind)] $Layer($Config),)+
        }

        $(impl From<$Config> for LayerConfig {
            fn from(layer: $Config) -> Self {
                Self::$Layer(layer)
            }
        })+

        impl LayerConfig {
            /// The name of the layer's kind in configuration files.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$Layer(_) => $kind,)+
                }
            }

            pub(super) fn weight(&self) -> Option<&'static str> {
                match self {
                    $(Self::$Layer(_) => $Config::WEIGHT,)+
                }
            }

            pub(super) fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
                match self {
                    $(Self::$Layer(layer) => layer.shape(site),)+
                }
            }

            pub(super) fn build(
                &self,
                at: &mut Builder,
                p: &mut Parameters<'_>,
            ) -> Result<AnyLayer, ModelError> {
                Ok(match self {
                    $(Self::$Layer(layer) => AnyLayer::$Layer(layer.build(at, p)?),)+
                })
            }

            pub(super) fn inner(&self) -> Vec<&[LayerConfig]> {
                match self {
                    $(Self::$Layer(layer) => layer.inner(),)+
                }
            }
        }

        /// Any of the layers.
        #[derive(Module, Debug)]
        #[expect(missing_docs, reason = "the settings say what each is")]
        pub enum AnyLayer {
            $($Layer(<$Config as LayerSettings>::Layer),)+
        }

        impl Layer for AnyLayer {
            fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
                match self {
                    $(Self::$Layer(layer) => layer.run(x, mode),)+
                }
            }

            fn outline(&self, outline: &mut Outline<'_>) {
                match self {
                    $(Self::$Layer(layer) => layer.outline(outline),)+
                }
            }

            fn has_bf16(&self) -> bool {
                match self {
                    $(Self::$Layer(layer) => layer.has_bf16(),)+
                }
            }

            fn fixed_count(&self) -> usize {
                match self {
                    $(Self::$Layer(layer) => layer.fixed_count(),)+
                }
            }
        }
    };
}

layers! {
    Dense(dense::DenseLayerConfig) = "dense";
    Conv(conv::ConvLayerConfig) = "conv";
    BatchNorm(batch_norm::BatchNormLayerConfig) = "batch-norm";
    LayerNorm(layer_norm::LayerNormLayerConfig) = "layer-norm";
    Pool(pool::PoolLayerConfig) = "pool";
    Dropout(dropout::DropoutLayerConfig) = "dropout";
    Relu(activation::ReluLayerConfig) = "relu";
    Gelu(activation::GeluLayerConfig) = "gelu";
    Tanh(activation::TanhLayerConfig) = "tanh";
    Sigmoid(activation::SigmoidLayerConfig) = "sigmoid";
    Gru(gru::GruLayerConfig) = "gru";
    Lstm(lstm::LstmLayerConfig) = "lstm";
    Rate(rate::RateLayerConfig) = "rate";
    Latent(latent::LatentLayerConfig) = "latent";
    Residual(residual::ResidualLayerConfig) = "residual";
    Branches(branches::BranchesLayerConfig) = "branches";
    Flatten(flatten::FlattenLayerConfig) = "flatten";
}

/// Runs layers one after the other.
pub(super) fn run(
    layers: &[AnyLayer],
    x: Features,
    mode: &mut Mode<'_>,
) -> Result<Features, ModelError> {
    layers.iter().try_fold(x, |x, layer| layer.run(x, mode))
}
