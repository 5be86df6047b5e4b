//! The model of an experiment, whichever it is.

use std::rc::Rc;
use std::sync::Arc;

use burn::module::ModuleDisplay;
use granule_io::words::counted;

use super::config::ExperimentConfig;
use super::shown::{Readable, Shown};
use crate::composite::{Composite, MultiGranularityModel};
use crate::model::{Dynamics, Model};
use crate::solver::adaptive::Within;
use crate::solver::{Heun, Solver, SolverKind};
use crate::system::{
    BalloonWindkesselConfig, Integrated, NetworkConfig, System, SystemField, WithBold,
};
use crate::unit::UnitConfig;
use crate::{DynamicsError, NormalNoise, Place, State, Stop, Variable};

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
    pub(super) distances: Vec<f64>,
    /// Of each group the step, ms, in which a cell fires at most once; none where it may fire more often.
    pub(super) fires_once: Vec<Option<f64>>,
}

/// Says which table a setting belongs to.
fn within(table: &str, error: DynamicsError) -> DynamicsError {
    match &error {
        DynamicsError::Config(own) if own.field == "dt" || own.is_under(table) => error,
        _ => error.under(table),
    }
}

/// What is read out of a system, its response before what it responds to: names and units.
fn readouts(
    config: &ExperimentConfig,
    field: &dyn SystemField,
) -> Vec<(&'static str, &'static str)> {
    let bold = config.bold.iter().map(|_| ("bold", "1"));
    let readout = config.readout.map(|readout| readout.quantity(field));
    bold.chain(readout).collect()
}

/// Checks that a read-out that was asked for is among the variables that are recorded, where these are named.
fn check_readout(config: &ExperimentConfig, field: &dyn SystemField) -> Result<(), DynamicsError> {
    let (Some(readout), named) = (config.readout, &config.record.variables) else {
        return Ok(());
    };
    let (quantity, _) = readout.quantity(field);
    if named.is_empty() || named.iter().any(|name| name == quantity) {
        return Ok(());
    }
    Err(DynamicsError::config(
        "readout",
        quantity,
        format!(
            "one that is recorded: add \"{quantity}\" to record.variables, or leave those unset"
        ),
    ))
}

/// The model by itself, or with the haemodynamic response to what it shows.
fn with_bold<M: Model + ModuleDisplay>(
    model: M,
    config: &ExperimentConfig,
    place: &Place,
) -> Result<Readable, DynamicsError>
where
    M::Dynamics: 'static,
{
    let Some(response) = &config.bold else {
        let dynamics = Rc::new(model.dynamics()?);
        return Ok(Readable {
            initial: model.initial_state(1)?,
            dynamics: dynamics.clone(),
            read: Box::new(move |state| vec![dynamics.observe(state)]),
        });
    };
    let mut response = response.clone();
    let nodes = model.dynamics()?.observe(&model.initial_state(1)?).dims()[1];
    if ![BalloonWindkesselConfig::default().nodes, nodes].contains(&response.nodes) {
        let allowed = format!("unset, for it is the nodes of the read-out, {nodes}, that count");
        return Err(DynamicsError::config("bold.nodes", response.nodes, allowed));
    }
    response.nodes = nodes;
    let response = response
        .init(place)
        .map_err(|error| within("bold", error))?;
    let model = WithBold::new(model, response, Heun)?;
    let dynamics = Rc::new(model.dynamics()?);
    Ok(Readable {
        initial: model.initial_state(1)?,
        dynamics: dynamics.clone(),
        read: Box::new(move |state| {
            let (active, _) = dynamics.split(state);
            vec![dynamics.observe(state), dynamics.model.observe(&active)]
        }),
    })
}

/// Checks that the connectivity is of as many nodes as the system has.
fn check_nodes(connectivity: &NetworkConfig, field: &dyn SystemField) -> Result<(), DynamicsError> {
    let (rows, nodes) = (connectivity.weights.len(), field.activity().width);
    if rows == nodes {
        Ok(())
    } else {
        Err(DynamicsError::config(
            "connectivity.weights",
            format!("a matrix of {}", counted(rows, "row")),
            format!(
                "{nodes} rows and columns, as many as the system has nodes; or system.nodes = {rows}"
            ),
        ))
    }
}

/// A unit whose one cell has a list of currents is as many cells.
fn spread(unit: &UnitConfig) -> UnitConfig {
    let mut unit = unit.clone();
    if unit.inputs() > 1 {
        return unit;
    }
    let currents = unit.current().as_slice().len();
    if unit.cells() == 1 && currents > 1 {
        unit.set_cells(currents);
    }
    unit
}

/// How the spikes of cells show.
fn firing(unit: &UnitConfig, variables: &[Variable]) -> Option<Firing> {
    match unit.spike_threshold() {
        Some(threshold) => Some(Firing::Threshold(threshold)),
        None => counting(variables),
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

impl Subject {
    /// `stop` ends long steps; `trained` puts weights into a model of several levels.
    pub(super) fn new(
        config: &ExperimentConfig,
        place: &Place,
        stop: &Stop,
        trained: impl FnOnce(MultiGranularityModel) -> Result<MultiGranularityModel, DynamicsError>,
    ) -> Result<Self, DynamicsError> {
        let noise = NormalNoise::new(config.seed, 0);
        let adaptive = config.adaptive()?;
        let solver = |kind: SolverKind| -> (Arc<dyn Solver>, String) {
            match &adaptive {
                Some(tolerance) => (
                    Arc::new(Within {
                        config: tolerance.clone(),
                        stop: stop.clone(),
                    }),
                    format!("{}, adaptive", kind.name()),
                ),
                None => (Arc::from(kind.init(noise)), kind.name().into()),
            }
        };
        if let Some(unit) = &config.unit {
            let method = solver(config.solver.unwrap_or(SolverKind::Rk4));
            return Self::unit(&spread(unit), config, method, place);
        }
        if let Some(population) = &config.population {
            let settings = population.moved(config.dt, config.solver)?;
            let solver = settings.solver.name().into();
            let inputs = usize::from(config.stimulus.is_some());
            let mut network = settings
                .init(inputs, 0, config.seed, place)
                .map_err(|error| within("population", error))?;
            network.noise = Some(noise);
            let initial = network.initial_state(1)?;
            let dynamics = Box::new(network.dynamics()?);
            let inputs = match inputs {
                0 => Vec::new(),
                _ => vec![Variable::new("input", "1", inputs)],
            };
            return Ok(Self::plain(dynamics, initial, inputs, solver));
        }
        if let Some(system) = &config.system {
            let system = system
                .init(place)
                .map_err(|error| within("system", error))?;
            let field = system.field()?;
            let initial = system.initial_state(1)?;
            let inputs = field.inputs().to_vec();
            let own = field.variables().len();
            check_readout(config, field.as_ref())?;
            let (solver, name) = solver(SolverKind::suited(config.solver, &field, &initial)?);
            let readout = config.readout.unwrap_or_default();
            let readable = match &config.connectivity {
                None => {
                    let system = Integrated::new(system, solver).with_readout(readout);
                    with_bold(system, config, place)?
                }
                Some(connectivity) => {
                    let mut connectivity = connectivity.clone();
                    connectivity.dt = config.dt;
                    check_nodes(&connectivity, field.as_ref())?;
                    let network = connectivity
                        .init(system, solver, place)
                        .map_err(|error| within("connectivity", error))?
                        .with_readout(readout);
                    with_bold(network, config, place)?
                }
            };
            let (shown, initial) = Shown::new(readable, &readouts(config, field.as_ref()));
            // The nodes' variables, and not what stands for their past.
            let count = own + shown.count();
            let dynamics = Box::new(shown);
            let mut subject = Self::plain(dynamics, initial, inputs, name);
            subject.shown = count;
            return Ok(subject);
        }
        if let Some(network) = &config.network {
            no_solver(config.solver, "network")?;
            let settings = network;
            let network = settings
                .init(config.dt, config.seed, place)
                .map_err(|error| within("network", error))?;
            let initial = network.initial_state(1)?;
            let dynamics = network.dynamics()?;
            let cells = settings.excitatory + settings.inhibitory;
            return Ok(Self {
                shown: crate::network::SHOWN,
                firing: counting(dynamics.variables())
                    .map(|firing| (0, firing))
                    .into_iter()
                    .collect(),
                body: Body::One(Box::new(dynamics)),
                initial,
                inputs: vec![Variable::new("current", "µA/cm²", cells)],
                solver: "exact".into(),
                groups: vec![
                    ("excitatory".into(), settings.excitatory),
                    ("inhibitory".into(), settings.inhibitory),
                ],
                fires_once: Vec::new(),
                distances: Vec::new(),
            });
        }
        if let Some(composite) = &config.composite {
            if let Some(solver) = config.solver {
                let allowed = "none: each level of a composite names its own";
                return Err(DynamicsError::config("solver", solver, allowed));
            }
            let mut settings = composite.clone();
            settings.dt = config.dt;
            settings.seed = settings.seed.wrapping_add(config.seed);
            let model = settings
                .init(place)
                .map_err(|error| within("composite", error))?;
            let model = trained(model)?;
            let initial = model.initial_state(1)?;
            let dynamics = model.dynamics()?;
            let shown = dynamics
                .variables()
                .iter()
                .position(|v| v.name.contains('→'))
                .unwrap_or(dynamics.variables().len());
            let (mut spikes, mut groups, mut once) = (Vec::new(), Vec::new(), Vec::new());
            for (index, level) in settings.levels.iter().enumerate() {
                if let Some(unit) = &level.unit
                    && let Some(own) = dynamics.level(index)
                    && let Some(firing) = firing(unit, own.variables())
                {
                    spikes.push((index, firing));
                    groups.push((level.name.clone(), unit.cells()));
                    let step = level.dt.unwrap_or(config.dt);
                    once.push(fires_once(unit).then_some(step));
                }
            }
            return Ok(Self {
                shown,
                body: Body::Levels(dynamics),
                initial,
                firing: spikes,
                inputs: model.inputs()?,
                solver: "by level".into(),
                groups,
                fires_once: once,
                distances: Vec::new(),
            });
        }
        Err(DynamicsError::config(
            "model",
            "0 tables",
            "exactly one of unit, population, system, network and composite",
        ))
    }

    fn unit(
        unit: &UnitConfig,
        config: &ExperimentConfig,
        (solver, name): (Arc<dyn Solver>, String),
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let own_steps = unit.own_steps();
        if let (Some(solver), Some(steps)) = (config.solver, own_steps) {
            return Err(DynamicsError::config("solver", solver, steps));
        }
        let cells = unit.init(solver, place)?;
        let dynamics = cells.dynamics()?;
        let firing = firing(unit, dynamics.variables());
        let initial = cells.initial_state(1)?;
        let inputs = vec![cells.input()?];
        let solver = match unit {
            UnitConfig::Cable(cable) => cable.scheme.name().into(),
            _ if unit.is_exact() => "exact".into(),
            _ => name,
        };
        let width = dynamics.variables().first().map_or(0, |v| v.width);
        let group = match unit {
            UnitConfig::Cable(_) => "sites",
            _ => "cells",
        };
        let shown = cells.population().shown(dynamics.variables().len());
        let mut subject = Self::plain(dynamics, initial, inputs, solver);
        subject.shown = shown;
        subject.distances = cells.population().distances().to_vec();
        subject.firing = firing.into_iter().map(|firing| (0, firing)).collect();
        subject.groups = vec![(group.into(), width)];
        subject.fires_once = vec![fires_once(unit).then_some(config.dt)];
        Ok(subject)
    }

    fn plain(
        dynamics: Box<dyn Dynamics>,
        initial: State,
        inputs: Vec<Variable>,
        solver: String,
    ) -> Self {
        Self {
            shown: dynamics.variables().len(),
            body: Body::One(dynamics),
            initial,
            firing: Vec::new(),
            inputs,
            solver,
            groups: Vec::new(),
            fires_once: Vec::new(),
            distances: Vec::new(),
        }
    }
}

/// Whether a cell with a reset, whose crossings are looked for once in a step, fires at most once in it.
fn fires_once(unit: &UnitConfig) -> bool {
    !unit.is_exact() && unit.spike_threshold().is_none()
}

fn no_solver(asked: Option<SolverKind>, model: &str) -> Result<(), DynamicsError> {
    match asked {
        None => Ok(()),
        Some(solver) => {
            let allowed = format!("none: the steps of {model} are exact");
            Err(DynamicsError::config("solver", solver, allowed))
        }
    }
}
