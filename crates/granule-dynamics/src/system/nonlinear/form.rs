//! F: a small network or a form with a name.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{NetworkForm, NetworkFormConfig};
use crate::model::Field;
use crate::system::{
    FitzHughNagumo, FitzHughNagumoConfig, MlpConfig, StuartLandau, StuartLandauConfig, System,
    VanDerPol, VanDerPolConfig,
};
use crate::{DynamicsError, Held, Place, State};

/// The forms with names: systems of two variables with an input channel for each, which G comes in by.
macro_rules! forms {
    ($($(#[$doc:meta])* $Variant:ident($Config:ty, $Model:ty) = $name:literal;)+) => {
        /// F of a `NonlinearSystem`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind", deny_unknown_fields)]
        pub enum FormConfig {
            /// F(X, Y) = N(X, Y)/τ with a small network N.
            #[serde(rename = "network")]
            Network(NetworkFormConfig),
            $($(#[$doc])* #[serde(rename = $name)] $Variant($Config),)+
        }

        impl FormConfig {
            /// About the shortest time constant that a solver has to resolve, ms.
            pub(in crate::system) fn shortest_time_constant(&self) -> Option<f64> {
                match self {
                    Self::Network(config) => Some(config.time_constant.lowest()),
                    $(Self::$Variant(config) => config.shortest_time_constant(),)+
                }
            }

            /// How many values X has.
            pub(super) fn size(&self) -> usize {
                match self {
                    Self::Network(config) => config.size,
                    $(Self::$Variant(config) => 2 * config.nodes,)+
                }
            }

            pub(super) fn network(&self) -> Option<&MlpConfig> {
                match self {
                    Self::Network(config) => Some(&config.network),
                    _ => None,
                }
            }

            pub(super) fn validate(&self) -> Result<(), DynamicsError> {
                match self {
                    Self::Network(config) => config.validate(),
                    $(Self::$Variant(config) => config.validate(),)+
                }
            }

            pub(super) fn init(&self, population: usize, place: &Place) -> Result<Form, DynamicsError> {
                Ok(match self {
                    Self::Network(config) => Form::Network(config.init(population, place)?),
                    $(Self::$Variant(config) => Form::$Variant(config.init(place)?),)+
                })
            }
        }

        /// F of a `NonlinearSystem`.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)] // one for each model, never in collections
        pub enum Form {
            /// A network of X and Y.
            Network(NetworkForm),
            $($(#[$doc])* $Variant($Model),)+
        }

        impl Form {
            /// F alone: of a network its input is Y, of a form with a name it is G.
            pub(super) fn field(&self) -> Result<Box<dyn Field>, DynamicsError> {
                Ok(match self {
                    Self::Network(form) => Box::new(form.field()),
                    $(Self::$Variant(form) => Box::new(form.field()?),)+
                })
            }

            pub(super) fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
                match self {
                    Self::Network(form) => form.initial_state(batch),
                    $(Self::$Variant(form) => form.initial_state(batch),)+
                }
            }

            pub(super) fn settings(&self) -> Vec<(String, Held<'_>)> {
                match self {
                    Self::Network(form) => form.settings(),
                    $(Self::$Variant(form) => form.settings(),)+
                }
            }
        }
    };
}

forms! {
    /// F(X) of [`FitzHughNagumo`].
    FitzHughNagumo(FitzHughNagumoConfig, FitzHughNagumo) = "fitzhugh-nagumo";
    /// F(X) of [`VanDerPol`].
    VanDerPol(VanDerPolConfig, VanDerPol) = "van-der-pol";
    /// F(X) of [`StuartLandau`].
    StuartLandau(StuartLandauConfig, StuartLandau) = "stuart-landau";
}
