//! Cells whose channels a configuration gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::cells::OWN;
use super::super::conductance::{Described, TABLE};
use super::super::population::{Places, Unit};
use super::super::{Cells, ParameterInfo};
use super::library;
use super::table::{ChannelConfig, ChannelTable, GateConfig, PoolConfig, ReversalConfig};
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Place, Values};

/// Conductance-based cells of one's own channels.
///
/// A parameter is called by what it belongs to: `capacitance`, `g_l`, `e_l`, `g_NAME` and `e_NAME` of a channel, and of a gate
/// `alpha_NAME_rate`, `alpha_NAME_midpoint`, `alpha_NAME_slope`, with `beta`, `steady` or `tau` in place of `alpha` and
/// `scale` in place of `rate` of the latter two; where a curve has several terms, `tau_NAME_1_midpoint` and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConductanceFile", into = "ConductanceFile")]
pub struct ConductanceConfig {
    /// How many cells.
    pub cells: usize,
    /// The constant part of the external current, µA/cm²; what comes as input is added.
    pub current: Values,
    /// The voltage whose upward crossing is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The channels.
    pub parameters: TableParameters,
    /// The state at the beginning, by the name of a variable.
    pub initial: BTreeMap<String, Values>,
}

/// A table with access by name.
#[derive(Clone, Debug, PartialEq)]
pub struct TableParameters(pub ChannelTable);

impl TableParameters {
    /// Every parameter with what it is and its values.
    pub fn entries(&self) -> impl Iterator<Item = (&'static ParameterInfo, &Values)> {
        self.0.parameters().into_iter()
    }

    /// A parameter by its name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Values> {
        let all = self.0.parameters_mut().into_iter();
        let mut found = all.filter(|(info, _)| info.name == name);
        found.next().map(|(_, values)| values)
    }
}

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
    pub(in crate::unit) fn resolve(self, index: usize) -> Result<ChannelConfig, DynamicsError> {
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

/// A [`ChannelTable`] as it stands in a file, for every configuration that has one.
pub(crate) struct TableFile {
    pub capacitance: Values,
    pub leak: LeakConfig,
    pub temperature_factor: Values,
    pub v_shift: Values,
    pub channel: Vec<ChannelFile>,
    pub concentration: Vec<PoolConfig>,
}

impl TryFrom<TableFile> for ChannelTable {
    type Error = DynamicsError;

    fn try_from(file: TableFile) -> Result<Self, DynamicsError> {
        let channels = file.channel.into_iter().enumerate();
        let channels = channels.map(|(index, channel)| channel.resolve(index));
        Ok(Self {
            capacitance: file.capacitance,
            leak: file.leak.conductance,
            leak_reversal: file.leak.reversal,
            temperature_factor: file.temperature_factor,
            v_shift: file.v_shift,
            channels: channels.collect::<Result<_, _>>()?,
            pools: file.concentration,
        })
    }
}

impl From<ChannelTable> for TableFile {
    fn from(table: ChannelTable) -> Self {
        Self {
            capacitance: table.capacitance,
            leak: LeakConfig {
                conductance: table.leak,
                reversal: table.leak_reversal,
            },
            temperature_factor: table.temperature_factor,
            v_shift: table.v_shift,
            channel: table.channels.into_iter().map(ChannelFile::from).collect(),
            concentration: table.pools,
        }
    }
}

/// [`ConductanceConfig`] as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ConductanceFile {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the external current, µA/cm²; what comes as input is added.
    pub current: Values,
    /// The voltage whose upward crossing is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name: `g_na`, `alpha_m_midpoint` and the like, `current`, and variables
    /// whose state at the beginning is given.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name: `{ above = 0.0 }`, `{ between = [10.0, 200.0] }`, `"free"`.
    pub bounds: BTreeMap<String, Bounds>,
    /// Membrane capacitance C, µF/cm².
    pub capacitance: Values,
    /// The conductance that is always open.
    pub leak: LeakConfig,
    /// Factor of the rates of all gates that have dynamics, for temperature.
    pub temperature_factor: Values,
    /// Added to the midpoints of the gates, mV.
    pub v_shift: Values,
    /// The channels.
    pub channel: Vec<ChannelFile>,
    /// The concentrations that channels depend on.
    pub concentration: Vec<PoolConfig>,
    /// The state at the beginning, by the name of a variable: `v`, a gate or a concentration.
    pub initial: BTreeMap<String, Values>,
}

impl Default for ConductanceFile {
    fn default() -> Self {
        Self {
            cells: 1,
            current: 0.0.into(),
            spike_threshold: 0.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            capacitance: 1.0.into(),
            leak: LeakConfig::default(),
            temperature_factor: 1.0.into(),
            v_shift: 0.0.into(),
            channel: Vec::new(),
            concentration: Vec::new(),
            initial: BTreeMap::new(),
        }
    }
}

impl TryFrom<ConductanceFile> for ConductanceConfig {
    type Error = DynamicsError;

    fn try_from(file: ConductanceFile) -> Result<Self, DynamicsError> {
        let table = TableFile {
            capacitance: file.capacitance,
            leak: file.leak,
            temperature_factor: file.temperature_factor,
            v_shift: file.v_shift,
            channel: file.channel,
            concentration: file.concentration,
        };
        Ok(Self {
            cells: file.cells,
            current: file.current,
            spike_threshold: file.spike_threshold,
            trainable: file.trainable,
            bounds: file.bounds,
            parameters: TableParameters(table.try_into()?),
            initial: file.initial,
        })
    }
}

impl From<ConductanceConfig> for ConductanceFile {
    fn from(config: ConductanceConfig) -> Self {
        let table = TableFile::from(config.parameters.0);
        Self {
            cells: config.cells,
            current: config.current,
            spike_threshold: config.spike_threshold,
            trainable: config.trainable,
            bounds: config.bounds,
            capacitance: table.capacitance,
            leak: table.leak,
            temperature_factor: table.temperature_factor,
            v_shift: table.v_shift,
            channel: table.channel,
            concentration: table.concentration,
            initial: config.initial,
        }
    }
}

impl Default for ConductanceConfig {
    /// A membrane without channels.
    fn default() -> Self {
        let file = ConductanceFile::default();
        Self {
            cells: file.cells,
            current: file.current,
            spike_threshold: file.spike_threshold,
            trainable: file.trainable,
            bounds: file.bounds,
            parameters: TableParameters(ChannelTable::new(1.0, (0.1, -65.0), [])),
            initial: file.initial,
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ConductanceConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        ConductanceFile::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ConductanceFile::json_schema(generator)
    }
}

impl ConductanceConfig {
    /// The name in configuration files.
    pub const NAME: &'static str = OWN;

    fn described(&self) -> Described<'_> {
        let variables = self.parameters.0.variables();
        let initial = variables.into_iter();
        let initial = initial.filter_map(|name| Some((name, self.initial.get(name)?)));
        Described {
            name: Self::NAME,
            section: TABLE,
            table: &self.parameters.0,
            cells: self.cells,
            current: &self.current,
            spike_threshold: self.spike_threshold,
            trainable: &self.trainable,
            bounds: &self.bounds,
            initial: initial.collect(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first one that is not allowed, as `unit.channel[0].gate[1].time_constant`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let table = &self.parameters.0;
        table.check_form()?;
        self.described().validate()?;
        table.check_values()?;
        let variables = table.variables();
        match self
            .initial
            .keys()
            .find(|name| !variables.contains(&name.as_str()))
        {
            Some(name) => Err(DynamicsError::config(
                format!("unit.initial.{name}"),
                "given",
                variables.join(", "),
            )),
            None => Ok(()),
        }
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate), and a population without a resting voltage and without an initial one.
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        self.validate()?;
        self.described().init(solver, place)
    }
}

impl Unit for ConductanceConfig {
    type Model = Cells;

    const CURRENT: &'static str = "µA/cm²";

    fn shortest_time_constant(&self) -> Option<f64> {
        self.parameters.0.shortest_time_constant()
    }

    fn spike_threshold(&self) -> Option<f64> {
        Some(self.spike_threshold)
    }

    fn places(&self, name: &str) -> Places {
        let place = self.parameters.0.place(name);
        place.map_or(Places::Nowhere, |place| {
            Places::Whole(format!("unit.{place}"))
        })
    }

    fn build(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        self.init(solver, place)
    }
}
