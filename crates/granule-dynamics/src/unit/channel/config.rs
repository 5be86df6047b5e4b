//! Cells whose channels a configuration gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::cells::OWN;
use super::super::conductance::{Described, TABLE};
use super::super::population::{Places, Unit};
use super::super::{Cells, ParameterInfo};
use super::file::with_channels;
use super::table::ChannelTable;
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Place, Values};

with_channels! {
    /// Conductance-based cells of one's own channels.
    ///
    /// A parameter is called by what it belongs to: `capacitance`, `g_l`, `e_l`, `g_NAME` and `e_NAME` of a channel, and of a
    /// gate `alpha_NAME_rate`, `alpha_NAME_midpoint`, `alpha_NAME_slope`, with `beta`, `steady` or `tau` in place of `alpha` and
    /// `scale` in place of `rate` of the latter two; where a curve has several terms, `tau_NAME_1_midpoint` and so on.
    #[serde(try_from = "ConductanceFile", into = "ConductanceFile")]
    config ConductanceConfig,
    file ConductanceFile,
    settings: {
        /// How many cells.
        cells: usize = 1, #[cfg_attr(feature = "schema", schemars(range(min = 1)))];
        /// The constant part of the external current, µA/cm²; what comes as input is added.
        current: Values = 0.0.into();
        /// The voltage whose upward crossing is a spike, mV.
        spike_threshold: f64 = 0.0;
        /// The parameters that training may change, by name: `g_na`, `alpha_m_midpoint` and the like, `current`, and variables
        /// whose state at the beginning is given.
        trainable: Vec<String> = Vec::new();
        /// Where training keeps a parameter, by name: `{ above = 0.0 }`, `{ between = [10.0, 200.0] }`, `"free"`.
        bounds: BTreeMap<String, Bounds> = BTreeMap::new();
    }
    channel: {
        /// The channels.
    }
    initial: {
        /// The state at the beginning, by the name of a variable: `v`, a gate or a concentration.
    }
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
