//! Populations of conductance-based cells as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use granule_io::budget;
use serde::{Deserialize, Serialize};

use super::Cells;
use super::channel::ChannelTable;
use super::kind::CellKind;
use super::parameters::{CellConstants, CellParameters, InitialState};
use super::population::Unit;
use crate::setting::{HELD, Range, Settings, check_count};
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Place, Values};

/// A population of conductance-based cells of the kind `K`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline, bound = "K: CellKind"))]
#[serde(default, deny_unknown_fields, bound = "K: CellKind")]
pub struct CellConfig<K> {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the external current, µA/cm²; what comes as input is added.
    pub current: Values,
    /// The voltage whose upward crossing is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name: those below, `current`, and `v`, `m`, `h`, `n` at the
    /// beginning where they are given.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name: `{ above = 0.0 }`, `{ between = [10.0, 200.0] }`, `"free"`. Without,
    /// everything that is above 0 by its nature stays so.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: CellParameters<K>,
    /// The state at the beginning.
    pub initial: InitialState<K>,
}

impl<K: CellKind> Default for CellConfig<K> {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::from(0.0),
            spike_threshold: 0.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: CellParameters::default(),
            initial: InitialState::default(),
        }
    }
}

impl<K: CellKind> CellConfig<K> {
    fn described(&self) -> Described<'_> {
        Described {
            name: K::NAME,
            section: "unit.parameters",
            table: self.parameters.table(),
            cells: self.cells,
            current: &self.current,
            spike_threshold: self.spike_threshold,
            trainable: &self.trainable,
            bounds: &self.bounds,
            initial: self.initial.entries().collect(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first one that is not allowed, as `unit.parameters.g_na`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        self.described().validate()
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate), and a population without a resting voltage and without an initial one.
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        self.described().init(solver, place)
    }
}

impl<K: CellKind> Unit for CellConfig<K> {
    type Model = Cells;

    const CURRENT: &'static str = "µA/cm²";

    const PUBLISHED: Option<fn() -> ChannelTable> = Some(K::table);

    fn shortest_time_constant(&self) -> Option<f64> {
        self.parameters.table().shortest_time_constant()
    }

    fn spike_threshold(&self) -> Option<f64> {
        Some(self.spike_threshold)
    }

    fn build(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        self.init(solver, place)
    }
}

/// The section of the parameters of one's own channels.
pub(super) const TABLE: &str = "unit.channel";

/// A population as any configuration has it.
pub(super) struct Described<'a> {
    pub(super) name: &'static str,
    /// Where its parameters stand in a file.
    pub(super) section: &'static str,
    pub(super) table: &'a ChannelTable,
    pub(super) cells: usize,
    pub(super) current: &'a Values,
    pub(super) spike_threshold: f64,
    pub(super) trainable: &'a [String],
    pub(super) bounds: &'a BTreeMap<String, Bounds>,
    pub(super) initial: Vec<(&'static str, &'a Values)>,
}

impl Described<'_> {
    pub(super) fn validate(&self) -> Result<(), DynamicsError> {
        check_count("unit.cells", self.cells)?;
        Range::Any.check("unit.spike_threshold", self.spike_threshold)?;
        let checked = self.settings().check(self.cells);
        checked.map_err(|error| self.placed(error))
    }

    /// The error with the place of a parameter in a file of one's own channels in place of its name.
    fn placed(&self, error: DynamicsError) -> DynamicsError {
        let DynamicsError::Config(error) = error else {
            return error;
        };
        let name = error
            .field
            .strip_prefix(TABLE)
            .and_then(|rest| rest.strip_prefix('.'));
        let of_name = |name| {
            let mut all = self.table.placed().into_iter();
            all.find(|(info, ..)| info.name == name)
        };
        match name.and_then(of_name) {
            Some((info, place, _)) if place != info.name => {
                let allowed = format!("{}; it is the parameter {}", error.allowed, info.name);
                DynamicsError::config(format!("unit.{place}"), error.value, allowed)
            }
            Some((info, ..)) => error.named(format!("unit.{}", info.name)).into(),
            None => error.into(),
        }
    }

    /// Everything that can be trained, by name.
    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::new("unit", self.trainable, self.bounds);
        for (info, values) in self.table.parameters() {
            all.add((self.section, info.name), values, info.range);
        }
        all.add(("unit", "current"), self.current, Range::Any);
        let gates = 1..=self.table.moving_gates().count();
        for (index, name) in self.table.variables().into_iter().enumerate() {
            let range = match index {
                0 => Range::Potential,
                _ if gates.contains(&index) => Range::Fraction,
                _ => Range::NonNegative,
            };
            if let Some((_, values)) = self.initial.iter().find(|(own, _)| *own == name) {
                all.add(("unit.initial", name), values, range);
            }
        }
        all
    }

    pub(super) fn init(
        &self,
        solver: Arc<dyn Solver>,
        place: &Place,
    ) -> Result<Cells, DynamicsError> {
        self.validate()?;
        let numbers = [self.cells, self.table.variables().len(), HELD];
        budget::ask_for_numbers("the cells and their state", &numbers)?;
        let settings = self.settings();
        let given = |name: &str| settings.find(name, self.cells, place);
        let mut parameters = Vec::new();
        for (info, _) in self.table.parameters() {
            parameters.push((info.name, settings.init(info.name, self.cells, place)?));
        }
        let variables = self.table.variables();
        let others = variables.iter().skip(1).map(|name| given(name));
        let cells = Cells {
            parameters: CellConstants::new(parameters),
            current: settings.init("current", self.cells, place)?,
            voltage: given("v")?,
            gates: others.collect::<Result<_, _>>()?,
            origin: place.full(0.0, [1, 1]),
            present: Arc::default(),
            name: self.name,
            table: Arc::new(self.table.clone()),
            cells: self.cells,
            solver,
        };
        if cells.voltage.is_none() {
            cells.resting_voltage()?;
        }
        Ok(cells)
    }
}
