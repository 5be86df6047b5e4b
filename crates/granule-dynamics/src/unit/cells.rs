//! Populations of conductance-based cells as a module.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::Observed;
use super::channel::ChannelTable;
use super::field::CellField;
use super::parameters::CellConstants;
use super::population::Population;
use super::resting::SteadyCurrent;
use crate::quantity::{Constant, Quantity};
use crate::solver::{Solver, Stepped};
use crate::{DynamicsError, Model, Place, State};

/// The name of cells of one's own channels.
pub(super) const OWN: &str = "conductance";

/// A population of conductance-based cells as a Burn module, with the solver that moves it.
#[derive(Module, Debug)]
pub struct Cells {
    /// The parameters.
    pub parameters: CellConstants,
    /// The constant part of the external current, µA/cm².
    pub current: Constant,
    pub(super) voltage: Option<Constant>,
    /// The other variables at the beginning, where they are given.
    pub(super) gates: Vec<Option<Constant>>,
    /// Where the module lives; it follows the module to other devices and off the tape.
    pub(super) origin: Tensor<2>,
    /// Of trained conductances, by name, which cells have them, 1 or 0.
    #[module(skip)]
    pub(super) present: Arc<BTreeMap<&'static str, Vec<f64>>>,
    #[module(skip)]
    pub(super) name: &'static str,
    #[module(skip)]
    pub(super) table: Arc<ChannelTable>,
    #[module(skip)]
    pub(super) cells: usize,
    #[module(skip)]
    pub(super) solver: Arc<dyn Solver>,
}

impl Cells {
    /// The number of cells.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Never: a population has at least one cell.
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// Where the module lives.
    pub(super) fn place(&self) -> Place {
        Place::of(&self.origin)
    }

    /// A parameter by its name in configuration files, or `current`.
    pub fn parameter(&self, name: &str) -> Option<&Constant> {
        match name {
            "current" => Some(&self.current),
            _ => self.parameters.get(name),
        }
    }

    /// The kind of cell.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The names of the variables.
    pub(super) fn variables(&self) -> Vec<&'static str> {
        self.table.variables()
    }

    /// What was given of the initial state, by the name of the variable.
    pub fn initial(&self, name: &str) -> Option<&Constant> {
        let variables = self.table.variables();
        match variables.iter().position(|own| *own == name)? {
            0 => self.voltage.as_ref(),
            index => self.gates.get(index - 1)?.as_ref(),
        }
    }

    /// The equations with the parameters' values taken.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a parameter that the table of channels asks for and that is not there.
    pub fn field(&self) -> Result<CellField, DynamicsError> {
        self.field_with(&self.current.quantity())
    }

    /// With conductances that some cells do not have, whatever their values become.
    pub(super) fn with_present(mut self, present: BTreeMap<&'static str, Vec<f64>>) -> Self {
        self.present = Arc::new(present);
        self
    }

    /// A parameter by its name.
    fn held(&self, name: &str) -> Result<&Constant, DynamicsError> {
        let constant = self.parameters.get(name);
        constant.ok_or_else(|| DynamicsError::missing(name))
    }

    /// A parameter's value, 0 in cells without it.
    fn constant(&self, name: &str) -> Result<Quantity, DynamicsError> {
        let value = self.held(name)?.quantity();
        Ok(match self.present.get(name) {
            Some(present) => {
                let present = self.place().tensor(present.clone(), [1, present.len()]);
                value * &Quantity::Tensor(present)
            }
            None => value,
        })
    }

    /// As many cells as there are `columns`, each with the parameters of the one of that number here, without the constant
    /// current.
    pub(super) fn field_over(&self, columns: &Tensor<1, Int>) -> Result<CellField, DynamicsError> {
        let constant = |name: &str| {
            Ok(match self.constant(name)? {
                Quantity::Tensor(values) if values.dims()[1] > 1 => {
                    Quantity::Tensor(values.select(1, columns.clone()))
                }
                shared => shared,
            })
        };
        let [cells] = columns.dims();
        let none = Quantity::Number(0.0);
        CellField::new(self.name, cells, &self.table, &constant, &none)
    }

    fn field_with(&self, current: &Quantity) -> Result<CellField, DynamicsError> {
        let constant = |name: &str| self.constant(name);
        CellField::new(self.name, self.cells, &self.table, &constant, current)
    }

    /// C, µF/cm²: `[1, 1]`, or `[1, cells]`.
    pub(crate) fn capacitance(&self) -> Result<Quantity, DynamicsError> {
        Ok(self.held("capacitance")?.quantity())
    }

    /// The lowest voltage at which each cell rests without external current, `[1, 1]` or `[1, cells]` in mV, with its
    /// derivatives by the parameters.
    ///
    /// It is found on the host. One Newton step from there changes nothing but carries the derivatives, which are those
    /// of the implicit function.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a cell without any conductance.
    pub fn resting_voltage(&self) -> Result<Tensor<2>, DynamicsError> {
        let table: Vec<(&str, Vec<f64>)> = self
            .parameters
            .iter()
            .map(|(name, constant)| {
                let mut values = constant.values()?;
                if let Some(present) = self.present.get(name) {
                    let both = values.iter_mut().zip(present);
                    both.for_each(|(value, present)| *value *= present);
                }
                Ok((name, values))
            })
            .collect::<Result<_, DynamicsError>>()?;
        let width = table.iter().map(|(_, values)| values.len()).max();
        let width = width.unwrap_or(1);
        let (mut voltages, mut minus_slopes) = (Vec::new(), Vec::new());
        for cell in 0..width {
            let constant = |name: &str| {
                let found = table.iter().find(|(own, _)| *own == name);
                let value = found.and_then(|(_, values)| values.get(cell).or(values.last()));
                value.copied().ok_or_else(|| DynamicsError::missing(name))
            };
            let steady = SteadyCurrent::new(&self.table, &constant)?;
            let voltage = steady.rest().ok_or_else(|| {
                DynamicsError::config(
                    "unit.initial.v",
                    "at rest",
                    format!("a voltage in mV: cell {cell} has no resting voltage"),
                )
            })?;
            voltages.push(voltage);
            let h = 1e-4;
            minus_slopes.push((steady.at(voltage - h) - steady.at(voltage + h)) / (2.0 * h));
        }
        let place = Place::of(&self.origin);
        let voltage = place.tensor(voltages, [1, width]);
        let minus_slope = place.tensor(minus_slopes, [1, width]);
        // The constant current is not part of what keeps the cell at rest.
        let field = self.field_with(&Quantity::Number(0.0))?;
        let residual = field.steady_slope(&voltage);
        Ok(voltage + residual * &self.capacitance()? / minus_slope)
    }
}

impl Population for Cells {
    fn constants(&self) -> Vec<(&'static str, &Constant)> {
        self.parameters.iter().collect()
    }

    fn current(&self) -> (&Constant, &'static str) {
        (&self.current, "µA/cm²")
    }

    fn initial_values(&self) -> Vec<(&'static str, &Constant)> {
        let names = self.variables().into_iter();
        names
            .filter_map(|name| Some((name, self.initial(name)?)))
            .collect()
    }

    fn section(&self) -> &'static str {
        match self.name() {
            OWN => "unit",
            _ => "unit.parameters",
        }
    }

    fn observed(&self) -> Observed {
        Observed::Voltage
    }
}

impl Model for Cells {
    type Dynamics = Stepped<CellField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field()?.fused(&self.origin),
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let spread = |value: &Constant| zeros.clone() + &value.quantity();
        let voltage = match &self.voltage {
            Some(voltage) => spread(voltage),
            None => zeros.clone() + self.resting_voltage()?,
        };
        let steady = if self.gates.iter().all(Option::is_some) {
            vec![zeros.clone(); self.gates.len()]
        } else {
            self.field()?.steady(&voltage).into_tensors().split_off(1)
        };
        let gates = self.gates.iter().zip(steady);
        let gates = gates.map(|(given, steady)| given.as_ref().map_or(steady, spread));
        Ok(State::new(
            std::iter::once(voltage.clone()).chain(gates).collect(),
        ))
    }
}
