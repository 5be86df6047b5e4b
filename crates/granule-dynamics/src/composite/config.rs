//! The description of a model, and what follows from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::coupler::{CouplerConfig, CouplerPlan, CouplerSource};
use super::level::{Level, LevelModel};
use crate::model::Dynamics;
use crate::population::RateNetworkConfig;
use crate::resolution::Step;
use crate::setting::{Range, check_within, only_one, replaced};
use crate::solver::{Solver, SolverKind};
use crate::system::{Integrated, Readout, System, SystemConfig};
use crate::unit::UnitConfig;
use crate::{DynamicsError, NormalNoise, Place, Variable};

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
    /// every level.
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
    fn substeps(&self, whole: f64) -> Result<usize, DynamicsError> {
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
                .map(|mut network| {
                    network.noise = Some(noise);
                    LevelModel::Population(network)
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

/// Where everything lies in the state and the input of the whole.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) dt: f64,
    pub(super) names: Vec<String>,
    pub(super) variables: Vec<Variable>,
    pub(super) levels: Vec<LevelPlan>,
    pub(super) couplers: Vec<CouplerPlan>,
    pub(super) observed: Vec<CouplerSource>,
    /// What is observed, by the names it was asked for.
    pub(super) outputs: Vec<Variable>,
    /// Columns of the input from outside.
    pub(super) inputs: usize,
}

#[derive(Clone, Debug)]
pub(super) struct LevelPlan {
    pub(super) substeps: usize,
    /// Its variables in the state of the whole.
    pub(super) variables: std::ops::Range<usize>,
    /// First column and width in the input of the whole.
    pub(super) external: Option<(usize, usize)>,
}

impl Plan {
    pub(super) fn new(
        config: &MultiGranularityConfig,
        levels: &[Level],
    ) -> Result<Self, DynamicsError> {
        let names: Vec<String> = config
            .levels
            .iter()
            .map(|level| level.name.clone())
            .collect();
        let mut variables: Vec<Variable> = Vec::new();
        let mut plans = Vec::new();
        let mut bound: Vec<Box<dyn Dynamics>> = Vec::new();
        let mut columns = 0;
        for (settings, level) in config.levels.iter().zip(levels) {
            let dynamics = level.dynamics()?;
            let first = variables.len();
            for variable in dynamics.variables() {
                let name = format!("{}.{}", settings.name, variable.name);
                variables.push(Variable {
                    name,
                    ..variable.clone()
                });
            }
            let inputs = level.inputs()?.iter().map(|channel| channel.width).sum();
            let external = settings.external.then(|| {
                columns += inputs;
                (columns - inputs, inputs)
            });
            plans.push(LevelPlan {
                substeps: settings.substeps(config.dt)?,
                variables: first..variables.len(),
                external,
            });
            bound.push(dynamics);
        }
        let find = |field: &str, text: &str| -> Result<(CouplerSource, Variable), DynamicsError> {
            let listed = || {
                let levels = names.iter().zip(&bound).flat_map(|(name, dynamics)| {
                    let own = dynamics.variables().iter().map(|v| v.name.as_str());
                    own.chain(["output"]).map(move |v| format!("{name}.{v}"))
                });
                levels.collect::<Vec<_>>().join(", ")
            };
            let unknown = || DynamicsError::config(field, format!("{text:?}"), listed());
            let (name, quantity) = text.split_once('.').ok_or_else(unknown)?;
            let level = names
                .iter()
                .position(|known| known == name)
                .ok_or_else(unknown)?;
            if quantity == "output" {
                let variable = levels[level].output()?;
                return Ok((
                    CouplerSource {
                        level,
                        variable: None,
                    },
                    variable,
                ));
            }
            let own = bound[level].variables();
            let index = own
                .iter()
                .position(|v| v.name == quantity)
                .ok_or_else(unknown)?;
            let source = CouplerSource {
                level,
                variable: Some(index),
            };
            Ok((source, own[index].clone()))
        };
        let asked: Vec<String> = if config.observe.is_empty() {
            let first = |plan: &LevelPlan| variables[plan.variables.start].name.clone();
            plans.iter().map(first).collect()
        } else {
            config.observe.clone()
        };
        let mut observed = Vec::with_capacity(asked.len());
        let mut outputs = Vec::with_capacity(asked.len());
        for text in asked {
            let (source, variable) = find("observe", &text)?;
            observed.push(source);
            outputs.push(Variable::new(text, variable.unit, variable.width));
        }
        let mut couplers = Vec::new();
        for (index, coupler) in config.couplers.iter().enumerate() {
            let field = format!("coupler[{index}]");
            let (source, quantity) = find(&format!("{field}.from"), &coupler.from)?;
            let to = names
                .iter()
                .position(|name| *name == coupler.to)
                .ok_or_else(|| {
                    let field = format!("{field}.to");
                    DynamicsError::config(field, format!("{:?}", coupler.to), names.join(", "))
                })?;
            let channels = levels[to].inputs()?;
            let plan = CouplerPlan::new(
                &field,
                coupler,
                (source, &quantity),
                (to, &channels),
                config.dt,
                variables.len(),
            )?;
            let label = format!("{}→{}", coupler.from, coupler.to);
            if plan.filter.is_some() {
                let name = format!("{label} filter");
                variables.push(Variable::new(name, plan.sent_unit, plan.senders));
            }
            for back in 1..=plan.delay.len() {
                let name = format!("{label} {} ago", counted(back, "step"));
                variables.push(Variable::new(name, plan.sent_unit, plan.senders));
            }
            couplers.push(plan);
        }
        Ok(Self {
            dt: config.dt,
            names,
            variables,
            levels: plans,
            couplers,
            observed,
            outputs,
            inputs: columns,
        })
    }
}
