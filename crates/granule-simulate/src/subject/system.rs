//! A mass model, or several nodes of one, with what is read out of it.

use std::rc::Rc;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Device;
use granule_io::words::counted;

use super::super::config::ExperimentConfig;
use super::super::shown::{Readable, Shown};
use super::{Body, Method, Subject, within};
use granule_dynamics::model::{Dynamics, Field, Model};
use granule_dynamics::solver::{Heun, SolverKind};
use granule_dynamics::system::{
    BalloonWindkesselConfig, Integrated, NetworkConfig, System, SystemConfig, WithBold,
};
use granule_dynamics::{DynamicsError, Place};

impl Subject {
    pub(super) fn system(
        settings: &SystemConfig,
        config: &ExperimentConfig,
        method: &Method,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let system = settings
            .init(place)
            .map_err(|error| within("system", error))?;
        let field = system.field()?;
        let initial = system.initial_state(1)?;
        let inputs = field.inputs().to_vec();
        let own = field.variables().len();
        check_readout(config, field.as_ref())?;
        let (solver, name) = method.solver(SolverKind::suited(config.solver, &field, &initial)?);
        let readout = config.readout.unwrap_or_default();
        let read = match &config.connectivity {
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
        let names = readouts(config, field.as_ref());
        let (shown, initial) = Shown::new(read(&place.device)?, &names);
        let again = move |device: &Device| {
            let (shown, _) = Shown::new(read(device)?, &names);
            Ok(Body::One(Box::new(shown)))
        };
        // The nodes' variables, and not what stands for their past.
        let count = own + shown.count();
        let mut subject = Self::plain(Box::new(again), initial, inputs, name)?;
        subject.shown = count;
        Ok(subject)
    }
}

/// What is read out of a system, its response before what it responds to: names and units.
fn readouts(config: &ExperimentConfig, field: &dyn Field) -> Vec<(&'static str, &'static str)> {
    let bold = config.bold.iter().map(|_| ("bold", "1"));
    let readout = config.readout.map(|readout| readout.quantity(field));
    bold.chain(readout).collect()
}

/// Checks that a read-out that was asked for is among the variables that are recorded, where these are named.
fn check_readout(config: &ExperimentConfig, field: &dyn Field) -> Result<(), DynamicsError> {
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

/// A model and what is read out of it, on any device.
type Reading = Box<dyn Fn(&Device) -> Result<Readable, DynamicsError>>;

/// The model by itself, or with the haemodynamic response to what it shows.
fn with_bold<M: Model + ModuleDisplay + 'static>(
    model: M,
    config: &ExperimentConfig,
    place: &Place,
) -> Result<Reading, DynamicsError>
where
    M::Dynamics: 'static,
{
    let Some(response) = &config.bold else {
        return Ok(Box::new(move |device| {
            let model = model.clone().to_device(device);
            let dynamics = Rc::new(model.dynamics()?);
            Ok(Readable {
                initial: model.initial_state(1)?,
                dynamics: dynamics.clone(),
                read: Box::new(move |state| vec![dynamics.observe(state)]),
            })
        }));
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
    Ok(Box::new(move |device| {
        let model = model.clone().to_device(device);
        let dynamics = Rc::new(model.dynamics()?);
        Ok(Readable {
            initial: model.initial_state(1)?,
            dynamics: dynamics.clone(),
            read: Box::new(move |state| {
                let (active, _) = dynamics.split(state);
                vec![dynamics.observe(state), dynamics.model.observe(&active)]
            }),
        })
    }))
}

/// Checks that the connectivity is of as many nodes as the system has.
fn check_nodes(connectivity: &NetworkConfig, field: &dyn Field) -> Result<(), DynamicsError> {
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
