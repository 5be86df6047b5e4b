//! The model of an experiment, whichever it is.

mod circuit;
mod system;
pub(super) mod unit;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;

use super::config::{ExperimentConfig, ExperimentModel};
use granule_dynamics::composite::{Composite, MultiGranularityConfig, MultiGranularityModel};
use granule_dynamics::model::{Dynamics, Model};
use granule_dynamics::network::SpikingNetworkConfig;
use granule_dynamics::population::RateNetworkConfig;
use granule_dynamics::solver::adaptive::{AdaptiveConfig, Within};
use granule_dynamics::solver::{Solver, SolverKind};
use granule_dynamics::{DynamicsError, NormalNoise, Place, State, Stop, Variable};

/// How spikes show in the state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Firing {
    /// The first variable crosses this value upwards.
    Threshold(f64),
    /// A variable counts those of each step, another says how long before the end of the step the last one was, and a
    /// third, where there can be several in a step, how far apart they are.
    Counted {
        count: usize,
        since: usize,
        interval: Option<usize>,
    },
}

impl Firing {
    /// The variables that are read, in the order of their fields.
    pub(super) fn reads(&self) -> Vec<usize> {
        match self {
            Self::Threshold(_) => vec![0],
            Self::Counted {
                count,
                since,
                interval,
            } => [*count, *since].into_iter().chain(*interval).collect(),
        }
    }
}

/// The model once more, on another device.
pub(super) type Again = Box<dyn Fn(&Device) -> Result<Body, DynamicsError>>;

/// What moves.
pub(super) enum Body {
    One(Box<dyn Dynamics>),
    Levels(Composite),
}

impl Body {
    pub(super) fn dynamics(&self) -> &dyn Dynamics {
        match self {
            Self::One(dynamics) => dynamics.as_ref(),
            Self::Levels(composite) => composite,
        }
    }
}

/// A model that can be run.
pub(super) struct Subject {
    pub(super) body: Body,
    pub(super) again: Again,
    pub(super) initial: State,
    /// How spikes show in the state of each level that has any; a model that is not of levels is level 0.
    pub(super) firing: Vec<(usize, Firing)>,
    /// The input's channels.
    pub(super) inputs: Vec<Variable>,
    pub(super) solver: String,
    /// Which variables are of interest: all but the past of delay lines.
    pub(super) shown: usize,
    /// Names and sizes of groups of cells, in their order.
    pub(super) groups: Vec<(String, usize)>,
    /// How far the sites of a cell that is recorded at several are from the first of them, µm.
    pub(super) distances: Vec<granule_dynamics::unit::SiteDistances>,
    /// Of each group the step, ms, in which a cell fires at most once; none where it may fire more often.
    pub(super) fires_once: Vec<Option<f64>>,
    /// What may not be meant although it is allowed, a sentence each.
    pub(super) doubts: Vec<String>,
}

/// Says which table a setting belongs to.
fn within(table: &str, error: DynamicsError) -> DynamicsError {
    match &error {
        DynamicsError::Config(own) if own.field == "dt" || own.is_under(table) => error,
        _ => error.under(table),
    }
}

/// How spikes show in variables that count them.
fn counting(variables: &[Variable]) -> Option<Firing> {
    let find = |name: &str| variables.iter().position(|v| v.name == name);
    Some(Firing::Counted {
        count: find("spike")?,
        since: find("since_spike")?,
        interval: find("spike_interval"),
    })
}

/// How steps are taken where a model leaves it open: the error they may make, the noise they draw, what ends long ones.
struct Method {
    noise: NormalNoise,
    adaptive: Option<AdaptiveConfig>,
    stop: Stop,
}

impl Method {
    /// A solver and what it is called.
    fn solver(&self, kind: SolverKind) -> (Arc<dyn Solver>, String) {
        match &self.adaptive {
            Some(tolerance) => (
                Arc::new(Within {
                    config: tolerance.clone(),
                    stop: self.stop.clone(),
                }),
                format!("{}, adaptive", kind.name()),
            ),
            None => (Arc::from(kind.init(self.noise)), kind.name().into()),
        }
    }
}

impl Subject {
    /// `stop` ends long steps; `trained` puts weights into a model of several levels.
    pub(super) fn new(
        config: &ExperimentConfig,
        place: &Place,
        stop: &Stop,
        trained: impl FnOnce(MultiGranularityModel) -> Result<MultiGranularityModel, DynamicsError>,
    ) -> Result<Self, DynamicsError> {
        let method = Method {
            noise: NormalNoise::new(config.seed, 0),
            adaptive: config.adaptive()?,
            stop: stop.clone(),
        };
        match config.model()? {
            ExperimentModel::Unit(unit) => Self::unit(unit, config, &method, place),
            ExperimentModel::Population(population) => {
                Self::population(population, config, &method, place)
            }
            ExperimentModel::Circuit(circuit) => Self::circuit(circuit, config, place),
            ExperimentModel::System(system) => Self::system(system, config, &method, place),
            ExperimentModel::Network(network) => Self::network(network, config, place),
            ExperimentModel::Composite(composite) => {
                Self::composite(composite, config, place, trained)
            }
        }
    }

    fn population(
        settings: &RateNetworkConfig,
        config: &ExperimentConfig,
        method: &Method,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let settings = settings.moved(config.dt, config.solver)?;
        let solver = settings.solver.name().into();
        let inputs = usize::from(config.stimulus.is_some());
        let mut network = settings
            .init(inputs, 0, config.seed, place)
            .map_err(|error| within("population", error))?;
        network.noise = Some(method.noise);
        let initial = network.initial_state(1)?;
        let dynamics = again(network);
        let channels = (inputs > 0).then(|| Variable::new("input", "1", inputs));
        let inputs = channels.into_iter().collect();
        Self::plain(dynamics, initial, inputs, solver)
    }

    fn network(
        settings: &SpikingNetworkConfig,
        config: &ExperimentConfig,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        if let Some(solver) = config.solver {
            let allowed = "none: the steps of network are exact";
            return Err(DynamicsError::config("solver", solver, allowed));
        }
        let network = settings
            .init(config.dt, config.seed, place)
            .map_err(|error| within("network", error))?;
        let initial = network.initial_state(1)?;
        let firing = counting(network.dynamics()?.variables());
        let groups = [
            ("excitatory", settings.excitatory),
            ("inhibitory", settings.inhibitory),
        ];
        let cells = settings.excitatory + settings.inhibitory;
        let inputs = vec![Variable::new("current", "µA/cm²", cells)];
        Ok(Self {
            shown: granule_dynamics::network::SHOWN,
            firing: firing.into_iter().map(|firing| (0, firing)).collect(),
            groups: groups.map(|(name, cells)| (name.into(), cells)).into(),
            ..Self::plain(again(network), initial, inputs, "exact".into())?
        })
    }

    fn composite(
        settings: &MultiGranularityConfig,
        config: &ExperimentConfig,
        place: &Place,
        trained: impl FnOnce(MultiGranularityModel) -> Result<MultiGranularityModel, DynamicsError>,
    ) -> Result<Self, DynamicsError> {
        if let Some(solver) = config.solver {
            let allowed = "none: each level of a composite names its own";
            return Err(DynamicsError::config("solver", solver, allowed));
        }
        let mut settings = settings.clone();
        settings.dt = config.dt;
        settings.seed = settings.seed.wrapping_add(config.seed);
        let model = settings
            .init(place)
            .map_err(|error| within("composite", error))?;
        let model = trained(model)?.counting(config.record.every);
        let initial = model.initial_state(1)?;
        let inputs = model.inputs()?;
        let dynamics = model.dynamics()?;
        let (mut spikes, mut groups, mut once) = (Vec::new(), Vec::new(), Vec::new());
        for (index, level) in settings.levels.iter().enumerate() {
            if let Some(unit) = &level.unit
                && let Some(own) = dynamics.level(index)
                && let Some(firing) = unit::firing(unit, own.variables())
            {
                spikes.push((index, firing));
                groups.push((level.name.clone(), unit.cells()));
                let step = level.dt.unwrap_or(config.dt);
                once.push(unit::fires_once(unit).then_some(step));
            }
        }
        Ok(Self {
            shown: dynamics.shown(),
            body: Body::Levels(dynamics),
            again: Box::new(move |device| {
                Ok(Body::Levels(model.clone().to_device(device).dynamics()?))
            }),
            initial,
            firing: spikes,
            inputs,
            solver: "by level".into(),
            groups,
            fires_once: once,
            distances: Vec::new(),
            doubts: Vec::new(),
        })
    }

    fn plain(
        again: Again,
        initial: State,
        inputs: Vec<Variable>,
        solver: String,
    ) -> Result<Self, DynamicsError> {
        let body = again(&Place::of(&initial[0]).device)?;
        Ok(Self {
            shown: body.dynamics().variables().len(),
            body,
            again,
            initial,
            firing: Vec::new(),
            inputs,
            solver,
            groups: Vec::new(),
            fires_once: Vec::new(),
            distances: Vec::new(),
            doubts: Vec::new(),
        })
    }
}

/// A model that is not of levels, on any device.
fn again<M: Model + 'static>(model: M) -> Again
where
    M::Dynamics: 'static,
{
    Box::new(move |device| {
        let dynamics = model.clone().to_device(device).dynamics()?;
        Ok(Body::One(Box::new(dynamics)))
    })
}
