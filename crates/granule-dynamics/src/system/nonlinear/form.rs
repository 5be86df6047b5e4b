//! F: a small network or a form with a name.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::field::FormField;
use super::{NetworkForm, NetworkFormConfig};
use crate::system::parameters::initial_state;
use crate::system::{
    FitzHughNagumo, FitzHughNagumoConfig, MlpConfig, StuartLandau, StuartLandauConfig, System,
    VanDerPol, VanDerPolConfig,
};
use crate::{DynamicsError, Held, Place, State};

/// F of a `NonlinearSystem`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormConfig {
    /// F(X, Y) = N(X, Y)/τ with a small network N.
    Network(NetworkFormConfig),
    /// F(X) of [`FitzHughNagumo`].
    FitzhughNagumo(FitzHughNagumoConfig),
    /// F(X) of [`VanDerPol`].
    VanDerPol(VanDerPolConfig),
    /// F(X) of [`StuartLandau`].
    StuartLandau(StuartLandauConfig),
}

impl FormConfig {
    /// About the shortest time constant that a solver has to resolve, ms.
    pub(in crate::system) fn shortest_time_constant(&self) -> Option<f64> {
        match self {
            Self::Network(config) => Some(config.time_constant.lowest()),
            Self::FitzhughNagumo(config) => config.shortest_time_constant(),
            Self::VanDerPol(config) => config.shortest_time_constant(),
            Self::StuartLandau(config) => config.shortest_time_constant(),
        }
    }

    /// How many values X has.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Network(config) => config.size,
            Self::FitzhughNagumo(config) => 2 * config.nodes,
            Self::VanDerPol(config) => 2 * config.nodes,
            Self::StuartLandau(config) => 2 * config.nodes,
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
            Self::FitzhughNagumo(config) => config.validate(),
            Self::VanDerPol(config) => config.validate(),
            Self::StuartLandau(config) => config.validate(),
        }
    }

    pub(super) fn init(&self, population: usize, place: &Place) -> Result<Form, DynamicsError> {
        Ok(match self {
            Self::Network(config) => Form::Network(config.init(population, place)?),
            Self::FitzhughNagumo(config) => Form::FitzHughNagumo(config.init(place)?),
            Self::VanDerPol(config) => Form::VanDerPol(config.init(place)?),
            Self::StuartLandau(config) => Form::StuartLandau(config.init(place)?),
        })
    }
}

/// F of a `NonlinearSystem`.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one for each model, never in collections
pub enum Form {
    /// A network of X and Y.
    Network(NetworkForm),
    /// See [`FitzHughNagumo`].
    FitzHughNagumo(FitzHughNagumo),
    /// See [`VanDerPol`].
    VanDerPol(VanDerPol),
    /// See [`StuartLandau`].
    StuartLandau(StuartLandau),
}

impl Form {
    pub(super) fn field(&self) -> Result<FormField, DynamicsError> {
        Ok(match self {
            Self::Network(form) => FormField::Network {
                network: form.network.clone(),
                time_constant: form.time_constant.value(),
                variables: form.variables(),
            },
            Self::FitzHughNagumo(form) => FormField::Named(Box::new(form.field()?)),
            Self::VanDerPol(form) => FormField::Named(Box::new(form.field()?)),
            Self::StuartLandau(form) => FormField::Named(Box::new(form.field()?)),
        })
    }

    pub(super) fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        match self {
            Self::Network(form) => {
                let initial = std::slice::from_ref(&form.initial);
                initial_state(initial, &form.variables(), batch)
            }
            Self::FitzHughNagumo(form) => form.initial_state(batch),
            Self::VanDerPol(form) => form.initial_state(batch),
            Self::StuartLandau(form) => form.initial_state(batch),
        }
    }

    pub(super) fn settings(&self) -> Vec<(String, Held<'_>)> {
        match self {
            Self::Network(form) => vec![
                (
                    "time_constant".to_owned(),
                    Held::Values(&form.time_constant),
                ),
                ("initial".to_owned(), Held::Values(&form.initial)),
            ],
            Self::FitzHughNagumo(form) => form.settings(),
            Self::VanDerPol(form) => form.settings(),
            Self::StuartLandau(form) => form.settings(),
        }
    }
}
