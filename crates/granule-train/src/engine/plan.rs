//! What a run would do, without doing it.

use granule_data::task::Part;
use granule_models::state::{is_running_statistic, layer_of, state_dict};
use granule_models::{InputShape, InputSpec, Model as _, Network, Task};

use super::opened::{on, open};
use super::problem::Problem;
use super::session::network;
use super::start::Start;
use crate::{Event, Lengthened, Observer, RunConfig, TrainError};

/// A run that has not begun: the model on its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the model sees, and how it is normalised.
    pub input: InputSpec,
    /// What it gives for a sample.
    pub task: Task,
    /// Its layers, by name.
    pub layers: Vec<LayerPlan>,
    /// Their parameters.
    pub parameters: usize,
    /// Epochs, of a length that goes by the data as well.
    pub epochs: usize,
    /// Why they are more than `train.epochs`, if they are.
    pub lengthened: Option<Lengthened>,
    /// Optimiser steps of an epoch.
    pub steps_per_epoch: usize,
}

/// A layer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// The path in the model.
    pub name: String,
    /// What it gives for a sample: `[channels, height, width]` of a convolution, `[steps, units]` of a rate network,
    /// `[instants, columns]` of several levels; none for parts of a layer.
    pub output: Option<Vec<usize>>,
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
    let (device, data) = open(config, None, observer)?;
    on(&device, || {
        let problem = Problem::new(config, &data, device.burn())?;
        problem.tell(observer);
        let network = network(config, &problem, &device)?;
        if let Some(start) = Start::of(config)? {
            let said = start.check(config, &network, &problem)?;
            if let Some(text) = &said.note {
                observer.event(&Event::Note { text });
            }
            if let Some(text) = &said.warning {
                observer.event(&Event::Warning { text });
            }
        }
        let samples = problem.source.len(Part::Train);
        let mut train = config.train.clone();
        let lengthened = train.settle_length(samples);
        Ok(Plan {
            layers: layers(&network, &problem.input.shape)?,
            input: problem.input.clone(),
            task: problem.task.clone(),
            parameters: network.parameter_count(),
            epochs: train.epochs,
            lengthened,
            steps_per_epoch: train.steps_per_epoch(samples),
        })
    })
}

/// The layers in the order in which they run, then what belongs to none of those.
fn layers(network: &Network, input: &InputShape) -> Result<Vec<LayerPlan>, TrainError> {
    let shapes = network.layer_shapes(input)?.into_iter();
    let mut layers: Vec<LayerPlan> = shapes
        .map(|(name, output)| LayerPlan {
            name,
            output: Some(output),
            tensors: Vec::new(),
            parameters: 0,
        })
        .collect();
    for (path, tensor) in state_dict(network)?.0 {
        let (name, part) = layer_of(&path);
        let index = layers.iter().position(|layer| layer.name == name);
        let index = index.unwrap_or_else(|| {
            layers.push(LayerPlan {
                name: name.to_owned(),
                output: None,
                tensors: Vec::new(),
                parameters: 0,
            });
            layers.len() - 1
        });
        if let Some(layer) = layers.get_mut(index) {
            if !is_running_statistic(&path) {
                layer.parameters += tensor.data.len();
            }
            layer.tensors.push((part.to_owned(), tensor.shape));
        }
    }
    Ok(layers)
}
