//! Cells of sections or of a traced morphology: what a configuration comes to.

use std::sync::Arc;

use granule_io::words::counted;

use super::config::CableCellConfig;
use super::membrane::Regions;
use super::model::CableCell;
use super::solve::{Cable, NAME};
use crate::setting::Range;
use crate::solver::{BackwardEuler, Solver};
use crate::unit::population::{Places, Unit};
use crate::{DynamicsError, Place};

/// The settings of the cable itself among those that can be trained.
pub(super) const RESISTIVITY: &str = "axial_resistivity";
pub(super) const CURRENT: &str = "current";
/// Of a channel table, what the lengths of compartments follow from, as they do from R_i.
pub(super) const CAPACITANCE: &str = "capacitance";

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
