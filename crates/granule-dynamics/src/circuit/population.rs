//! The populations of a circuit.

use std::collections::BTreeMap;

use granule_io::held::Held;
use serde::{Deserialize, Serialize};

use super::draw::{Draw, stream};
use super::source::{SOURCES, Source, SpikeTrain};
use super::space::Positions;
use crate::population::Activation;
use crate::setting::{check_count, choices};
use crate::solver::SolverKind;
use crate::unit::UnitConfig;
use crate::{DynamicsError, Values};

/// Cells of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PopulationConfig {
    /// What it is called in projections and results.
    pub name: String,
    /// The number of cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub size: usize,
    /// A neuron, as `lif`, `adex`, `izhikevich` or `hodgkin-huxley`; `rate` for units of a rate, τ dx/dt = −x + input, that send
    /// r(x); `poisson` for trains of independent spikes, `spikes` for those of a list.
    pub cell: String,
    /// The parameters of the cell by their names, each a number, a list or a distribution; one number of what a neuron has beside
    /// them, as the `peak` of `adex`; of `poisson` its `rate` in Hz and,
    /// where it is not there all the time, its `onset` and `end` in ms, of `rate` its `time_constant` in ms. Default: those of the cell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Draw>,
    /// The variables at the beginning by their names, each a number, a list or a distribution. Default: those of the cell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub initial: BTreeMap<String, Draw>,
    /// The constant part of the input, in the unit of the cell's current. Default: that of the cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Draw>,
    /// The method. Default: exponential Euler for cells with channels, RK4 for others; cells with exact steps take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solver: Option<SolverKind>,
    /// r(x), of `rate`. Default: tanh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Activation>,
    /// The spikes of `spikes`, as they were recorded or as a pattern that comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<SpikeTrain>,
    /// Whether the stimulus of the experiment is added to the input of its cells. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub external: bool,
    /// Where the cells are. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Refuses a name that no path in a configuration can have.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), DynamicsError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_number = name.chars().all(|c| c.is_ascii_digit());
    if !is_number && name.chars().all(plain) {
        return Ok(());
    }
    let allowed = "letters, digits, - and _; not digits alone";
    Err(DynamicsError::config(field, format!("{name:?}"), allowed))
}

/// Settings of a neuron that a population has under names of its own.
const RESERVED: [&str; 5] = ["kind", "cells", "parameters", "initial", "current"];

/// What the cells of a population are.
pub(super) enum Cell {
    Unit(Box<UnitConfig>),
    Source(Source),
}

impl PopulationConfig {
    /// The place of a setting in the configuration.
    pub(super) fn field(&self, name: &str) -> String {
        format!("population.{}.{name}", self.name)
    }

    pub(super) fn validate(&self) -> Result<(), DynamicsError> {
        check_name("population.name", &self.name)?;
        check_count(self.field("size"), self.size)?;
        let draws = [("parameters", &self.parameters), ("initial", &self.initial)];
        for (table, draws) in draws {
            for (name, draw) in draws {
                draw.check(&self.field(&format!("{table}.{name}")))?;
            }
        }
        if let Some(current) = &self.current {
            current.check(&self.field("current"))?;
        }
        if let Some(positions) = &self.positions {
            positions.check(&self.field("positions"), self.size)?;
        }
        let only = [
            ("transfer", self.transfer.is_some(), "rate"),
            ("train", self.train.is_some(), "spikes"),
        ];
        for (name, given, of) in only {
            if given && self.cell != of {
                let allowed = format!("given where cell = {of} only");
                return Err(DynamicsError::config(self.field(name), "this", allowed));
            }
        }
        self.cell(0).map(|_| ())
    }

    fn drawn(&self, table: &str, name: &str, draw: &Draw, seed: u64) -> Values {
        let place = self.field(&format!("{table}.{name}"));
        draw.of_cells(self.size, [seed, stream(&place)])
    }

    /// What the cells are, with what is drawn of them.
    pub(super) fn cell(&self, seed: u64) -> Result<Cell, DynamicsError> {
        if SOURCES.contains(&self.cell.as_str()) {
            return Source::new(self, |table, name, draw| {
                self.drawn(table, name, draw, seed)
            })
            .map(Cell::Source);
        }
        let Ok(unit) = UnitConfig::from_name(&self.cell) else {
            let known = UnitConfig::NAMES.iter().chain(SOURCES).copied();
            let allowed = choices(&self.cell, known);
            return Err(DynamicsError::config(
                self.field("cell"),
                &self.cell,
                allowed,
            ));
        };
        let known: Vec<&str> = unit
            .parameters()
            .iter()
            .map(|(info, _)| info.name)
            .collect();
        let unit = self.unit(seed, &known)?;
        if unit.inputs() != self.size {
            let allowed = "cells of one compartment";
            return Err(DynamicsError::config(
                self.field("cell"),
                &self.cell,
                allowed,
            ));
        }
        unit.validate().map_err(|error| self.named(error))?;
        Ok(Cell::Unit(Box::new(unit)))
    }

    /// Refuses parameters that there are not.
    pub(super) fn check_parameters(&self, known: &[&str]) -> Result<(), DynamicsError> {
        let mut names = self.parameters.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let allowed = choices(name, known.iter().copied());
                Err(DynamicsError::config(
                    self.field("parameters"),
                    name,
                    allowed,
                ))
            }
            None => Ok(()),
        }
    }

    /// The settings of the neuron, as a configuration has them. What is none of its `known` parameters may be a setting beside them,
    /// as `refractory` is of some.
    fn unit(&self, seed: u64, known: &[&str]) -> Result<UnitConfig, DynamicsError> {
        let held = |values: Values| match values {
            Values::One(value) => Held::Float(value),
            Values::Each(all) => Held::List(all.into_iter().map(Held::Float).collect()),
        };
        let table = |table: &str, draws: &BTreeMap<String, Draw>| {
            let drawn = draws.iter().map(|(name, draw)| {
                let values = self.drawn(table, name, draw, seed);
                (name.clone(), held(values))
            });
            Held::Table(drawn.collect())
        };
        let mut all = vec![
            ("kind".to_owned(), Held::Text(self.cell.clone())),
            ("cells".to_owned(), Held::Unsigned(self.size as u64)),
        ];
        let is_known = |name: &String| known.contains(&name.as_str());
        let (parameters, beside): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .parameters
            .clone()
            .into_iter()
            .partition(|(name, _)| is_known(name));
        if !parameters.is_empty() {
            all.push(("parameters".to_owned(), table("parameters", &parameters)));
        }
        for (name, draw) in &beside {
            match draw {
                _ if RESERVED.contains(&name.as_str()) => self.check_parameters(known)?,
                Draw::One(value) => all.push((name.clone(), Held::Float(*value))),
                _ => {
                    let mut own = all[..2].to_vec();
                    own.push((name.clone(), Held::Float(1.0)));
                    if UnitConfig::deserialize(Held::Table(own)).is_err() {
                        self.check_parameters(known)?;
                    }
                    let place = self.field(&format!("parameters.{name}"));
                    return Err(DynamicsError::config(place, "several", "one number"));
                }
            }
        }
        if !self.initial.is_empty() {
            all.push(("initial".to_owned(), table("initial", &self.initial)));
        }
        if let Some(current) = &self.current {
            let values = self.drawn("current", "", current, seed);
            all.push(("current".to_owned(), held(values)));
        }
        UnitConfig::deserialize(Held::Table(all)).or_else(|error| {
            self.check_parameters(known)?;
            let place = format!("population.{}", self.name);
            let allowed = error.placed("its table");
            Err(DynamicsError::config(place, &self.cell, allowed))
        })
    }

    /// Whether it is of neither neurons nor rates.
    pub(super) fn is_of_spikes(&self) -> bool {
        SOURCES.contains(&self.cell.as_str()) && self.cell != "rate"
    }

    /// The kind of neuron with the numbers that the network of this seed has; none of a source.
    pub fn neuron(&self, seed: u64) -> Option<UnitConfig> {
        match self.cell(seed).ok()? {
            Cell::Unit(unit) => Some(*unit),
            Cell::Source(_) => None,
        }
    }

    /// How the neuron is moved, where its steps are not exact.
    pub fn solver_of(&self, neuron: &UnitConfig) -> SolverKind {
        let suited = match neuron.spike_threshold() {
            Some(_) => SolverKind::ExponentialEuler,
            None => SolverKind::Rk4,
        };
        self.solver.unwrap_or(suited)
    }

    /// An error of the neuron by its place in the population.
    pub(super) fn named(&self, error: DynamicsError) -> DynamicsError {
        match error {
            DynamicsError::Config(own) => {
                let field = own.field.strip_prefix("unit.").unwrap_or(&own.field);
                let field = match field {
                    "cells" => self.field("size"),
                    field => self.field(field),
                };
                own.named(field).into()
            }
            other => other,
        }
    }
}
