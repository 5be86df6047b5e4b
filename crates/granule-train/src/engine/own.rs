//! An objective of the program's own as what a run learns from.

use std::error::Error;

use burn::tensor::{Device, Tensor};
use granule_data::task::Part;
use granule_device::OpenDevice;
use granule_models::{InputSpec, Model as _, ModelFile, Network};

use super::opened::on;
use crate::batches::shuffled;
use crate::config::RunConfig;
use crate::engine::samples::{check_finite, part_name};
use crate::engine::source::{Source, Step, Supply, Trained};
use crate::engine::test_part::{other_input, other_task};
use crate::engine::work::{BatchContext, Contribution, Work, number};
use crate::event::{Event, Observer};
use crate::loss::Tally;
use crate::objective::Objective;
use crate::optimizer::Gradient;
use crate::outcome::{Evaluation, Scores};
use crate::record::TestResult;
use crate::{ConfigError, TrainError};

/// An [`Objective`] with what is asked of it often.
pub(crate) struct Own<'a> {
    objective: &'a dyn Objective,
    fingerprint: String,
    /// Numbers of one sample.
    features: usize,
}

impl<'a> Own<'a> {
    pub fn new(config: &RunConfig, objective: &'a dyn Objective) -> Result<Self, TrainError> {
        let (data, train) = (&config.data, &config.train);
        let elsewhere = [
            ("data.task", data.task.is_some()),
            ("data.recording", data.recording.is_some()),
            ("data.validation", data.validation > 0.0),
            ("data.limit_train", data.limit_train.is_some()),
            ("data.limit_test", data.limit_test.is_some()),
            ("data.augmentation", !data.augmentation.is_identity()),
            ("train.label_smoothing", train.label_smoothing > 0.0),
            ("train.class_weights", train.class_weights.is_some()),
        ];
        if let Some((field, _)) = elsewhere.into_iter().find(|(_, set)| *set) {
            let allowed = "unset: the objective decides it";
            return Err(ConfigError::new(field, "this", allowed).into());
        }
        has_samples(objective, Part::Train)?;
        has_samples(objective, Part::Test)?;
        let input = objective.input();
        input.validate()?;
        let task = objective.task();
        if task.learnt_outputs() != task.outputs() {
            let beside = task.learnt_outputs() - task.outputs();
            let allowed = "0: an objective's loss is of the outputs that are answered";
            return Err(ConfigError::new("objective.task.auxiliary", beside, allowed).into());
        }
        config.model.validate(&input.shape, task.outputs())?;
        Ok(Self::of(objective, &input))
    }

    fn of(objective: &'a dyn Objective, input: &InputSpec) -> Self {
        Self {
            objective,
            fingerprint: objective.fingerprint(),
            features: input.shape.len(),
        }
    }

    fn failed(&self, error: Box<dyn Error + Send + Sync>) -> TrainError {
        TrainError::Objective {
            name: self.objective.name(),
            reason: error.to_string(),
        }
    }

    /// The inputs, of the extents that were promised.
    fn inputs(
        &self,
        part: Part,
        samples: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>, TrainError> {
        let inputs = self.objective.inputs(part, samples, device);
        let inputs = inputs.map_err(|error| self.failed(error))?;
        let expected = [samples.len(), self.features];
        if inputs.dims() != expected {
            let reason = format!("its inputs are {:?}, not {expected:?}", inputs.dims());
            return Err(self.failed(reason.into()));
        }
        Ok(inputs)
    }

    fn loss(
        &self,
        part: Part,
        samples: &[usize],
        outputs: Tensor<2>,
    ) -> Result<Tensor<1>, TrainError> {
        let loss = self.objective.loss(part, samples, outputs);
        let loss = loss.map_err(|error| self.failed(error))?;
        if loss.dims() != [1] {
            let reason = format!("its loss is {:?}, not one number", loss.dims());
            return Err(self.failed(reason.into()));
        }
        Ok(loss)
    }

    /// The mean loss of a part, and its outputs.
    fn run(
        &self,
        part: Part,
        network: &Network,
        device: &Device,
        batch: usize,
        mut done: impl FnMut(usize),
    ) -> Result<(f64, Vec<f32>), TrainError> {
        let samples: Vec<usize> = (0..self.objective.len(part)).collect();
        let (mut sum, mut all) = (0.0, Vec::new());
        for chunk in samples.chunks(batch.max(1)) {
            let outputs = network.forward(self.inputs(part, chunk, device)?)?;
            let loss = self.loss(part, chunk, outputs.clone())?;
            sum += number(loss)? * chunk.len() as f64;
            let outputs = outputs
                .try_into_vec_as::<f32>()
                .map_err(TrainError::backend)?;
            check_finite(part_name(part), chunk, &outputs)?;
            all.extend(outputs);
            done(chunk.len());
        }
        if !sum.is_finite() {
            let reason = format!("its {} loss is {sum}", part_name(part));
            return Err(self.failed(reason.into()));
        }
        Ok((sum / samples.len().max(1) as f64, all))
    }
}

fn has_samples(objective: &dyn Objective, part: Part) -> Result<(), TrainError> {
    if objective.len(part) > 0 {
        return Ok(());
    }
    Err(TrainError::Objective {
        name: objective.name(),
        reason: format!("it has no {} samples", part_name(part)),
    })
}

impl Source for Own<'_> {
    fn name(&self) -> String {
        self.objective.name()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn len(&self, part: Part) -> usize {
        self.objective.len(part)
    }

    fn tell(&self, observer: &mut dyn Observer) {
        let [train, validation, test] =
            [Part::Train, Part::Validation, Part::Test].map(|part| self.objective.len(part));
        observer.event(&Event::Objective {
            name: &self.objective.name(),
            train,
            validation,
            test,
            fingerprint: &self.fingerprint,
        });
    }

    fn has_decisions(&self) -> Result<bool, TrainError> {
        Ok(false)
    }

    fn supply<'s>(
        &'s self,
        config: &'s RunConfig,
        _device: &'s OpenDevice,
    ) -> Result<Box<dyn Supply + 's>, TrainError> {
        Ok(Box::new(OwnBatches { own: self, config }))
    }

    fn validate(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<(f64, Option<f64>), TrainError> {
        let (loss, _) = self.run(Part::Validation, network, device, batch, |_| {})?;
        Ok((loss, None))
    }

    fn evaluate(
        &self,
        trained: Trained<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<TestResult>), TrainError> {
        let (network, total) = (trained.network()?, self.objective.len(Part::Test));
        let mut done = 0;
        let tell = |samples| {
            done += samples;
            observer.event(&Event::Evaluated { done, total });
        };
        let (loss, outputs) =
            self.run(Part::Test, &network, trained.device, trained.batch, tell)?;
        let scores = self.objective.scores(&outputs);
        if let Some((score, value)) = scores.iter().find(|(_, value)| !value.is_finite()) {
            return Err(self.failed(format!("its score {score} is {value}").into()));
        }
        let evaluation = Evaluation {
            loss,
            samples: total,
            scores: Scores::Named(scores),
        };
        Ok((evaluation, None))
    }
}

struct OwnBatches<'a> {
    own: &'a Own<'a>,
    config: &'a RunConfig,
}

impl Supply for OwnBatches<'_> {
    fn epoch(&self, epoch: u64, first: usize, step: &mut Step<'_>) -> Result<(), TrainError> {
        let all = (0..self.own.objective.len(Part::Train)).collect();
        let (size, seed) = (self.config.train.batch_size, self.config.seed);
        for samples in shuffled(all, (seed, epoch), first, size) {
            let own = self.own;
            if step(Box::new(OwnBatch { own, samples }))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

struct OwnBatch<'a> {
    own: &'a Own<'a>,
    samples: Vec<usize>,
}

impl Work for OwnBatch<'_> {
    fn contribution(
        self: Box<Self>,
        mut context: BatchContext<'_>,
        network: &Network,
    ) -> Result<Contribution, TrainError> {
        let (part, samples) = (Part::Train, &self.samples[..]);
        let inputs = self.own.inputs(part, samples, context.train_device)?;
        let outputs = network.forward_train(inputs, &mut context.noise)?;
        let loss = self.own.loss(part, samples, outputs)?;
        let loss = context.noise.penalized(loss);
        let host = context.device.is_host();
        let gradient = Gradient::collect(loss.backward(), network, host)?;
        if !host {
            return Ok(Contribution::waiting(gradient, samples.len(), loss));
        }
        let tally = Tally {
            loss: number(loss)? * samples.len() as f64,
            correct: 0,
        };
        Ok(Contribution::read(gradient, samples.len(), tally))
    }
}

/// Scores a model file on the test part of an objective, `batch` samples at a time.
///
/// # Errors
/// [`TrainError::Mismatch`] when the model takes or gives something else, [`TrainError::Objective`] when samples cannot be read,
/// [`TrainError::NonFiniteOutput`] when the network gives NaN or infinity for a sample.
pub fn evaluate_on(
    file: &ModelFile,
    objective: &dyn Objective,
    device: &OpenDevice,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    let (input, task) = (objective.input(), objective.task());
    if input.shape != file.input.shape {
        return Err(other_input(file, &input.shape));
    }
    if task != file.task {
        return Err(other_task(file, &task));
    }
    has_samples(objective, Part::Test)?;
    let own = Own::of(objective, &input);
    on(device, || {
        let trained = Trained {
            model: &file.model,
            input: &file.input,
            task: &file.task,
            state: &file.state,
            device: device.burn(),
            batch,
        };
        Ok(own.evaluate(trained, observer)?.0)
    })
}
