//! The trials of a task, as a run sees them.

use std::ops::{ControlFlow, Range};
use std::sync::mpsc;
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use granule_data::DataError;
use granule_data::task::{Part, TaskConfig, TaskInfo, TaskShape, TrialBatch};
use granule_device::OpenDevice;
use granule_io::from_toml;
use granule_models::{InputShape, ModelConfig, ModelFile, Task};

use crate::batch::{Batch, BatchTruth};
use crate::config::TRIALS_ASK_FOR;
use crate::config::{TrialsConfig, task_error};
use crate::{ConfigError, TrainError};

/// A task, and which of its trials are for what.
#[derive(Debug, Clone)]
pub(crate) struct Trials {
    pub config: TaskConfig,
    pub info: TaskInfo,
    pub shape: TaskShape,
    /// The step, ms.
    pub dt: f64,
    /// With a trial's index it decides everything about the trial.
    pub seed: u64,
    pub counts: TrialsConfig,
    pub fingerprint: String,
}

impl Trials {
    pub fn new(
        config: &TaskConfig,
        model: &ModelConfig,
        seed: u64,
        counts: TrialsConfig,
    ) -> Result<Self, TrainError> {
        let Some(dt) = model.time_step() else {
            return Err(ConfigError::new("model.kind", model.name(), TRIALS_ASK_FOR).into());
        };
        let shape = config.shape(dt).map_err(task_error)?;
        Ok(Self {
            info: config.info(),
            shape,
            dt,
            seed,
            counts,
            fingerprint: config.fingerprint(seed, dt)?,
            config: config.clone(),
        })
    }

    /// The task that a model was trained on.
    pub fn of(file: &ModelFile, seed: u64, test: usize) -> Result<Self, TrainError> {
        let Task::Trials { settings, .. } = &file.task else {
            return Err(TrainError::Mismatch {
                expected: "a data set".to_owned(),
                found: "a task".to_owned(),
            });
        };
        let config = from_toml(settings).map_err(|error| TrainError::ConfigSyntax {
            reason: format!("the settings of its task: {error}"),
        })?;
        let counts = TrialsConfig {
            test,
            ..TrialsConfig::default()
        };
        let trials = Self::new(&config, &file.model, seed, counts)?;
        if trials.task()? == file.task && trials.input() == file.input.shape {
            Ok(trials)
        } else {
            Err(TrainError::Mismatch {
                expected: file.input.shape.to_string(),
                found: trials.input().to_string(),
            })
        }
    }

    /// Whether a trial is right or wrong, so that there is an accuracy.
    pub fn have_decisions(&self) -> Result<bool, TrainError> {
        let trial = self.config.trials(self.seed, 0..1, self.dt)?;
        let nothing = vec![0.0; trial.targets.len()];
        Ok(self.config.score(&nothing, &trial)?.accuracy().is_some())
    }

    /// What a model of the task gives.
    pub fn task(&self) -> Result<Task, TrainError> {
        let settings = toml::to_string(&self.config).map_err(|error| TrainError::ConfigSyntax {
            reason: error.to_string(),
        })?;
        Ok(Task::Trials {
            task: self.info.name.to_owned(),
            settings,
            outputs: self.info.outputs.clone(),
            steps: self.shape.steps,
        })
    }

    /// What a model of the task takes.
    pub fn input(&self) -> InputShape {
        InputShape::Sequence {
            steps: self.shape.steps,
            channels: self.shape.inputs,
        }
    }

    /// Trials in a part; of an epoch, for those to learn from.
    pub fn len(&self, part: Part) -> usize {
        match part {
            Part::Train => self.counts.epoch,
            Part::Validation => self.counts.validation,
            Part::Test => self.counts.test,
        }
    }

    /// Trials of a part.
    pub fn make(&self, part: Part, range: Range<u64>) -> Result<TrialBatch, DataError> {
        self.config.trials(self.seed, part.indices(range), self.dt)
    }

    /// The inputs of trials, `[trials, steps · inputs]`.
    pub fn inputs(&self, batch: &mut TrialBatch, device: &Device) -> Tensor<2> {
        let shape = [batch.len(), self.shape.steps * self.shape.inputs];
        let inputs = std::mem::take(&mut batch.inputs);
        Tensor::from_data(TensorData::new(inputs, shape), device)
    }
}

/// The training trials batch by batch. Batch k of an epoch is a function of (seed, epoch, k).
pub(crate) struct TrialBatches<'a> {
    trials: &'a Trials,
    batch_size: u64,
    /// Makes a batch on another thread while the device works on the last one.
    ahead: bool,
    /// With autodiff.
    device: Device,
}

impl<'a> TrialBatches<'a> {
    pub fn new(trials: &'a Trials, batch_size: usize, device: &OpenDevice) -> Self {
        Self {
            trials,
            batch_size: batch_size.max(1) as u64,
            ahead: !device.is_host(),
            device: device.burn().clone().autodiff(),
        }
    }

    /// As [`Batches::run`](crate::batches::Batches::run).
    pub fn run(
        &self,
        epoch: u64,
        first: usize,
        mut step: impl FnMut(Batch) -> Result<ControlFlow<()>, TrainError>,
    ) -> Result<(), TrainError> {
        let count = self.trials.len(Part::Train) as u64;
        let (begin, size) = (epoch.saturating_mul(count), self.batch_size);
        let ranges = || {
            let batches = (first as u64)..count.div_ceil(size);
            batches.map(move |k| begin + k * size..begin + count.min((k + 1) * size))
        };
        let make = |range| self.trials.make(Part::Train, range);
        if !self.ahead {
            for range in ranges() {
                if step(self.batch(make(range)?))?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for range in ranges() {
                    if sender.send(make(range)).is_err() {
                        break;
                    }
                }
            });
            for made in receiver {
                if step(self.batch(made?))?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn batch(&self, mut made: TrialBatch) -> Batch {
        Batch {
            inputs: self.trials.inputs(&mut made, &self.device),
            len: made.len(),
            truth: BatchTruth::Trials {
                targets: made.targets,
                mask: made.mask,
            },
        }
    }
}
