use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::constants::constants;
use super::input::fits;
use crate::model::{Field, Linear, Model};
use crate::quantity::{Constant, Quantity};
use crate::setting::Range;
use crate::setting::Settings;
use crate::solver::{Solver, Stepped};
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

constants! {
    "passive membranes", PassiveParameters, PassiveConstants,
    /// Membrane capacitance C.
    capacitance: "µF/cm²", Positive, 1.0;
    /// Conductance of the leak g_L.
    g_l: "mS/cm²", NonNegative, 0.1;
    /// Reversal potential of the leak E_L.
    e_l: "mV", Any, -70.0;
}

/// Settings of [`Passive`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PassiveConfig {
    /// How many cells, or compartments of a cable.
    pub cells: usize,
    /// The constant part of the external current, µA/cm²; what comes as input is added.
    pub current: Values,
    /// The parameters that training may change, by name: those below, `current`, and `v` at the beginning where it is given.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: PassiveParameters,
    /// The state at the beginning.
    pub initial: PassiveInitial,
}

/// The state of [`Passive`] membranes at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PassiveInitial {
    /// The potential, mV; without, that of the leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<Values>,
}

impl Default for PassiveConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: PassiveParameters::default(),
            initial: PassiveInitial::default(),
        }
    }
}

impl PassiveConfig {
    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::new("unit", &self.trainable, &self.bounds);
        for (info, values) in self.parameters.entries() {
            all.add(("unit.parameters", info.name), values, info.range);
        }
        all.add(("unit", "current"), &self.current, Range::Any);
        if let Some(v) = &self.initial.v {
            all.add(("unit.initial", "v"), v, Range::Any);
        }
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.g_l`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        self.settings().check(self.cells)
    }

    /// Makes the membranes, to be moved by `solver`, which a cable does not use.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Passive, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let make = |name: &str| settings.init(name, self.cells, place);
        Ok(Passive {
            parameters: PassiveConstants::build(make)?,
            current: make("current")?,
            v: settings.find("v", self.cells, place)?,
            origin: place.full(0.0, [1, 1]),
            cells: self.cells,
            solver,
        })
    }
}

/// Membranes with a leak alone: C dv/dt = g_L(E_L − v) + I + u.
///
/// Input: current, µA/cm², `[batch or 1, cells or 1]`. State: `v`.
#[derive(Module, Debug)]
pub struct Passive {
    /// The parameters.
    pub parameters: PassiveConstants,
    /// The constant part of the external current, µA/cm².
    pub current: Constant,
    /// v at the beginning, mV.
    pub v: Option<Constant>,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    solver: Arc<dyn Solver>,
}

impl Passive {
    /// The number of cells, or compartments.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// The equations with the parameters' values taken.
    pub fn field(&self) -> PassiveField {
        let PassiveConstants {
            capacitance,
            g_l,
            e_l,
        } = &self.parameters;
        let per_capacitance = capacitance.quantity().reciprocal();
        let decay = g_l.quantity().times(&per_capacitance);
        let current = self.current.quantity().times(&per_capacitance);
        PassiveField {
            variables: [Variable::new("v", "mV", self.cells)],
            groups: [vec![0]],
            drive: e_l.quantity().times(&decay).plus(&current),
            decay,
            per_capacitance,
        }
    }
}

impl Model for Passive {
    type Dynamics = Stepped<PassiveField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field(),
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let voltage = self.v.as_ref().unwrap_or(&self.parameters.e_l);
        Ok(State::new(vec![voltage.quantity().shift(zeros)]))
    }
}

/// [`Passive`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct PassiveField {
    variables: [Variable; 1],
    groups: [Vec<usize>; 1],
    /// g_L/C
    decay: Quantity,
    /// (g_L E_L + I)/C
    drive: Quantity,
    per_capacitance: Quantity,
}

impl PassiveField {
    /// The membrane as the fused step of a cable takes it.
    pub(super) fn membrane(&self) -> granule_ops::Membrane<granule_ops::Coefficient> {
        granule_ops::Membrane {
            leak: self.decay.coefficient(),
            drive: self.drive.coefficient(),
            channels: Vec::new(),
            pools: Vec::new(),
        }
    }

    /// The current that enters, over the capacitance.
    pub(super) fn inflow(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        input.map(|u| self.per_capacitance.scale(u.clone()))
    }
}

impl Field for PassiveField {
    fn name(&self) -> &str {
        "passive"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let mut slope = self.drive.shift(self.decay.scale(state[0].clone()).neg());
        if let Some(u) = input {
            slope = slope + self.per_capacitance.scale(u.clone());
        }
        State::new(vec![slope])
    }

    fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    fn linear(
        &self,
        _group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        let zeros = state[0].zeros_like();
        let drive = match input {
            Some(u) => zeros.clone() + self.per_capacitance.scale(u.clone()),
            None => zeros.clone(),
        };
        vec![Linear {
            decay: self.decay.shift(zeros),
            drive: self.drive.shift(drive),
        }]
    }
}
