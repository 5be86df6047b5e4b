//! Cells of sections or of a traced morphology: configuration and what it comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::file::CableFile;
use super::membrane::Regions;
use super::model::CableCell;
use super::solve::{Cable, NAME};
use super::{CableScheme, Morphology, SectionConfig, Sites};
use crate::setting::Range;
use crate::solver::{BackwardEuler, Solver};
use crate::unit::channel::{ChannelTable, TableParameters};
use crate::unit::population::{Places, Unit};
use crate::{Bounds, DynamicsError, Place, Values};

/// The settings of the cable itself among those that can be trained.
pub(super) const RESISTIVITY: &str = "axial_resistivity";
pub(super) const CURRENT: &str = "current";
/// Of a channel table, what the lengths of compartments follow from, as they do from R_i.
pub(super) const CAPACITANCE: &str = "capacitance";

/// Cells of many compartments, from sections or a traced morphology, with channels of a density that sections may have of
/// their own.
///
/// Every section is divided into an odd number of compartments of the same length, none of them longer than `d_lambda` length
/// constants at 100 Hz (Hines and Carnevale 2001), or into as many as it says. Where several sections meet at an end, they
/// do so in a point; what grows from inside a section grows from the middle of the compartment there.
///
/// Input: currents in nA, one for each stimulus site. State: the variables of the membrane at the record sites, which is what
/// is recorded and given to a loss, then, with `_all` after their names, those of all compartments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CableFile", into = "CableFile")]
pub struct CableCellConfig {
    /// How many cells, all of the same form.
    pub cells: usize,
    /// The constant part of the current at the stimulus sites, nA.
    pub current: Values,
    /// The voltage whose upward crossing at a record site is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// A traced cell in place of sections with their geometry.
    pub morphology: Option<Morphology>,
    /// The sections, or what is different in groups of the morphology.
    pub section: Vec<SectionConfig>,
    /// Where currents enter.
    pub stimulus_sites: Sites,
    /// Where the cell is recorded.
    pub record_sites: Sites,
    /// R_i, Ωcm.
    pub axial_resistivity: f64,
    /// The longest compartment, in length constants at 100 Hz.
    pub d_lambda: f64,
    /// How the potential is moved.
    pub scheme: CableScheme,
    /// The channels, as they are where no section says otherwise.
    pub parameters: TableParameters,
    /// The state at the beginning, by the name of a variable.
    pub initial: BTreeMap<String, Values>,
}

impl Default for CableCellConfig {
    /// A soma of 20 µm without channels.
    fn default() -> Self {
        let file = CableFile::default();
        Self {
            cells: file.cells,
            current: file.current,
            spike_threshold: file.spike_threshold,
            trainable: file.trainable,
            bounds: file.bounds,
            morphology: file.morphology,
            section: file.section,
            stimulus_sites: file.stimulus_sites,
            record_sites: file.record_sites,
            axial_resistivity: file.axial_resistivity,
            d_lambda: file.d_lambda,
            scheme: file.scheme,
            parameters: TableParameters(ChannelTable::new(1.0, (0.1, -65.0), [])),
            initial: file.initial,
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for CableCellConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        CableFile::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        CableFile::json_schema(generator)
    }
}

impl CableCellConfig {
    /// The name in configuration files.
    pub const NAME: &'static str = NAME;

    /// How many currents enter: the stimulus sites of all cells.
    pub fn inputs(&self) -> usize {
        let sites = self.stimulus_sites.as_slice().len().max(1);
        self.cells.saturating_mul(sites)
    }

    /// Checks every setting; a morphology that is not read yet is read.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.section[1].parent`, or the line of the file.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        self.plan().map(|_| ())
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate), and a section without a resting voltage and without an initial one.
    pub fn init(&self, place: &Place) -> Result<CableCell, DynamicsError> {
        let plan = self.plan()?;
        let trained = self.trained(|name| ![RESISTIVITY, CURRENT].contains(&name));
        let described = self.described(&plan.table, plan.regions, &trained);
        let cells = described.init(Arc::new(BackwardEuler), place)?;
        let cells = cells.with_present(plan.present);
        let own = self.trained(|name| name == RESISTIVITY);
        let settings = own.of((RESISTIVITY, &plan.axial_resistivity, Range::Resistivity));
        let axial_resistivity = settings.init(RESISTIVITY, plan.regions, place)?;
        let own = self.trained(|name| name == CURRENT);
        let settings = own.of((CURRENT, &self.current, Range::Any));
        let current = settings.init(CURRENT, self.inputs(), place)?;
        let of_cell = plan.compartments.regions.iter().map(|own| *own as i64);
        let of_cell: Vec<i64> = of_cell.collect();
        let membrane = Regions::new(cells, of_cell.repeat(self.cells));
        let geometry = plan.compartments.geometry.repeated(self.cells);
        let cable = Cable::new(membrane, axial_resistivity, (geometry, self.scheme), place)?;
        Ok(CableCell::new(cable, current, plan.places))
    }
}

/// More compartments of all cells are warned of: a step goes through each of them.
const MANY: usize = 20_000;

impl Unit for CableCellConfig {
    type Model = CableCell;

    const CURRENT: &'static str = "nA";

    fn doubt(&self, table: &str) -> Option<String> {
        let plan = self.plan().ok()?;
        let count = plan.compartments.regions.len().saturating_mul(self.cells);
        (count > MANY).then(|| {
            format!(
                "`{table}` has {}, and every step goes through all of them: it takes long, and in training much longer; a \
                 larger d_lambda (here {}), or `compartments` for its sections, makes fewer",
                counted(count, "compartment"),
                self.d_lambda
            )
        })
    }

    fn shortest_time_constant(&self) -> Option<f64> {
        let mut table = self.parameters.0.clone();
        for section in &self.section {
            for (info, values) in table.parameters_mut() {
                if let Some(own) = section.parameters.get(info.name) {
                    let all = [values.as_slice(), &[*own]].concat();
                    *values = all.into();
                }
            }
        }
        table.shortest_time_constant()
    }

    fn spike_threshold(&self) -> Option<f64> {
        Some(self.spike_threshold)
    }

    fn own_method(&self) -> Option<(&'static str, &'static str)> {
        Some(("unit.scheme", self.scheme.name()))
    }

    fn inputs(&self) -> Option<usize> {
        Some(self.inputs())
    }

    fn places(&self, name: &str) -> Places {
        self.places_of(name).unwrap_or(Places::Nowhere)
    }

    fn build(&self, _: Arc<dyn Solver>, place: &Place) -> Result<CableCell, DynamicsError> {
        self.init(place)
    }
}
