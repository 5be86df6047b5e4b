//! Cells of many compartments as they stand in a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CableScheme, Morphology, SectionConfig, Sites};
use crate::unit::channel::{ChannelFile, LeakConfig, PoolConfig};
use crate::{Bounds, Values};

/// [`CableCellConfig`](super::CableCellConfig) as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CableFile {
    /// How many cells, all of the same form.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the current that enters at the stimulus sites, nA: one value, or one for each site; of several
    /// cells, cell after cell.
    pub current: Values,
    /// The voltage whose upward crossing at a record site is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name: `axial_resistivity`, `g_na`, `alpha_m_midpoint` and the like,
    /// `current`, and variables whose state at the beginning is given. One that sections have differently is one for each of
    /// them; a conductance that is 0 in a section stays so there.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name: `{ above = 0.0 }`, `{ between = [10.0, 200.0] }`, `"free"`.
    pub bounds: BTreeMap<String, Bounds>,
    /// A traced cell, an SWC file, in place of sections with their geometry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub morphology: Option<Morphology>,
    /// The sections. Default: one, `soma`, of 20 µm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub section: Vec<SectionConfig>,
    /// Where currents enter, in nA each: `NAME` or `NAME(x)`, one or a list. Default: the middle of the first section.
    #[serde(skip_serializing_if = "Sites::is_empty")]
    pub stimulus_sites: Sites,
    /// Where the cell is recorded: `NAME` or `NAME(x)`, one or a list. Default: the middle of every section.
    #[serde(skip_serializing_if = "Sites::is_empty")]
    pub record_sites: Sites,
    /// Axial resistivity R_i, Ωcm.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Resistivity))]
    pub axial_resistivity: f64,
    /// The longest compartment, in length constants at 100 Hz.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub d_lambda: f64,
    /// How the potential is moved.
    pub scheme: CableScheme,
    /// Membrane capacitance C, µF/cm².
    pub capacitance: Values,
    /// The conductance that is always open.
    pub leak: LeakConfig,
    /// Factor of the rates of all gates that have dynamics, for temperature.
    pub temperature_factor: Values,
    /// Added to the midpoints of the gates, mV.
    pub v_shift: Values,
    /// The channels, of the same density everywhere but in sections whose `parameters` say otherwise.
    pub channel: Vec<ChannelFile>,
    /// The concentrations that channels depend on.
    pub concentration: Vec<PoolConfig>,
    /// The state at the beginning, by the name of a variable: `v`, a gate or a concentration. Default: each section as it would
    /// rest by itself.
    pub initial: BTreeMap<String, Values>,
}

impl Default for CableFile {
    fn default() -> Self {
        Self {
            cells: 1,
            current: 0.0.into(),
            spike_threshold: 0.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            morphology: None,
            section: Vec::new(),
            stimulus_sites: Sites::default(),
            record_sites: Sites::default(),
            axial_resistivity: 150.0,
            d_lambda: 0.1,
            scheme: CableScheme::default(),
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
