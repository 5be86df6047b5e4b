//! Any cell, by its name.

use std::sync::Arc;

use burn::module::Module;
use granule_io::held::{Held, HeldError};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::cell::*;
use super::channel::{ChannelTable, ConductanceConfig};
use super::parameters::unknown_parameter;
use super::population::{Places, Population, Unit};
use super::{
    Adex, AdexConfig, CableCell, CableCellConfig, Cells, Constant, Izhikevich, IzhikevichConfig,
    Lif, LifConfig, Observed, ParameterInfo, Qif, QifConfig,
};
use crate::model::{Dynamics, Model};
use crate::solver::Solver;
use crate::{DynamicsError, Place, QuantityKind, State, Values, Variable};

macro_rules! units {
    ($($(#[$doc:meta])* $Variant:ident($Config:ty) = $name:literal;)+) => {
        /// Any of the cells, chosen by name in a configuration: `kind = "hodgkin-huxley"`.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind")]
        pub enum UnitConfig {
            $($(#[$doc])* #[serde(rename = $name)] $Variant($Config),)+
        }

        impl<'de> Deserialize<'de> for UnitConfig {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Earlier files say `model`.
                let (kind, held) = Held::of_kind(deserializer, "a cell", &["model"])?;
                match kind.as_str() {
                    $($name => <$Config>::deserialize(held).map(Self::$Variant).map_err(D::Error::custom),)+
                    _ => Err(D::Error::custom(HeldError::unknown_kind(&kind, Self::NAMES))),
                }
            }
        }

        impl UnitConfig {
            /// The names of the cells.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The channels of those that are published.
            const TABLES: &'static [(&'static str, Option<fn() -> ChannelTable>)] =
                &[$(($name, <$Config as Unit>::PUBLISHED)),+];

            /// A cell by its name, with its default parameters.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`] for a name that is none of [`NAMES`](Self::NAMES).
            pub fn from_name(name: &str) -> Result<Self, DynamicsError> {
                $(if name == $name {
                    return Ok(Self::$Variant(Default::default()));
                })+
                Err(DynamicsError::config("unit.kind", name, Self::NAMES.join(", ")))
            }

            /// The cell's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$Variant(_) => $name,)+
                }
            }

            /// The number of cells.
            pub fn cells(&self) -> usize {
                match self {
                    $(Self::$Variant(config) => config.cells,)+
                }
            }

            /// Sets the number of cells.
            pub fn set_cells(&mut self, cells: usize) {
                match self {
                    $(Self::$Variant(config) => config.cells = cells,)+
                }
            }

            /// The constant part of the current, in the unit of [`current_unit`](Self::current_unit).
            pub fn current(&self) -> &Values {
                match self {
                    $(Self::$Variant(config) => &config.current,)+
                }
            }

            /// The unit of the current, constant or from outside; `1` where it has none.
            pub fn current_unit(&self) -> &'static str {
                match self {
                    $(Self::$Variant(_) => <$Config as Unit>::CURRENT,)+
                }
            }

            /// The voltage whose upward crossing is a spike, mV; `None` for cells whose variable `spike` counts them.
            pub fn spike_threshold(&self) -> Option<f64> {
                match self {
                    $(Self::$Variant(config) => Unit::spike_threshold(config),)+
                }
            }

            /// Whether the step of the cells is exact, so that no solver is asked.
            pub fn is_exact(&self) -> bool {
                match self {
                    $(Self::$Variant(_) => <$Config as Unit>::EXACT,)+
                }
            }

            /// About the shortest time constant that a solver has to resolve, ms; `None` for cells whose step is exact.
            pub fn shortest_time_constant(&self) -> Option<f64> {
                match self {
                    $(Self::$Variant(config) => Unit::shortest_time_constant(config),)+
                }
            }

            /// What may not be meant although it is allowed, in a sentence; `table` is where they stand in the configuration.
            pub fn doubt(&self, table: &str) -> Option<String> {
                match self {
                    $(Self::$Variant(config) => Unit::doubt(config, table),)+
                }
            }

            /// Every parameter with its values.
            pub fn parameters(&self) -> Vec<(&'static ParameterInfo, &Values)> {
                match self {
                    $(Self::$Variant(config) => config.parameters.entries().collect(),)+
                }
            }

            /// A parameter by its name.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`] lists the names when there is no such parameter.
            pub fn parameter_mut(&mut self, name: &str) -> Result<&mut Values, DynamicsError> {
                let names: Vec<_> = self.parameters().iter().map(|(info, _)| info.name).collect();
                let found = match self {
                    $(Self::$Variant(config) => config.parameters.get_mut(name),)+
                };
                found.ok_or_else(|| unknown_parameter(name, &names))
            }

            /// The method of cells that bring their own, and its key.
            pub fn own_method(&self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$Variant(config) => Unit::own_method(config),)+
                }
            }

            /// How many currents enter the cells from outside.
            pub fn inputs(&self) -> usize {
                let own = match self {
                    $(Self::$Variant(config) => Unit::inputs(config),)+
                };
                own.unwrap_or_else(|| self.cells())
            }

            /// Where the configuration has what [`UnitModel::constants`] calls `name`.
            pub(crate) fn places(&self, name: &str) -> Places {
                if name == "current" || name.starts_with("initial.") {
                    return Places::Whole(format!("unit.{name}"));
                }
                match self {
                    $(Self::$Variant(config) => Unit::places(config, name),)+
                }
            }

            /// Checks every setting.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.capacitance`.
            pub fn validate(&self) -> Result<(), DynamicsError> {
                match self {
                    $(Self::$Variant(config) => config.validate(),)+
                }
            }

            /// Makes the population, to be moved by `solver`; cells with an exact step do without.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate), and a population without a resting voltage and without an initial one.
            pub fn init(
                &self,
                solver: Arc<dyn Solver>,
                place: &Place,
            ) -> Result<UnitModel, DynamicsError> {
                match self {
                    $(Self::$Variant(config) => Unit::build(config, solver, place).map(UnitModel::from),)+
                }
            }
        }
    };
}

units! {
    /// [`HodgkinHuxley`](super::HodgkinHuxley) cells.
    HodgkinHuxley(HodgkinHuxleyConfig) = "hodgkin-huxley";
    /// [`WangBuzsaki`](super::WangBuzsaki) cells.
    WangBuzsaki(WangBuzsakiConfig) = "wang-buzsaki";
    /// [`TraubMiles`](super::TraubMiles) cells.
    TraubMiles(TraubMilesConfig) = "traub-miles";
    /// [`ConnorStevens`](super::ConnorStevens) cells.
    ConnorStevens(ConnorStevensConfig) = "connor-stevens";
    /// [`RegularSpiking`](super::RegularSpiking) cells.
    RegularSpiking(RegularSpikingConfig) = "regular-spiking";
    /// [`FastSpiking`](super::FastSpiking) cells.
    FastSpiking(FastSpikingConfig) = "fast-spiking";
    /// [`IntrinsicallyBursting`](super::IntrinsicallyBursting) cells.
    IntrinsicallyBursting(IntrinsicallyBurstingConfig) = "intrinsically-bursting";
    /// [`LowThreshold`](super::LowThreshold) cells.
    LowThreshold(LowThresholdConfig) = "low-threshold";
    /// [`ThalamicRelay`](super::ThalamicRelay) cells.
    ThalamicRelay(ThalamicRelayConfig) = "thalamic-relay";
    /// [`WangPyramidal`](super::WangPyramidal) cells.
    WangPyramidal(WangPyramidalConfig) = "wang-pyramidal";
    /// Conductance-based cells of one's own channels.
    Conductance(ConductanceConfig) = "conductance";
    /// Conductance-based cells of many compartments.
    Cable(CableCellConfig) = "cable";
    /// [`Lif`] cells.
    Lif(LifConfig) = "lif";
    /// [`Qif`] cells.
    Qif(QifConfig) = "qif";
    /// [`Adex`] cells.
    Adex(AdexConfig) = "adex";
    /// [`Izhikevich`] cells.
    Izhikevich(IzhikevichConfig) = "izhikevich";
}

impl UnitConfig {
    /// The published cells by their names, and what they are made of.
    pub(super) fn published() -> impl Iterator<Item = (&'static str, ChannelTable)> {
        let tables = Self::TABLES.iter();
        tables.filter_map(|(name, table)| Some((*name, (*table)?())))
    }

    /// Why no solver is asked, where the cells have steps of their own.
    pub fn own_steps(&self) -> Option<String> {
        match self.own_method() {
            Some((key, method)) => Some(format!(
                "none: {} has a method of its own, {key} = {method}",
                self.name()
            )),
            None if self.is_exact() => {
                Some(format!("none: the steps of {} are exact", self.name()))
            }
            None => None,
        }
    }
}

macro_rules! populations {
    ($($(#[$doc:meta])* $Variant:ident($Module:ty);)+) => {
        /// A population of any of the cells as a Burn module.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)] // one for each population, and Burn's modules cannot be boxed
        pub enum UnitModel {
            $($(#[$doc])* $Variant($Module),)+
        }

        $(impl From<$Module> for UnitModel {
            fn from(cells: $Module) -> Self {
                Self::$Variant(cells)
            }
        })+

        impl UnitModel {
            /// How many of `all` variables, the first ones, are of interest: the potentials at the sites that are recorded, where
            /// a cell has sites.
            pub fn shown(&self, all: usize) -> usize {
                self.population().shown(all)
            }

            /// How far the sites of one cell at which it is recorded are from each other; none of other cells.
            pub fn site_distances(&self) -> &[super::SiteDistances] {
                self.population().distances()
            }

            pub(crate) fn population(&self) -> &dyn Population {
                match self {
                    $(Self::$Variant(cells) => cells,)+
                }
            }
        }

        impl Model for UnitModel {
            type Dynamics = Box<dyn Dynamics>;

            fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
                Ok(match self {
                    $(Self::$Variant(cells) => Box::new(cells.dynamics()?),)+
                })
            }

            fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
                match self {
                    $(Self::$Variant(cells) => cells.initial_state(batch),)+
                }
            }
        }
    };
}

populations! {
    /// Conductance-based cells.
    Conductance(Cells);
    /// Leaky integrate-and-fire cells.
    Lif(Lif);
    /// Quadratic integrate-and-fire cells.
    Qif(Qif);
    /// Adaptive exponential integrate-and-fire cells.
    Adex(Adex);
    /// Izhikevich's cells.
    Izhikevich(Izhikevich);
    /// Cells of many compartments.
    Cable(CableCell);
}

impl UnitModel {
    /// A parameter by its name in configuration files, or `current`.
    pub fn parameter(&self, name: &str) -> Option<&Constant> {
        let population = self.population();
        let own = population
            .constants()
            .into_iter()
            .find(|(own, _)| *own == name);
        own.map(|(_, constant)| constant)
            .or((name == "current").then_some(population.current().0))
    }

    /// Everything that training may change: the parameters and `current` by their names, and what is given of the state at
    /// the beginning as `initial.v`.
    pub fn constants(&self) -> Vec<(String, &Constant)> {
        let population = self.population();
        let own = population.constants().into_iter();
        let own = own.chain([("current", population.current().0)]);
        let own = own.map(|(name, constant)| (name.to_owned(), constant));
        let initial = population.initial_values().into_iter();
        let initial = initial.map(|(name, constant)| (format!("initial.{name}"), constant));
        own.chain(initial).collect()
    }

    /// How messages name one of [`constants`](Self::constants), as `unit.parameters.g_na` or `unit.initial.v`.
    pub(crate) fn full_name(&self, name: &str) -> String {
        let constants = self.population().constants();
        if constants.iter().any(|(own, _)| *own == name) {
            format!("{}.{name}", self.population().section())
        } else {
            format!("unit.{name}")
        }
    }

    /// The input of the population: its name, unit and width.
    pub fn input(&self) -> Result<Variable, DynamicsError> {
        let (_, unit) = self.population().current();
        let width = match self.population().inputs() {
            Some(inputs) => inputs,
            None => self.dynamics()?.variables().first().map_or(0, |v| v.width),
        };
        Ok(Variable::new("current", unit, width))
    }

    /// What the cells show, [`Dynamics::observe`].
    pub fn output(&self) -> Result<Variable, DynamicsError> {
        let kind = match self.population().observed() {
            Observed::Voltage => QuantityKind::Potential,
            Observed::Spikes => QuantityKind::Spikes,
        };
        let dynamics = self.dynamics()?;
        let shown = dynamics.variables().iter().find(|v| v.kind == kind);
        shown.cloned().ok_or_else(|| {
            let allowed = format!("a model with {}", kind.name());
            DynamicsError::config("observed", dynamics.name(), allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NoInput, Span};
    use crate::simulate::{Grid, record};
    use crate::solver::{ExponentialEuler, Rk4};
    use crate::testing::f64_place;
    use crate::unit::channel::library;

    /// A cell that was chosen by name has the fast path of many steps as well.
    #[test]
    fn a_cell_by_name_takes_many_steps_at_once() {
        let place = f64_place();
        let text = r#"{"kind": "hodgkin-huxley", "current": 10.0}"#;
        let config: UnitConfig = serde_json::from_str(text).unwrap();
        let cells = config.init(Arc::new(ExponentialEuler), &place).unwrap();
        let grid = Grid::over(1.0, 0.1).unwrap();
        let span = Span {
            steps: (0..10).map(|step| grid.clock(step)).collect(),
            every: 5,
        };
        let start = cells.initial_state(1).unwrap();
        let ran = cells.dynamics().unwrap().course(&span, &start, &NoInput);
        let (seen, _) = ran.unwrap().unwrap();
        assert_eq!(seen.dims(), [2, 1, 1]);
    }

    #[test]
    fn every_name_is_a_cell_that_runs() {
        let place = f64_place();
        for name in UnitConfig::NAMES {
            let mut config = UnitConfig::from_name(name).unwrap();
            assert_eq!(config.name(), *name);
            let text = format!(r#"{{"kind": "{name}", "cells": 2}}"#);
            config.set_cells(2);
            assert_eq!(serde_json::from_str::<UnitConfig>(&text).unwrap(), config);
            let cells = config.init(Arc::new(Rk4), &place).unwrap();
            let dynamics = cells.dynamics().unwrap();
            assert_eq!(dynamics.name(), *name);
            let initial = cells.initial_state(1).unwrap();
            let grid = Grid::over(0.2, 0.1).unwrap();
            let (seen, last) = record(&dynamics, initial, &NoInput, &grid).unwrap();
            assert_eq!(seen.dims(), [3, 1, 2]);
            assert_eq!(last.len(), dynamics.variables().len());
            let input = cells.input().unwrap();
            assert_eq!((input.unit, input.width), (config.current_unit(), 2));
            let counted = dynamics.variables().iter().any(|v| v.name == "spike");
            assert_eq!(counted, config.spike_threshold().is_none(), "{name}");
        }
    }

    #[test]
    fn every_published_cell_has_its_channels_in_the_library() {
        let place = f64_place();
        let library = library::names();
        for name in UnitConfig::NAMES {
            let cells = UnitConfig::from_name(name).unwrap();
            let cells = cells.init(Arc::new(Rk4), &place).unwrap();
            let published =
                matches!(cells, UnitModel::Conductance(_)) && *name != ConductanceConfig::NAME;
            let listed = library
                .iter()
                .any(|channel| channel.starts_with(&format!("{name}/")));
            assert_eq!(listed, published, "{name}");
        }
    }

    #[test]
    fn parameters_are_those_of_the_cell() {
        let mut config = UnitConfig::from_name("lif").unwrap();
        *config.parameter_mut("threshold").unwrap() = 15.0.into();
        let found = config
            .parameters()
            .into_iter()
            .find(|(info, _)| info.name == "threshold");
        assert_eq!(found.unwrap().1, &Values::One(15.0));
        let error = config.parameter_mut("g_na").unwrap_err().to_string();
        assert!(error.contains("time_constant"), "{error}");
        let error = UnitConfig::from_name("hh").unwrap_err().to_string();
        assert!(error.contains("hodgkin-huxley, "), "{error}");
    }
}
