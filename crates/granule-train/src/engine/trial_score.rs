//! Scoring a network on trials of a task.

use burn::tensor::Device;
use granule_data::task::{Part, TrialBatch};
use granule_device::OpenDevice;
use granule_models::{Model as _, ModelFile, Network};

use super::opened::on;
use crate::config::RunConfig;
use crate::engine::samples::{check_finite, part_name};
use crate::engine::source::{Source, Step, Supply, Trained};
use crate::error::TrainError;
use crate::event::{Event, Observer};
use crate::outcome::{Evaluation, Scores, TrialScores};
use crate::record::{TestResult, TrialExample};
use crate::trials::{TrialBatches, Trials};

/// One trial and what the network made of it.
pub(crate) struct Shown {
    pub batch: TrialBatch,
    /// `[steps, outputs]`
    pub outputs: Vec<f32>,
}

/// Runs `network` (without autodiff, on `device`) on all trials of a part and hands trials and outputs of each batch to
/// `sink`, in order.
fn run(
    trials: &Trials,
    part: Part,
    network: &Network,
    device: &Device,
    batch: usize,
    mut sink: impl FnMut(&TrialBatch, &[f32]) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let count = trials.len(part);
    for start in (0..count).step_by(batch.max(1)) {
        let end = count.min(start + batch.max(1));
        let mut made = trials.make(part, start as u64..end as u64)?;
        let kept = made.inputs.clone();
        let outputs = network
            .forward(trials.inputs(&mut made, device))?
            .try_into_vec_as::<f32>()
            .map_err(TrainError::backend)?;
        made.inputs = kept;
        let numbers: Vec<usize> = (start..end).collect();
        check_finite(part_name(part), &numbers, &outputs)?;
        sink(&made, &outputs)?;
    }
    Ok(())
}

/// The scores on the test trials, and the first of them.
fn evaluate(
    trials: &Trials,
    network: &Network,
    device: &Device,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<(Evaluation, Option<Shown>), TrainError> {
    let config = &trials.config;
    let total = trials.len(Part::Test);
    let (mut results, mut ideal, mut first) = (Vec::new(), Vec::new(), None);
    run(
        trials,
        Part::Test,
        network,
        device,
        batch,
        |made, outputs| {
            results.extend(config.judge(outputs, made)?);
            ideal.extend(config.judge(&config.ideal_outputs(made)?, made)?);
            if first.is_none() {
                let width = trials.shape.steps * trials.shape.outputs;
                first = Some(outputs.iter().take(width).copied().collect::<Vec<f32>>());
            }
            observer.event(&Event::Evaluated {
                done: results.len(),
                total,
            });
            Ok(())
        },
    )?;
    let score = config.summarise(&results)?;
    let evaluation = Evaluation {
        loss: score.mse,
        samples: total,
        scores: Scores::Trials(TrialScores {
            task: trials.info.name.to_owned(),
            score,
            ideal: config.summarise(&ideal)?,
        }),
    };
    let shown = match first {
        Some(outputs) => Some(Shown {
            batch: trials.make(Part::Test, 0..1)?,
            outputs,
        }),
        None => None,
    };
    Ok((evaluation, shown))
}

impl Source for Trials {
    fn name(&self) -> String {
        self.info.name.to_owned()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn len(&self, part: Part) -> usize {
        Trials::len(self, part)
    }

    fn tell(&self, observer: &mut dyn Observer) {
        observer.event(&Event::Task {
            task: &self.info,
            shape: self.shape,
            dt: self.dt,
            train: self.len(Part::Train),
            validation: self.len(Part::Validation),
            test: self.len(Part::Test),
            fingerprint: &self.fingerprint,
        });
    }

    fn has_decisions(&self) -> Result<bool, TrainError> {
        self.have_decisions()
    }

    fn supply<'s>(
        &'s self,
        config: &'s RunConfig,
        device: &'s OpenDevice,
    ) -> Result<Box<dyn Supply + 's>, TrainError> {
        Ok(Box::new(TrialBatches::new(
            self,
            config.train.batch_size,
            device,
        )))
    }

    fn validate(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<(f64, Option<f64>), TrainError> {
        let mut results = Vec::new();
        let part = Part::Validation;
        run(self, part, network, device, batch, |made, outputs| {
            results.extend(self.config.judge(outputs, made)?);
            Ok(())
        })?;
        let score = self.config.summarise(&results)?;
        Ok((score.mse, score.accuracy()))
    }

    fn evaluate(
        &self,
        trained: Trained<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<TestResult>), TrainError> {
        let network = trained.network()?;
        let (evaluation, shown) =
            evaluate(self, &network, trained.device, trained.batch, observer)?;
        let test = evaluation.trials().map(|scores| TestResult::Trials {
            loss: evaluation.loss,
            scores: scores.clone(),
            example: shown
                .and_then(|shown| TrialExample::new(&self.info, &shown.batch, &shown.outputs)),
        });
        Ok((evaluation, test))
    }
}

impl Supply for TrialBatches<'_> {
    fn epoch(&self, epoch: u64, first: usize, step: &mut Step<'_>) -> Result<(), TrainError> {
        self.run(epoch, first, |batch| step(Box::new(batch)))
    }
}

/// Scores a model file on `count` test trials of its task, `batch` trials at a time. The trials are those that a run with
/// this seed of the data is scored on.
///
/// # Errors
/// [`TrainError::Mismatch`] when the model was not trained on a task, [`TrainError::NonFiniteOutput`] when the network gives
/// NaN or infinity in a trial.
pub fn evaluate_trials(
    file: &ModelFile,
    data_seed: u64,
    count: usize,
    device: &OpenDevice,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    let trials = Trials::of(file, data_seed, count)?;
    on(device, || {
        let network = file.network(device.burn())?;
        Ok(evaluate(&trials, &network, device.burn(), batch, observer)?.0)
    })
}
