//! Tables of channels as they stand in a file.

use serde::{Deserialize, Serialize};

use super::library;
use super::table::{ChannelConfig, GateConfig, ReversalConfig};
use crate::{DynamicsError, Values};

/// The leak of a membrane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LeakConfig {
    /// Its conductance, mS/cm².
    pub conductance: Values,
    /// Its reversal potential, mV.
    pub reversal: Values,
}

impl Default for LeakConfig {
    fn default() -> Self {
        Self {
            conductance: 0.1.into(),
            reversal: (-65.0).into(),
        }
    }
}

/// A channel of one's own, or one of granule's by its name in the library, whose settings may be given anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ChannelFile {
    /// A published channel, as `hodgkin-huxley/na`: the cell and the channel of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = library::listed))]
    pub library: Option<String>,
    /// Its name: a letter, then letters, digits and `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The conductance with all gates open, mS/cm².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conductance: Option<Values>,
    /// The reversal potential in mV, the name of the channel that has the same, or Nernst's of a concentration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal: Option<ReversalConfig>,
    /// The gates; one at least.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gate: Vec<GateConfig>,
    /// The concentration that its current flows into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Whether `v_shift` moves the midpoints of its gates; without, it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shifted: Option<bool>,
}

impl ChannelFile {
    fn resolve(self, index: usize) -> Result<ChannelConfig, DynamicsError> {
        let at = |field: &str| format!("unit.channel[{index}].{field}");
        let base = match &self.library {
            Some(name) => Some(library::channel(name).ok_or_else(|| {
                let allowed = library::names().join(", ");
                DynamicsError::config(at("library"), format!("{name:?}"), allowed)
            })?),
            None => None,
        };
        let missing = |field: &str, what: &str| {
            let allowed = format!("{what}, or a channel of the library");
            DynamicsError::config(at(field), "missing", allowed)
        };
        let own = base.as_ref();
        Ok(ChannelConfig {
            name: match self.name.or_else(|| own.map(|own| own.name.clone())) {
                Some(name) => name,
                None => return Err(missing("name", "a name")),
            },
            conductance: match self
                .conductance
                .or_else(|| own.map(|own| own.conductance.clone()))
            {
                Some(conductance) => conductance,
                None => return Err(missing("conductance", "mS/cm²")),
            },
            reversal: match self
                .reversal
                .or_else(|| own.map(|own| own.reversal.clone()))
            {
                Some(reversal) => reversal,
                None => return Err(missing("reversal", "mV")),
            },
            gate: match own {
                Some(own) if self.gate.is_empty() => own.gate.clone(),
                _ => self.gate,
            },
            into: self.into.or_else(|| own?.into.clone()),
            shifted: self.shifted.or(own.map(|own| own.shifted)).unwrap_or(true),
        })
    }
}

impl From<ChannelConfig> for ChannelFile {
    fn from(channel: ChannelConfig) -> Self {
        Self {
            library: None,
            name: Some(channel.name),
            conductance: Some(channel.conductance),
            reversal: Some(channel.reversal),
            gate: channel.gate,
            into: channel.into,
            shifted: (!channel.shifted).then_some(false),
        }
    }
}

/// Channels from those of a file.
pub(crate) fn resolved(channels: Vec<ChannelFile>) -> Result<Vec<ChannelConfig>, DynamicsError> {
    let channels = channels.into_iter().enumerate();
    let channels = channels.map(|(index, channel)| channel.resolve(index));
    channels.collect()
}

/// Cells with a [`ChannelTable`](super::ChannelTable), from the list of their other settings: a configuration, and what it is in
/// a file, where the keys of the table stand beside the others. With serde's `flatten` unknown keys would pass.
///
/// A setting is `name: type = default`, and what follows a comma are its attributes in the file.
macro_rules! with_channels {
    (
        $(#[$config_meta:meta])* config $Config:ident,
        file $File:ident,
        settings: { $(
            $(#[$doc:meta])+ $setting:ident: $Type:ty = $default:expr $(, #[$in_file:meta])*;
        )+ }
        channel: { $(#[$channel_doc:meta])+ }
        initial: { $(#[$initial_doc:meta])+ }
    ) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[$config_meta])*
        pub struct $Config {
            $($(#[$doc])+ pub $setting: $Type,)+
            $(#[$channel_doc])+
            pub parameters: $crate::unit::channel::TableParameters,
            $(#[$initial_doc])+
            pub initial: std::collections::BTreeMap<String, $crate::Values>,
        }

        #[doc = concat!("[`", stringify!($Config), "`] as it stands in a file.")]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $File {
            $($(#[$doc])+ $(#[$in_file])* pub $setting: $Type,)+
            /// Membrane capacitance C, µF/cm².
            pub capacitance: $crate::Values,
            /// The conductance that is always open.
            pub leak: $crate::unit::channel::LeakConfig,
            /// Factor of the rates of all gates that have dynamics, for temperature.
            pub temperature_factor: $crate::Values,
            /// Added to the midpoints of the gates, mV.
            pub v_shift: $crate::Values,
            $(#[$channel_doc])+
            pub channel: Vec<$crate::unit::channel::ChannelFile>,
            /// The concentrations that channels depend on.
            pub concentration: Vec<$crate::unit::channel::PoolConfig>,
            $(#[$initial_doc])+
            pub initial: std::collections::BTreeMap<String, $crate::Values>,
        }

        impl Default for $Config {
            /// Cells without channels.
            fn default() -> Self {
                use $crate::unit::channel::{ChannelTable, TableParameters};
                Self {
                    $($setting: $default,)+
                    parameters: TableParameters(ChannelTable::new(1.0, (0.1, -65.0), [])),
                    initial: std::collections::BTreeMap::new(),
                }
            }
        }

        impl Default for $File {
            fn default() -> Self {
                $Config::default().into()
            }
        }

        impl TryFrom<$File> for $Config {
            type Error = $crate::DynamicsError;

            fn try_from(file: $File) -> Result<Self, Self::Error> {
                use $crate::unit::channel::{ChannelTable, TableParameters, resolved};
                Ok(Self {
                    $($setting: file.$setting,)+
                    parameters: TableParameters(ChannelTable {
                        capacitance: file.capacitance,
                        leak: file.leak.conductance,
                        leak_reversal: file.leak.reversal,
                        temperature_factor: file.temperature_factor,
                        v_shift: file.v_shift,
                        channels: resolved(file.channel)?,
                        pools: file.concentration,
                    }),
                    initial: file.initial,
                })
            }
        }

        impl From<$Config> for $File {
            fn from(config: $Config) -> Self {
                let table = config.parameters.0;
                Self {
                    $($setting: config.$setting,)+
                    capacitance: table.capacitance,
                    leak: $crate::unit::channel::LeakConfig {
                        conductance: table.leak,
                        reversal: table.leak_reversal,
                    },
                    temperature_factor: table.temperature_factor,
                    v_shift: table.v_shift,
                    channel: table.channels.into_iter().map(Into::into).collect(),
                    concentration: table.pools,
                    initial: config.initial,
                }
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $Config {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $File::schema_name()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $File::json_schema(generator)
            }
        }
    };
}

pub(crate) use with_channels;
