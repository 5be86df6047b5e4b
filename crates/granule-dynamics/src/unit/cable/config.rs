//! The configuration of cells of many compartments.

use std::collections::BTreeMap;

use super::{CableScheme, Morphology, SectionConfig, Sites};
use crate::unit::channel::with_channels;
use crate::{Bounds, Values};

with_channels! {
    /// Cells of many compartments, from sections or a traced morphology, with channels of a density that sections may have of
    /// their own.
    ///
    /// Every section is divided into an odd number of compartments of the same length, none of them longer than `d_lambda` length
    /// constants at 100 Hz (Hines and Carnevale 2001), or into as many as it says. Where several sections meet at an end, they
    /// do so in a point; what grows from inside a section grows from the middle of the compartment there.
    ///
    /// Input: currents in nA, one for each stimulus site. State: the variables of the membrane at the record sites, which is what
    /// is recorded and given to a loss, then, with `_all` after their names, those of all compartments.
    #[serde(try_from = "CableFile", into = "CableFile")]
    config CableCellConfig,
    file CableFile,
    settings: {
        /// How many cells, all of the same form.
        cells: usize = 1, #[cfg_attr(feature = "schema", schemars(range(min = 1)))];
        /// The constant part of the current that enters at the stimulus sites, nA: one value, or one for each site; of several
        /// cells, cell after cell.
        current: Values = 0.0.into();
        /// The voltage whose upward crossing at a record site is a spike, mV.
        spike_threshold: f64 = 0.0;
        /// The parameters that training may change, by name: `axial_resistivity`, `g_na`, `alpha_m_midpoint` and the like,
        /// `current`, and variables whose state at the beginning is given. One that sections have differently is one for each of
        /// them; a conductance that is 0 in a section stays so there.
        trainable: Vec<String> = Vec::new();
        /// Where training keeps a parameter, by name: `{ above = 0.0 }`, `{ between = [10.0, 200.0] }`, `"free"`.
        bounds: BTreeMap<String, Bounds> = BTreeMap::new();
        /// A traced cell, an SWC file, in place of sections with their geometry.
        morphology: Option<Morphology> = None, #[serde(skip_serializing_if = "Option::is_none")];
        /// The sections. Default: one, `soma`, of 20 µm.
        section: Vec<SectionConfig> = Vec::new(), #[serde(skip_serializing_if = "Vec::is_empty")];
        /// Where currents enter, in nA each: `NAME` or `NAME(x)`, one or a list. Default: the middle of the first section.
        stimulus_sites: Sites = Sites::default(), #[serde(skip_serializing_if = "Sites::is_empty")];
        /// Where the cell is recorded: `NAME` or `NAME(x)`, one or a list. Default: the middle of every section.
        record_sites: Sites = Sites::default(), #[serde(skip_serializing_if = "Sites::is_empty")];
        /// Axial resistivity R_i, Ωcm.
        axial_resistivity: f64 = 150.0, #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Resistivity))];
        /// The longest compartment, in length constants at 100 Hz.
        d_lambda: f64 = 0.1, #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))];
        /// How the potential is moved.
        scheme: CableScheme = CableScheme::default();
    }
    channel: {
        /// The channels, of the same density everywhere but in sections whose `parameters` say otherwise.
    }
    initial: {
        /// The state at the beginning, by the name of a variable: `v`, a gate or a concentration. Default: each section as it
        /// would rest by itself.
    }
}
