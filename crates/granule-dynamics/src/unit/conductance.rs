//! Populations of conductance-based cells: configuration, module and initial state.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use granule_ops::Kinetics;
use serde::{Deserialize, Serialize};

use super::Observed;
use super::channel::{Battery, BoundChannel, BoundPool, BoundTable, ChannelTable, Constants};
use super::field::CellField;
use super::kind::CellKind;
use super::parameters::{CellConstants, CellParameters, InitialState};
use super::population::{Population, Unit};
use super::rates;
use crate::quantity::{Constant, Quantity};
use crate::setting::Settings;
use crate::setting::{HELD, Range, ask_for, check_count};
use crate::solver::{Solver, Stepped};
use crate::{Bounds, DynamicsError, Model, Place, State, Values};

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

/// The name of cells of one's own channels.
pub(super) const OWN: &str = "conductance";

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
        ask_for("the cells and their state", &numbers)?;
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

/// A population of conductance-based cells as a Burn module, with the solver that moves it.
#[derive(Module, Debug)]
pub struct Cells {
    /// The parameters.
    pub parameters: CellConstants,
    /// The constant part of the external current, µA/cm².
    pub current: Constant,
    voltage: Option<Constant>,
    /// The other variables at the beginning, where they are given.
    gates: Vec<Option<Constant>>,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    /// Of trained conductances, by name, which cells have them, 1 or 0.
    #[module(skip)]
    present: Arc<BTreeMap<&'static str, Vec<f64>>>,
    #[module(skip)]
    name: &'static str,
    #[module(skip)]
    table: Arc<ChannelTable>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    solver: Arc<dyn Solver>,
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

/// The current density of one cell on the host, over its capacitance, with everything else at its steady values: positive when
/// it enters.
struct SteadyCurrent {
    table: BoundTable<f64>,
    /// The lowest and the highest reversal potential, which rest lies between.
    reversals: (f64, f64),
}

impl SteadyCurrent {
    fn new(table: &ChannelTable, constant: &Constants<'_, f64>) -> Result<Self, DynamicsError> {
        let table = table.bind(constant, &0.0)?;
        let mut all = vec![constant("e_l")?];
        all.extend(
            table
                .channels
                .iter()
                .flat_map(|channel| match &channel.battery {
                    Battery::Fixed { minus_reversal, .. } => vec![-minus_reversal],
                    // Where ions are not ten thousand times as many on one side as on the other.
                    Battery::Nernst { factor, .. } => vec![-9.0 * factor, 9.0 * factor],
                }),
        );
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(Self {
            table,
            reversals: (low, high),
        })
    }

    fn channel(&self, channel: &BoundChannel<f64>, voltage: f64, pools: &[f64]) -> f64 {
        let at = |curve: &granule_ops::Curve<f64>| rates::on_host(curve, voltage, pools);
        let gates = channel.gates.iter().map(|gate| {
            let x = match &gate.kinetics {
                Kinetics::Rates([alpha, beta]) | Kinetics::SteadyRates([alpha, beta]) => {
                    let (alpha, beta) = (at(alpha), at(beta));
                    alpha / (alpha + beta)
                }
                Kinetics::Relaxation([steady, _]) | Kinetics::Steady([steady]) => at(steady),
            };
            x.powi(gate.power as i32)
        });
        let reversal = match &channel.battery {
            Battery::Fixed { minus_reversal, .. } => -minus_reversal,
            Battery::Nernst {
                pool,
                factor,
                outside,
            } => factor * (outside / pools[*pool].max(rates::LOWEST)).ln(),
        };
        channel.conductance * gates.product::<f64>() * (reversal - voltage)
    }

    fn at(&self, voltage: f64) -> f64 {
        let table = &self.table;
        let rest = |pool: &BoundPool<f64>| pool.drive / pool.decay;
        let mut pools: Vec<f64> = table.pools.iter().map(rest).collect();
        // Half of the way each time, for a current that the concentration itself reduces.
        for _ in 0..if pools.is_empty() { 0 } else { 100 } {
            let into = |index: usize| {
                let own = table.channels.iter().filter(|x| x.pool == Some(index));
                own.map(|x| self.channel(x, voltage, &pools)).sum::<f64>()
            };
            let next: Vec<f64> = (0..pools.len())
                .map(|index| {
                    let pool = &table.pools[index];
                    rest(pool) + pool.influx * into(index) / pool.decay
                })
                .collect();
            let both = pools.iter().zip(&next);
            pools = both.map(|(last, next)| 0.5 * (last + next)).collect();
        }
        let channels = table.channels.iter();
        let currents = channels.map(|x| self.channel(x, voltage, &pools));
        currents.sum::<f64>() + table.drive - table.leak * voltage
    }

    /// The lowest zero at which the current turns from inward to outward.
    fn rest(&self) -> Option<f64> {
        let (low, high) = (self.reversals.0 - 1.0, self.reversals.1 + 1.0);
        const SCAN: usize = 250;
        let at = |i: usize| low + (high - low) * i as f64 / SCAN as f64;
        let turn = (0..SCAN).find(|i| self.at(at(*i)) > 0.0 && self.at(at(i + 1)) <= 0.0)?;
        let (mut below, mut above) = (at(turn), at(turn + 1));
        for _ in 0..60 {
            let middle = 0.5 * (below + above);
            if self.at(middle) > 0.0 {
                below = middle
            } else {
                above = middle
            }
        }
        Some(0.5 * (below + above))
    }
}
