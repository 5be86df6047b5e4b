use granule_io::budget;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::stimulus::StimulusConfig;
use granule_dynamics::circuit::{CircuitConfig, PopulationConfig};
use granule_dynamics::composite::MultiGranularityConfig;
use granule_dynamics::network::SpikingNetworkConfig;
use granule_dynamics::population::RateNetworkConfig;
use granule_dynamics::setting::{only_one, replaced};
use granule_dynamics::solver::SolverKind;
use granule_dynamics::solver::adaptive::{AdaptiveConfig, Method};
use granule_dynamics::system::{BalloonWindkesselConfig, NetworkConfig, Readout, SystemConfig};
use granule_dynamics::unit::UnitConfig;
use granule_dynamics::{DynamicsError, Grid};
use granule_io::words::Number;

/// A simulation: exactly one of `unit`, `population`, `circuit`, `system`, `network` and `composite`, and how it is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// How long, ms. Default 100.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub duration: f64,
    /// The step, ms, also of a population, a connectivity or a composite: another `dt` there is refused. Default 0.025.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub dt: f64,
    /// The method. Default: RK4 for cells and systems, or stochastic Heun for a system with noise; a population's own
    /// Euler steps; a composite's levels name their own. Cells and networks with exact steps take none. A method that
    /// would leave out the model's noise is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solver: Option<SolverKind>,
    /// The error that `tsit5` or `dormand-prince` may make in one step, relative to a variable's size, for cells
    /// without resets, other than cables, and systems without noise: within each `dt` they then take as many steps as that needs. Default:
    /// steps of `dt`, or 1e-4 where `atol` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::NonNegative))]
    pub rtol: Option<f64>,
    /// The same where a variable is near 0, in its unit; one of the two is above 0. Default: steps of
    /// `dt`, or 1e-6 where `rtol` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::NonNegative))]
    pub atol: Option<f64>,
    /// The seed of everything that is drawn: weights, noise, connections. Default 0.
    pub seed: u64,
    /// What the figure shows: traces of every model, a phase plane of two variables or more, a raster of cells, an f–I
    /// curve of a `unit`. Default: a raster of a network, traces of everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<FigureKind>,
    /// The width of the bins of the rate below a raster, ms. Default: by the spikes, an eighth of the period of their rhythm at
    /// most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub rate_bin: Option<f64>,
    /// What comes from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stimulus: Option<StimulusConfig>,
    /// What is recorded.
    pub record: RecordConfig,
    /// Single neurons. A list of currents for one cell makes as many cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitConfig>,
    /// A rate network; a stimulus adds one input channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub population: Option<RateNetworkConfig>,
    /// A network as populations and projections; a stimulus reaches the populations that are `external`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitConfig>,
    /// A mass model, or several nodes of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemConfig>,
    /// What the nodes of the system send each other, in the steps of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<NetworkConfig>,
    /// What the system is read out as, recorded before its variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout: Option<Readout>,
    /// The haemodynamic response to the read-out, as many nodes as that has; recorded before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bold: Option<BalloonWindkesselConfig>,
    /// A network of integrate-and-fire cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<SpikingNetworkConfig>,
    /// Several levels with couplers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite: Option<MultiGranularityConfig>,
}

impl Default for ExperimentConfig {
    fn default() -> Self {
        Self {
            duration: 100.0,
            dt: 0.025,
            solver: None,
            rtol: None,
            atol: None,
            seed: 0,
            figure: None,
            rate_bin: None,
            stimulus: None,
            record: RecordConfig::default(),
            unit: None,
            population: None,
            circuit: None,
            system: None,
            connectivity: None,
            readout: None,
            bold: None,
            network: None,
            composite: None,
        }
    }
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RecordConfig {
    /// A sample every so many steps; spikes are found in all of them. Default 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub every: usize,
    /// The time from which on anything is recorded, spikes included, ms. Default 0.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::NonNegative))]
    pub from: f64,
    /// The variables, by name; empty: all of the model. Default empty. Currents come by name alone: of a conductance-based cell
    /// `I_na`, of each of its channels, and `I_l`, in a circuit `population.I_na`, of its synapses with a time course
    /// `population.I_` with the projection or where it comes from, and `population.I_gap`; what leaves a cell is positive.
    pub variables: Vec<String>,
    /// At most so many cells, units or nodes of each variable, the first ones; 0: all. Default 0.
    pub columns: usize,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            every: 1,
            from: 0.0,
            variables: Vec::new(),
            columns: 0,
        }
    }
}

/// What the figure of an experiment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Each variable over time, and the stimulus.
    Traces,
    /// The second variable over the first.
    PhasePlane,
    /// Spikes of all cells and their rate over time.
    Raster,
    /// Firing rates over the cells' currents.
    FiCurve,
}

impl FigureKind {
    const ALL: [Self; 4] = [Self::Traces, Self::PhasePlane, Self::Raster, Self::FiCurve];

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::PhasePlane => "phase-plane",
            Self::Raster => "raster",
            Self::FiCurve => "fi-curve",
        }
    }
}

/// The model of an experiment: the one table of the six that is given.
#[derive(Clone, Copy, Debug)]
pub enum ExperimentModel<'a> {
    /// `unit`.
    Unit(&'a UnitConfig),
    /// `population`.
    Population(&'a RateNetworkConfig),
    /// `circuit`.
    Circuit(&'a CircuitConfig),
    /// `system`.
    System(&'a SystemConfig),
    /// `network`.
    Network(&'a SpikingNetworkConfig),
    /// `composite`.
    Composite(&'a MultiGranularityConfig),
}

impl ExperimentConfig {
    /// The same with a number set by its key, as `unit.current` or `stimulus.amplitude.0`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the key where there is no such number, or it cannot have that value.
    pub fn with_number(&self, key: &str, value: f64) -> Result<Self, DynamicsError> {
        let refused = |allowed: String| DynamicsError::config(key, value, allowed);
        let whole = Table::try_from(self).map_err(|error| refused(error.to_string()))?;
        let mut all = Value::Table(whole);
        let mut place = &mut all;
        let words: Vec<&str> = key.split('.').collect();
        for (index, word) in words.iter().enumerate() {
            let last = index + 1 == words.len();
            place = match place {
                Value::Table(table) => table.entry(*word).or_insert_with(|| {
                    if last {
                        Value::Float(value)
                    } else {
                        Value::Table(Table::new())
                    }
                }),
                Value::Array(list) => {
                    let len = list.len();
                    let own = word
                        .parse()
                        .ok()
                        .and_then(|place: usize| list.get_mut(place));
                    own.ok_or_else(|| {
                        let before = words[..index].join(".");
                        refused(format!(
                            "{before} with a place from 0 to {}",
                            len.saturating_sub(1)
                        ))
                    })?
                }
                _ => {
                    let before = words[..index].join(".");
                    return Err(refused(format!("another key: `{before}` is no table")));
                }
            };
        }
        *place = match place {
            Value::Integer(_) if value.fract() == 0.0 && value.abs() < 2_f64.powi(53) => {
                Value::Integer(value as i64)
            }
            Value::Integer(_) => return Err(refused("a whole number".into())),
            Value::Float(_) => Value::Float(value),
            // One number for a list of them.
            Value::Array(list) if list.iter().all(|x| x.is_float() || x.is_integer()) => {
                Value::Float(value)
            }
            other => {
                return Err(refused(format!(
                    "the key of a number, not of {}",
                    other.type_str()
                )));
            }
        };
        let mut config: Self = all
            .try_into()
            .map_err(|error: toml::de::Error| refused(error.message().to_owned()))?;
        // What was read from a file is not part of the text.
        if let (Some(StimulusConfig::File(own)), Some(StimulusConfig::File(read))) =
            (&mut config.stimulus, &self.stimulus)
        {
            own.samples = read.samples.clone();
        }
        Ok(config)
    }

    /// The number at a key, where there is one.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let mut place = &Value::Table(Table::try_from(self).ok()?);
        for word in key.split('.') {
            place = match place {
                Value::Table(table) => table.get(word)?,
                Value::Array(list) => list.get(word.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        match place {
            Value::Float(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The same that records every variable at every step, and nothing that only follows from them.
    pub(crate) fn of_all_variables(&self) -> Self {
        Self {
            readout: None,
            bold: None,
            figure: None,
            record: RecordConfig::default(),
            ..self.clone()
        }
    }

    /// The model.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] where there is none, or more than one.
    pub fn model(&self) -> Result<ExperimentModel<'_>, DynamicsError> {
        let population = self.population.as_ref();
        only_one(
            "model",
            [
                ("unit", self.unit.as_ref().map(ExperimentModel::Unit)),
                ("population", population.map(ExperimentModel::Population)),
                (
                    "circuit",
                    self.circuit.as_ref().map(ExperimentModel::Circuit),
                ),
                ("system", self.system.as_ref().map(ExperimentModel::System)),
                (
                    "network",
                    self.network.as_ref().map(ExperimentModel::Network),
                ),
                (
                    "composite",
                    self.composite.as_ref().map(ExperimentModel::Composite),
                ),
            ],
        )
    }

    /// Checks how the run is described; the model's own settings are checked by [`init`](Self::init).
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let model = self.model()?;
        let of_systems = [
            ("connectivity", self.connectivity.is_some()),
            ("readout", self.readout.is_some()),
            ("bold", self.bold.is_some()),
        ];
        if !matches!(model, ExperimentModel::System(_))
            && let Some((field, _)) = of_systems.iter().find(|(_, given)| *given)
        {
            return Err(DynamicsError::config(
                *field,
                "this",
                "given with a system only",
            ));
        }
        self.grid()?;
        if self.duration < self.dt {
            let allowed = format!("at least one step, dt = {} ms", Number(self.dt));
            let duration = Number(self.duration);
            return Err(DynamicsError::config("duration", duration, allowed));
        }
        let of_run = || "the step of the run, dt".to_owned();
        let steps = [
            (
                "population.dt",
                self.population.as_ref().map(|population| population.dt),
                RateNetworkConfig::default().dt,
            ),
            (
                "connectivity.dt",
                self.connectivity.as_ref().map(|network| network.dt),
                NetworkConfig::default().dt,
            ),
            (
                "composite.dt",
                self.composite.as_ref().map(|composite| composite.dt),
                MultiGranularityConfig::default().dt,
            ),
        ];
        for (field, dt, default) in steps {
            if let Some(dt) = dt {
                replaced(field, dt, default, self.dt, of_run)?;
            }
        }
        if let Some(bin) = self.rate_bin
            && !(bin >= self.dt && bin <= self.duration)
        {
            let [dt, duration] = [self.dt, self.duration].map(Number);
            let allowed = format!("from dt = {dt} to duration = {duration} ms");
            return Err(DynamicsError::config("rate_bin", Number(bin), allowed));
        }
        if self.record.every == 0 {
            return Err(DynamicsError::config("record.every", 0, "at least 1"));
        }
        if self.stimulus.is_some() {
            budget::ask_for_numbers("the course of the stimulus", &[self.grid()?.steps()])?;
        }
        match &self.stimulus {
            Some(stimulus) => stimulus.validate(),
            None => Ok(()),
        }
    }

    /// The populations of a network with projections; none of another model.
    pub(super) fn populations(&self) -> &[PopulationConfig] {
        self.circuit.as_ref().map_or(&[], |own| &own.populations)
    }

    /// The tolerance and method of steps that follow the error, where such are asked for.
    pub(super) fn adaptive(&self) -> Result<Option<AdaptiveConfig>, DynamicsError> {
        let (field, value) = match (self.rtol, self.atol) {
            (Some(rtol), _) => ("rtol", rtol),
            (None, Some(atol)) => ("atol", atol),
            (None, None) => return Ok(None),
        };
        let resets = match &self.unit {
            Some(unit @ UnitConfig::Cable(_)) => {
                let allowed = unit.own_steps().unwrap_or_default();
                let allowed = format!("{allowed}, in steps of dt");
                return Err(DynamicsError::config(field, value, allowed));
            }
            Some(unit) => unit.own_steps().is_some() || unit.spike_threshold().is_none(),
            None => self.system.is_none(),
        };
        let method = match self.solver {
            _ if resets => {
                let allowed =
                    "none: only cells without resets and systems have steps that follow the error";
                return Err(DynamicsError::config(field, value, allowed));
            }
            Some(SolverKind::Tsit5) => Method::Tsit5,
            Some(SolverKind::DormandPrince) => Method::DormandPrince,
            _ => {
                let allowed = "none but with solver = tsit5 or dormand-prince";
                return Err(DynamicsError::config(field, value, allowed));
            }
        };
        let defaults = AdaptiveConfig::default();
        let config = AdaptiveConfig {
            method,
            rtol: self.rtol.unwrap_or(defaults.rtol),
            atol: self.atol.unwrap_or(defaults.atol),
            dense: false,
            ..defaults
        };
        config.validate()?;
        Ok(Some(config))
    }

    /// Checks that the figure suits a model of which `kept` variables are recorded, with spikes or without.
    pub(super) fn check_figure(&self, kept: usize, spikes: bool) -> Result<(), DynamicsError> {
        let suits = |figure: FigureKind| match figure {
            FigureKind::Traces => true,
            FigureKind::PhasePlane => kept > 1,
            FigureKind::Raster => spikes,
            FigureKind::FiCurve => self.unit.is_some(),
        };
        match self.figure {
            Some(figure) if !suits(figure) => {
                let all = FigureKind::ALL.into_iter();
                let names: Vec<&str> = all.filter(|f| suits(*f)).map(FigureKind::name).collect();
                let allowed = format!("{} for this model and its record", names.join(", "));
                Err(DynamicsError::config("figure", figure.name(), allowed))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn grid(&self) -> Result<Grid, DynamicsError> {
        Grid::over(self.duration, self.dt)
    }
}
