//! What a run would do, without doing it.

use granule_data::task::Part;
use granule_models::InputShape;
use granule_models::state::state_dict;

use super::problem::Problem;
use super::session::network;
use super::start::Start;
use super::{on, open, tell_data};
use crate::{Observer, RunConfig, TrainError};

/// A run that has not begun: the model on its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the model sees.
    pub input: InputShape,
    /// How many values it gives for a sample.
    pub outputs: usize,
    /// Its layers, by name.
    pub layers: Vec<LayerPlan>,
    /// Their parameters.
    pub parameters: usize,
    /// Optimiser steps of an epoch.
    pub steps_per_epoch: usize,
}

/// A layer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// The path in the model.
    pub name: String,
    /// The tensors with their dimensions, statistics of batches included.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The elements of all tensors but statistics.
    pub parameters: usize,
}

/// Reads the data and builds the model as [`train`](super::train) would, and writes nothing.
///
/// # Errors
/// As [`train`](super::train) before the first step.
pub fn plan(config: &RunConfig, observer: &mut dyn Observer) -> Result<Plan, TrainError> {
    config.validate()?;
    let (device, dataset) = open(config, None, observer)?;
    on(&device, || {
        let problem = Problem::new(config, dataset.as_deref(), device.burn())?;
        tell_data(&problem, observer);
        let network = network(config, &problem, &device)?;
        if let Some(start) = Start::of(config)? {
            start.check(&network)?;
        }
        let mut layers: Vec<LayerPlan> = Vec::new();
        for (path, tensor) in state_dict(&network)?.0 {
            let (layer, name) = path.rsplit_once('.').unwrap_or(("", &path));
            let count = match name.starts_with("running_") {
                true => 0,
                false => tensor.data.len(),
            };
            if layers.last().is_none_or(|last| last.name != layer) {
                layers.push(LayerPlan {
                    name: layer.to_owned(),
                    tensors: Vec::new(),
                    parameters: 0,
                });
            }
            if let Some(last) = layers.last_mut() {
                last.tensors.push((name.to_owned(), tensor.shape));
                last.parameters += count;
            }
        }
        Ok(Plan {
            input: problem.input.shape,
            outputs: problem.task.outputs(),
            layers,
            parameters: network.parameter_count(),
            steps_per_epoch: problem
                .len(Part::Train)
                .div_ceil(config.train.batch_size.max(1)),
        })
    })
}
