//! Populations of conductance-based cells: configuration, module and initial state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::field::{CellField, Form};
use super::parameters::{CellConstants, CellParameters, Published};
use super::rates::RateForm;
use super::setting::{Constant, Settings};
use crate::setting::Range;
use crate::solver::{Solver, Stepped};
use crate::{Bounds, DynamicsError, Model, Place, State, Values};

/// A kind of conductance-based cell: the forms of its rates and its published parameters.
pub trait Kinetics: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The name in configuration files.
    const NAME: &'static str;
    /// The forms of α_m, β_m, α_h, β_h, α_n, β_n.
    const FORMS: [RateForm; 6];
    /// Whether m has its steady value at all times.
    const INSTANTANEOUS_M: bool;
    /// The published parameters.
    const PUBLISHED: Published;
}

/// A population of conductance-based cells of the kind `K`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline, bound = "K: Kinetics"))]
#[serde(default, deny_unknown_fields, bound = "K: Kinetics")]
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
    pub initial: InitialState,
}

/// The state of a population at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct InitialState {
    /// The voltage, mV; without, the lowest voltage at which the cell rests without external current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<Values>,
    /// Sodium activation; without, its steady value at the voltage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Fraction))]
    pub m: Option<Values>,
    /// Sodium inactivation; without, its steady value at the voltage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Fraction))]
    pub h: Option<Values>,
    /// Potassium activation; without, its steady value at the voltage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Fraction))]
    pub n: Option<Values>,
}

impl InitialState {
    fn entries(&self) -> [(&'static str, Range, Option<&Values>); 4] {
        [
            ("v", Range::Any, self.v.as_ref()),
            ("m", Range::Fraction, self.m.as_ref()),
            ("h", Range::Fraction, self.h.as_ref()),
            ("n", Range::Fraction, self.n.as_ref()),
        ]
    }
}

impl<K: Kinetics> Default for CellConfig<K> {
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

impl<K: Kinetics> CellConfig<K> {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first one that is not allowed, as `unit.parameters.g_na`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        if !self.spike_threshold.is_finite() {
            return Err(DynamicsError::config(
                "unit.spike_threshold",
                self.spike_threshold,
                Range::Any.describe(),
            ));
        }
        if let (Some(_), true) = (&self.initial.m, K::INSTANTANEOUS_M) {
            let allowed = format!("none: m of {} follows the voltage", K::NAME);
            return Err(DynamicsError::config("unit.initial.m", "given", allowed));
        }
        self.settings().check(self.cells)
    }

    /// Everything that can be trained, by name.
    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::of_cells(
            self.parameters.entries(),
            &self.current,
            &self.trainable,
            &self.bounds,
        );
        for (name, range, values) in self.initial.entries() {
            if let Some(values) = values {
                all.add(("unit.initial", name), values, range);
            }
        }
        all
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate), and a population without a resting voltage and without an initial one.
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let given = |name: &str| settings.find(name, self.cells, place);
        let required = |name: &str| settings.init(name, self.cells, place);
        let gates = match K::INSTANTANEOUS_M {
            true => vec![given("h")?, given("n")?],
            false => vec![given("m")?, given("h")?, given("n")?],
        };
        let cells = Cells {
            parameters: CellConstants::build(required)?,
            current: required("current")?,
            voltage: given("v")?,
            gates,
            origin: place.full(0.0, [1, 1]),
            form: Form {
                name: K::NAME,
                rates: K::FORMS,
                instantaneous_m: K::INSTANTANEOUS_M,
            },
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
    gates: Vec<Option<Constant>>,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    form: Form,
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

    /// A parameter by its name in configuration files, or `current`.
    pub fn parameter(&self, name: &str) -> Option<&Constant> {
        match name {
            "current" => Some(&self.current),
            _ => self.parameters.get(name),
        }
    }

    /// What was given of the initial state: `v`, `m`, `h` or `n`.
    pub fn initial(&self, name: &str) -> Option<&Constant> {
        let gate = |from_last: usize| {
            let index = self.gates.len().checked_sub(from_last)?;
            self.gates.get(index)?.as_ref()
        };
        match name {
            "v" => self.voltage.as_ref(),
            "m" => gate(3),
            "h" => gate(2),
            "n" => gate(1),
            _ => None,
        }
    }

    /// The equations with the parameters' values taken.
    pub fn field(&self) -> CellField {
        CellField::new(self.form, self.cells, &self.parameters, &self.current)
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
        let names = super::PARAMETERS.iter().map(|info| info.name);
        let table: Vec<Vec<f64>> = names
            .filter_map(|name| self.parameters.get(name))
            .map(Constant::values)
            .collect::<Result<_, _>>()?;
        let width = table.iter().map(Vec::len).max().unwrap_or(1);
        let (mut voltages, mut minus_slopes) = (Vec::new(), Vec::new());
        for cell in 0..width {
            let values: Vec<f64> = table
                .iter()
                .map(|values| values[cell.min(values.len() - 1)])
                .collect();
            let steady = SteadyCurrent::new(self.form.rates, &values);
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
        let none = Constant::Number(0.0);
        let field = CellField::new(self.form, width, &self.parameters, &none);
        let residual = field.steady_slope(&voltage);
        let capacitance = self.parameters.capacitance.quantity();
        Ok(voltage + capacitance.scale(residual) / minus_slope)
    }
}

impl Model for Cells {
    type Dynamics = Stepped<CellField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field().fused(&self.origin),
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let spread = |value: &Constant| value.quantity().shift(zeros.clone());
        let voltage = match &self.voltage {
            Some(voltage) => spread(voltage),
            None => zeros.clone() + self.resting_voltage()?,
        };
        let steady = match self.gates.iter().all(Option::is_some) {
            true => vec![zeros.clone(); self.gates.len()],
            false => self.field().steady_gates(&voltage),
        };
        let gates = self.gates.iter().zip(steady);
        let gates = gates.map(|(given, steady)| given.as_ref().map_or(steady, spread));
        Ok(State::new(
            std::iter::once(voltage.clone()).chain(gates).collect(),
        ))
    }
}

/// The current density of one cell on the host, with the gates at their steady values: positive when it enters.
struct SteadyCurrent<'a> {
    forms: [RateForm; 6],
    /// In the order of the parameters' fields.
    values: &'a [f64],
}

impl<'a> SteadyCurrent<'a> {
    fn new(forms: [RateForm; 6], values: &'a [f64]) -> Self {
        Self { forms, values }
    }

    fn at(&self, voltage: f64) -> f64 {
        let [_, g_na, g_k, g_l, e_na, e_k, e_l, _, shift, rates @ ..] = self.values else {
            return f64::NAN;
        };
        let rate = |index: usize| match &rates[3 * index..][..3] {
            [rate, midpoint, slope] => {
                self.forms[index].at(voltage, *rate, midpoint + shift, *slope)
            }
            _ => f64::NAN,
        };
        let steady = |gate: usize| {
            let (alpha, beta) = (rate(2 * gate), rate(2 * gate + 1));
            alpha / (alpha + beta)
        };
        g_na * steady(0).powi(3) * steady(1) * (e_na - voltage)
            + g_k * steady(2).powi(4) * (e_k - voltage)
            + g_l * (e_l - voltage)
    }

    /// The lowest zero at which the current turns from inward to outward.
    fn rest(&self) -> Option<f64> {
        let reversals = self.values.get(4..7)?;
        let low = reversals.iter().copied().fold(f64::INFINITY, f64::min) - 1.0;
        let high = reversals.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 1.0;
        const SCAN: usize = 250;
        let at = |i: usize| low + (high - low) * i as f64 / SCAN as f64;
        let turn = (0..SCAN).find(|i| self.at(at(*i)) > 0.0 && self.at(at(i + 1)) <= 0.0)?;
        let (mut below, mut above) = (at(turn), at(turn + 1));
        for _ in 0..60 {
            let middle = 0.5 * (below + above);
            match self.at(middle) > 0.0 {
                true => below = middle,
                false => above = middle,
            }
        }
        Some(0.5 * (below + above))
    }
}
