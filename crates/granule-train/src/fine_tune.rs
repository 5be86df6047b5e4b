//! A trained model with classes of its user's own, inside an application.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};
use granule_device::OpenDevice;
use granule_io::words::printable;
use granule_models::state::{load_state_dict, mismatches, parameter_ids, state_dict};
use granule_models::{
    Model as _, ModelFile, Network, NoiseStream, Parent, Predictor, Profile, Provenance, Sample,
    StateDict, Task,
};
use granule_ops::cross_entropy;

use crate::batches::shuffled;
use crate::config::{AdamConfig, OptimizerConfig, RunConfig, TrainConfig};
use crate::optimizer::{Gradient, Optimizer};
use crate::{ConfigError, TrainError};

/// How [`fine_tune`] trains; what a run has as well is called and means the same.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTune {
    /// How often every sample is seen. Default 30.
    pub epochs: usize,
    /// Samples of a step. Default 32.
    pub batch_size: usize,
    /// The update rule with its learning rate. Default Adam with 0.01.
    pub optimizer: OptimizerConfig,
    /// The largest L2 norm of a gradient. Default none.
    pub clip_norm: Option<f64>,
    /// Of the new head, of the order of samples, and of what a whole model draws. Default 1.
    pub seed: u64,
    /// Trains all weights, dropout and batch statistics included, instead of the new head alone. Default false.
    pub whole: bool,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 32,
            optimizer: OptimizerConfig::Adam(AdamConfig {
                lr: 0.01,
                ..AdamConfig::default()
            }),
            clip_norm: None,
            seed: 1,
            whole: false,
        }
    }
}

impl FineTune {
    fn validate(&self) -> Result<(), ConfigError> {
        RunConfig {
            seed: self.seed,
            optimizer: self.optimizer,
            train: TrainConfig {
                epochs: self.epochs,
                batch_size: self.batch_size,
                clip_norm: self.clip_norm,
                ..TrainConfig::default()
            },
            ..RunConfig::default()
        }
        .validate()
    }
}

/// Gives a trained model new classes, those of `samples`, each with its class: the layer that gives the outputs is drawn anew and
/// trained, all others are as they were unless [`FineTune::whole`]. The classes are in the order of numbers, where all are, else of
/// the alphabet. Nothing is written or downloaded.
///
/// One seed gives the same weights bit for bit on a CPU.
///
/// # Errors
///
/// [`TrainError::Config`] for settings outside their ranges, fewer than two classes and names that are none;
/// [`TrainError::Model`] for samples that the model cannot take, and a model that cannot be built;
/// [`TrainError::NonFinite`] where the loss is not finite.
pub fn fine_tune(
    file: &ModelFile,
    samples: &[(Sample<'_>, &str)],
    options: &FineTune,
    device: &OpenDevice,
) -> Result<ModelFile, TrainError> {
    options.validate()?;
    let classes = classes_of(samples)?;
    let labels: Vec<i32> = samples
        .iter()
        .filter_map(|(_, label)| classes.iter().position(|class| class == label))
        .map(|class| class as i32)
        .collect();
    let (inputs, shape) = (file.input.shape.len(), &file.input.shape);
    let features = {
        let predictor = Predictor::from_file(file, device.burn())?;
        let samples: Vec<Sample<'_>> = samples.iter().map(|(sample, _)| *sample).collect();
        predictor.inputs(&samples)?
    };
    let taped = device.burn().clone().autodiff();
    let fresh = |outputs| file.model.init(shape, outputs, options.seed, &taped);
    let network = fresh(classes.len())?;
    let drawn = state_dict(&network)?;
    // What another number of classes would make of another shape.
    let other = mismatches(&fresh(classes.len() + 1)?, &drawn);
    let head: BTreeSet<String> = other.into_iter().map(|tensor| tensor.name).collect();
    let begin = StateDict(
        file.state
            .0
            .iter()
            .filter(|(name, _)| !head.contains(*name))
            .chain(drawn.0.iter().filter(|(name, _)| head.contains(*name)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    let mut network = load_state_dict(network, &begin)?;
    if !options.whole {
        let ids = parameter_ids(&network).into_iter();
        let head = ids.filter_map(|(name, id)| head.contains(&name).then_some(id));
        let head = head.collect();
        network = network.map(&mut Freeze { head });
    }

    let mut optimizer = Optimizer::new(
        &options.optimizer,
        options.clip_norm,
        &network,
        device.is_host(),
    );
    let mut step = 0;
    for epoch in 0..options.epochs as u64 {
        let all = (0..samples.len()).collect();
        for batch in shuffled(all, (options.seed, epoch), 0, options.batch_size) {
            let rows = batch.iter();
            let rows = rows.flat_map(|&at| &features[at * inputs..(at + 1) * inputs]);
            let x = TensorData::new(rows.copied().collect::<Vec<f32>>(), [batch.len(), inputs]);
            let truth = batch.iter().map(|&at| labels[at]).collect::<Vec<i32>>();
            let truth = TensorData::new(truth, [batch.len()]);
            let x = Tensor::<2>::from_data(x, &taped);
            let outputs = if options.whole {
                network.forward_train(x, &mut NoiseStream::new(options.seed, step))?
            } else {
                network.forward(x)?
            };
            let truth = Tensor::<1, Int>::from_data(truth, &taped);
            let loss = cross_entropy(outputs, truth, 0.0);
            step += 1;
            network = update(
                network,
                loss,
                &mut optimizer,
                options,
                (step, device.is_host()),
            )?;
        }
    }
    let state = state_dict(&network)?;
    state.check_finite()?;
    Ok(ModelFile {
        model: file.model.clone(),
        input: file.input.clone(),
        task: Task::Classification { classes },
        provenance: Provenance {
            dataset: "samples of a program".to_owned(),
            seed: options.seed,
            device: device.name().to_owned(),
            epochs: options.epochs,
            parent: Some(Box::new(Parent::of(file.provenance.clone()))),
            profile: profile(samples),
            ..Provenance::now()
        },
        state,
    })
}

/// One step under a loss.
fn update(
    network: Network,
    loss: Tensor<1>,
    optimizer: &mut Optimizer,
    options: &FineTune,
    (step, host): (u64, bool),
) -> Result<Network, TrainError> {
    let value = loss.clone().without_autodiff().try_into_vec_as::<f32>();
    let value = value.map_err(TrainError::backend)?;
    let value = value.first().copied().map_or(f64::NAN, f64::from);
    let learning_rate = options.optimizer.lr();
    let mut gradient = Gradient::collect(loss.backward(), &network, host)?;
    if !value.is_finite() {
        return Err(TrainError::NonFinite {
            step,
            loss: value,
            learning_rate,
            gradient_norm: gradient.norm().value()?,
            advice: "take a lower learning rate".to_owned(),
            checkpoint: None,
        });
    }
    Ok(optimizer.step(network, gradient, learning_rate)?.0)
}

/// Takes all parameters but those of the head out of training.
struct Freeze {
    head: BTreeSet<ParamId>,
}

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.head.contains(&param.id) {
            param
        } else {
            param.set_require_grad(false)
        }
    }
}

/// The names that occur, in their order.
fn classes_of(samples: &[(Sample<'_>, &str)]) -> Result<Vec<String>, ConfigError> {
    let names: BTreeSet<&str> = samples.iter().map(|(_, class)| *class).collect();
    if let Some(name) = names.iter().find(|name| printable(name) != ***name) {
        let allowed = "one line without control characters";
        return Err(ConfigError::new(
            "samples.class",
            format!("{name:?}"),
            allowed,
        ));
    }
    if names.len() < 2 {
        let allowed = "samples of at least two classes";
        return Err(ConfigError::new("samples.classes", names.len(), allowed));
    }
    let mut names: Vec<&str> = names.into_iter().collect();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    if numbers.is_some() {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Intensities of samples that are pixels.
fn profile(samples: &[(Sample<'_>, &str)]) -> Option<Profile> {
    let mut intensities = vec![0; Profile::BINS];
    for (sample, _) in samples {
        let Sample::Pixels(pixels) = sample else {
            return None;
        };
        for pixel in *pixels {
            intensities[Profile::bin(*pixel)] += 1;
        }
    }
    Some(Profile {
        intensities,
        predictions: Vec::new(),
    })
}
