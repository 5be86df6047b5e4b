//! The description of a model, and what follows from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use burn::module::Param;
use burn::tensor::Tensor;
use granule_io::budget;
use serde::{Deserialize, Serialize};

use super::coupler::CouplerConfig;
use super::level::{Level, LevelModel};
use crate::population::RateNetworkConfig;
use crate::resolution::Step;
use crate::setting::{Range, check_within, only_one, replaced};
use crate::solver::{Solver, SolverKind};
use crate::system::{Integrated, Readout, System, SystemConfig};
use crate::unit::UnitConfig;
use crate::{DynamicsError, NormalNoise, Place};

/// What `MultiGranularityModel::train_only` calls all couplers.
pub const COUPLERS: &str = "couplers";

/// Levels and couplers of a model as data.
///
/// ```toml
/// dt = 0.5                      # ms
/// observe = ["population.x", "system.x"]
///
/// [[level]]
/// name = "cells"
/// dt = 0.05                     # its own steps, ms
/// solver = "exponential-euler"
/// [level.unit]
/// kind = "hodgkin-huxley"
/// cells = 100
///
/// [[level]]
/// name = "population"
/// inputs = 1
/// [level.population]
/// units = 64
///
/// [[level]]
/// name = "system"
/// solver = "rk4"
/// external = true               # takes input from outside
/// [level.system]
/// kind = "linear"
///
/// [[coupler]]
/// from = "cells.v"
/// to = "population"
/// time_constant = 10.0          # ms
/// [coupler.conversion]
/// kind = "voltage-to-rate"
/// ```
///
/// A coupler whose weights change by rules while the model runs has a table `plasticity`, here onto a population that says
/// `direct = true`; from a level onto itself it is a plastic recurrence:
///
/// ```toml
/// [coupler.plasticity]
/// rules = [{ kind = "bcm", rate = 1e-3 }, { kind = "decay", rate = 1e-4 }]
/// limits = { bounds = { kind = "hard", low = 0.0, high = 2.0 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MultiGranularityConfig {
    /// The step of the whole, ms: how often the levels hear of each other. Default 0.5.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub dt: f64,
    /// The seed of initial weights and of the solvers' noise. Default 0.
    pub seed: u64,
    /// What is recorded and given to a loss, as `level.variable`, one after the other; empty: the first variable of
    /// every level. `level.spikes` is how many spikes `lif` cells had since the sample before; its gradient is that of the number
    /// and the share of the way to the next spike, whose sum is continuous.
    pub observe: Vec<String>,
    /// The levels, at least one.
    #[serde(rename = "level")]
    pub levels: Vec<LevelConfig>,
    /// The couplers.
    #[serde(rename = "coupler")]
    pub couplers: Vec<CouplerConfig>,
}

/// No level yet: what a configuration file starts from.
impl Default for MultiGranularityConfig {
    fn default() -> Self {
        Self {
            dt: 0.5,
            seed: 0,
            observe: Vec::new(),
            levels: Vec::new(),
            couplers: Vec::new(),
        }
    }
}

/// One level: exactly one of `unit`, `population` and `system`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LevelConfig {
    /// What the level is called in couplers and results.
    pub name: String,
    /// Its own step, ms, of which the step of the whole is a multiple. Default: the step of the whole.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub dt: Option<f64>,
    /// Its method. Default: exponential Euler for cells, the network's own Euler steps for a population, RK4 for a
    /// system or stochastic Heun for one with noise. A method that would leave out the noise of a level is refused.
    #[serde(default)]
    pub solver: Option<SolverKind>,
    /// Whether the level takes input from outside, beside what couplers bring. Default false.
    #[serde(default)]
    pub external: bool,
    /// Input channels of a population; cells have one each, systems as many as their equations. Default 0.
    #[serde(default)]
    pub inputs: usize,
    /// Whether every unit of a population takes an input of its own, as it is, in the place of `inputs` channels through input
    /// weights. Default false.
    #[serde(default)]
    pub direct: bool,
    /// Single neurons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitConfig>,
    /// A rate network; it moves in the level's steps, and a `dt` of its own is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<RateNetworkConfig>,
    /// A whole system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemConfig>,
}

/// Input weights that no training changes, of a level's units with an input each.
pub(super) fn identity(
    level: &str,
    units: usize,
    place: &Place,
) -> Result<Param<Tensor<2>>, DynamicsError> {
    let what = format!("the input weights of the level {level}");
    budget::ask_for_numbers(what, &[2, units, units])?;
    let one = |at: usize| f64::from(at.is_multiple_of(units + 1));
    let values = (0..units * units).map(one).collect();
    let weights = Param::from_tensor(place.tensor(values, [units, units]));
    Ok(weights.set_require_grad(false))
}

fn field(level: &str, name: &str) -> String {
    format!("level.{level}.{name}")
}

impl MultiGranularityConfig {
    /// Checks every setting that can be judged by itself; [`init`](Self::init) checks how they fit together.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        Range::Positive.check("dt", self.dt)?;
        if self.levels.is_empty() {
            return Err(DynamicsError::config("level", "none", "at least one"));
        }
        let mut names = BTreeSet::new();
        for level in &self.levels {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let name = &level.name;
            if name.is_empty() || !name.chars().all(plain) || name == COUPLERS {
                let allowed = "letters, digits, - and _; not \"couplers\"";
                return Err(DynamicsError::config(
                    "level.name",
                    format!("{name:?}"),
                    allowed,
                ));
            }
            if !names.insert(name) {
                let allowed = "another name for each level";
                return Err(DynamicsError::config(
                    "level.name",
                    format!("{name:?}"),
                    allowed,
                ));
            }
            level.validate(self.dt)?;
        }
        let mut observed = BTreeSet::new();
        if let Some(name) = self.observe.iter().find(|name| !observed.insert(*name)) {
            let allowed = "each quantity once";
            return Err(DynamicsError::config(
                "observe",
                format!("{name:?} twice"),
                allowed,
            ));
        }
        for (index, coupler) in self.couplers.iter().enumerate() {
            coupler.validate(&format!("coupler[{index}]"), self.dt)?;
        }
        Ok(())
    }
}

impl MultiGranularityConfig {
    /// What there is to say of levels whose steps are too long for their model, or take long, one sentence each; `table` is
    /// the path of the configuration, such as `model`.
    pub fn too_long(&self, table: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        for level in &self.levels {
            let of = |model, shortest, default| Step {
                field: format!("{table}.level.{}.dt", level.name),
                dt: level.dt.unwrap_or(self.dt),
                solver: level.solver.unwrap_or(default),
                model,
                shortest,
            };
            let unit = level.unit.as_ref().map(|unit| {
                let shortest = unit.shortest_time_constant();
                of(unit.name(), shortest, SolverKind::ExponentialEuler)
            });
            let system = level.system.as_ref().map(|system| {
                let shortest = system.shortest_time_constant();
                of(system.kind(), shortest, SolverKind::Rk4)
            });
            let steps = unit.into_iter().chain(system);
            warnings.extend(steps.filter_map(Step::warning));
            let unit = level.unit.as_ref();
            let place = format!("{table}.level.{}.unit", level.name);
            warnings.extend(unit.and_then(|unit| unit.doubt(&place)));
        }
        warnings
    }
}

/// The model of a level.
enum Given<'a> {
    Unit(&'a UnitConfig),
    Population(&'a RateNetworkConfig),
    System(&'a SystemConfig),
}

impl LevelConfig {
    fn model(&self) -> Result<Given<'_>, DynamicsError> {
        only_one(
            format!("level.{}", self.name),
            [
                ("unit", self.unit.as_ref().map(Given::Unit)),
                (
                    "population",
                    self.population.as_ref().map(Given::Population),
                ),
                ("system", self.system.as_ref().map(Given::System)),
            ],
        )
    }

    fn validate(&self, whole: f64) -> Result<(), DynamicsError> {
        let model = self.model()?;
        self.substeps(whole)?;
        check_within(field(&self.name, "inputs"), self.inputs, 0)?;
        if self.population.is_none() && self.inputs != 0 {
            return Err(DynamicsError::config(
                field(&self.name, "inputs"),
                self.inputs,
                "given for a population only",
            ));
        }
        if self.direct && (self.population.is_none() || self.inputs != 0) {
            let allowed = "given for a population only, without inputs: there are as many as units";
            return Err(DynamicsError::config(
                field(&self.name, "direct"),
                true,
                allowed,
            ));
        }
        let checked = match model {
            Given::Unit(unit) => unit.validate(),
            Given::Population(population) => self
                .moved(population, whole)
                .and_then(|population| population.validate()),
            Given::System(system) => system.validate(),
        };
        checked.map_err(|error| error.under(&format!("level.{}", self.name)))
    }

    /// How many of the level's steps make one of the whole.
    pub(super) fn substeps(&self, whole: f64) -> Result<usize, DynamicsError> {
        let dt = self.dt.unwrap_or(whole);
        Range::Positive.check(field(&self.name, "dt"), dt)?;
        let ratio = whole / dt;
        let steps = ratio.round();
        if steps < 1.0 || (ratio - steps).abs() > 1e-9 * steps || steps > 1e6 {
            return Err(DynamicsError::config(
                field(&self.name, "dt"),
                dt,
                format!("the step of the whole, {whole}, divided by a whole number"),
            ));
        }
        Ok(steps as usize)
    }

    /// The population, moving in the level's steps.
    fn moved(
        &self,
        population: &RateNetworkConfig,
        whole: f64,
    ) -> Result<RateNetworkConfig, DynamicsError> {
        let default = RateNetworkConfig::default().dt;
        replaced(
            "population.dt",
            population.dt,
            default,
            self.dt.unwrap_or(whole),
            || format!("the level's own step, level.{}.dt", self.name),
        )?;
        population.moved(self.dt.unwrap_or(whole), self.solver)
    }

    pub(super) fn init(
        &self,
        seed: u64,
        index: usize,
        whole: f64,
        place: &Place,
    ) -> Result<Level, DynamicsError> {
        // Weights of two levels, and the noise of their solvers, are independent.
        let noise = NormalNoise::new(seed, 1 + index as u64);
        let solver = |kind: SolverKind| -> Arc<dyn Solver> { Arc::from(kind.init(noise)) };
        let own_seed = seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let model = match self.model()? {
            Given::Unit(unit) => {
                let kind = self.solver.unwrap_or(SolverKind::ExponentialEuler);
                unit.init(solver(kind), place).map(LevelModel::Unit)
            }
            Given::Population(population) => self
                .moved(population, whole)
                .and_then(|population| population.init(self.inputs, 0, own_seed, place))
                .and_then(|mut network| {
                    network.noise = Some(noise);
                    if self.direct {
                        network.input = Some(identity(&self.name, network.units(), place)?);
                    }
                    Ok(LevelModel::Population(network))
                }),
            Given::System(system) => system.init(place).and_then(|system| {
                let initial = system.initial_state(1)?;
                let kind = SolverKind::suited(self.solver, &system.field()?, &initial)?;
                let system = Integrated::new(system, solver(kind));
                Ok(LevelModel::System(system.with_readout(Readout::Activity)))
            }),
        };
        Ok(Level {
            model: model.map_err(|error| error.under(&format!("level.{}", self.name)))?,
        })
    }
}
