//! Scoring a model of several levels on a recording.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use granule_data::task::Part;
use granule_device::OpenDevice;
use granule_dynamics::composite::Trained as TrainedParameter;
use granule_dynamics::gradient::RecordedSteps;
use granule_models::state::load_state_dict;
use granule_models::{InputSpec, ModelConfig, ModelFile, MultiGranularity, Network, StateDict};

use super::opened::on;
use crate::config::RunConfig;
use crate::engine::problem::recorded;
use crate::engine::source::{Source, Step, Supply, Trained};
use crate::engine::test_part::{other_input, other_task};
use crate::engine::work::{BatchContext, Contribution, Work};
use crate::event::{Event, Observer};
use crate::loss::Tally;
use crate::optimizer::Gradient;
use crate::outcome::{Evaluation, Scores, TrainedValues};
use crate::record::{TestResult, TrialExample};
use crate::recording::Recorded;
use crate::{ConfigError, TrainError};

/// The levels of a network that was made for a recording.
fn levels(network: &Network) -> Result<&MultiGranularity, TrainError> {
    network.get().ok_or_else(|| {
        let allowed = "\"multi-granularity\" with data.recording";
        ConfigError::new("model.kind", "this", allowed).into()
    })
}

/// The scores of `model` with the weights `state` on the test part, what training made of its parameters, and what it shows
/// in the first test trial, `[samples from the beginning, columns]`.
fn evaluate(
    recorded: &Recorded,
    (model, state): (&ModelConfig, &StateDict),
    device: &Device,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<(Evaluation, Vec<f32>), TrainError> {
    let (input, outputs) = (recorded.input(), recorded.task().outputs());
    // Only on a device with autodiff do parameters say whether they are trainable.
    let taped = device.clone().autodiff();
    let before = model.init(&input, outputs, 0, &taped)?;
    let after = load_state_dict(before.clone(), state)?;
    let network = burn::module::Module::valid(&after);
    let (mut scores, shown) = recorded.score(levels(&network)?, Part::Test, device, batch)?;
    scores.trained = trained(levels(&before)?, levels(&after)?)?;
    let ends = at_their_ends(levels(&before)?, levels(&after)?)?;
    for text in recorded.doubts(&scores).iter().chain(&ends) {
        observer.event(&Event::Warning { text });
    }
    let samples = recorded.len(Part::Test);
    observer.event(&Event::Evaluated {
        done: samples,
        total: samples,
    });
    let evaluation = Evaluation {
        loss: scores.loss,
        samples,
        scores: Scores::Recording(scores),
    };
    Ok((evaluation, shown))
}

fn trained(
    before: &MultiGranularity,
    after: &MultiGranularity,
) -> Result<Vec<TrainedValues>, TrainError> {
    let pairs = before
        .model
        .trained()?
        .into_iter()
        .zip(after.model.trained()?);
    let first = |mut values: Vec<f64>| {
        values.truncate(TrainedValues::MOST);
        values
    };
    Ok(pairs
        .filter(|(before, after)| before.values != after.values)
        .map(|(before, after)| TrainedValues {
            name: before.name,
            count: before.values.len(),
            before: first(before.values),
            after: first(after.values),
        })
        .collect())
}

/// Says which parameters training has moved to the end of what they may be.
fn at_their_ends(
    before: &MultiGranularity,
    after: &MultiGranularity,
) -> Result<Vec<String>, TrainError> {
    let after = after.model.trained()?;
    let pairs = before.model.trained()?.into_iter().zip(after);
    let text = |(before, after): (TrainedParameter, TrainedParameter)| {
        let values = before.values.iter().zip(&after.values);
        let mut reached =
            values.filter_map(|(old, new)| Some((*new, after.bounds.reached(*old, *new)?)));
        let (value, end) = reached.next()?;
        let more = match reached.count() {
            0 => String::new(),
            others => format!(", and {others} more of its values at theirs"),
        };
        Some(format!(
            "{} ends against its bound: {value:.4} at {end}{more}; the recording may not determine it, or asks for wider `bounds`",
            after.name
        ))
    };
    Ok(pairs.filter_map(text).collect())
}

impl Source for Recorded {
    fn name(&self) -> String {
        Recorded::name(self)
    }

    fn fingerprint(&self) -> &str {
        Recorded::fingerprint(self)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn len(&self, part: Part) -> usize {
        Recorded::len(self, part)
    }

    fn tell(&self, observer: &mut dyn Observer) {
        let quantities: Vec<(String, usize)> = self
            .quantities()
            .map(|quantity| (quantity.name.clone(), quantity.columns))
            .collect();
        observer.event(&Event::Recording {
            path: self.path(),
            quantities: &quantities,
            samples: self.samples(),
            interval: self.interval(),
            trials: self.trials(),
            train: self.len(Part::Train),
            validation: self.len(Part::Validation),
            test: self.len(Part::Test),
            fingerprint: self.fingerprint(),
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
        Ok(Box::new(TrialsOf {
            recorded: self,
            config,
            steps: Mutex::default(),
        }))
    }

    fn validate(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<(f64, Option<f64>), TrainError> {
        let (scores, _) = self.score(levels(network)?, Part::Validation, device, batch)?;
        Ok((scores.loss, None))
    }

    fn evaluate(
        &self,
        trained: Trained<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<TestResult>), TrainError> {
        let model = (trained.model, trained.state);
        let (evaluation, shown) = evaluate(self, model, trained.device, trained.batch, observer)?;
        let test = evaluation.recording().map(|scores| TestResult::Recording {
            loss: evaluation.loss,
            scores: scores.clone(),
            example: TrialExample::recorded(self, &shown),
        });
        Ok((evaluation, test))
    }
}

/// The trials of a recording, batch by batch.
struct TrialsOf<'a> {
    recorded: &'a Recorded,
    config: &'a RunConfig,
    /// What one batch leaves for the next.
    steps: Mutex<RecordedSteps>,
}

impl Supply for TrialsOf<'_> {
    fn epoch(&self, epoch: u64, first: usize, step: &mut Step<'_>) -> Result<(), TrainError> {
        let (size, seed) = (self.config.train.batch_size, self.config.seed);
        for trials in self.recorded.batches(epoch, first, size, seed) {
            let (recorded, steps) = (self.recorded, &self.steps);
            let fit = Fit {
                recorded,
                trials,
                steps,
            };
            if step(Box::new(fit))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Trials of a recording that a model of several levels is fitted to.
struct Fit<'a> {
    recorded: &'a Recorded,
    trials: Vec<usize>,
    steps: &'a Mutex<RecordedSteps>,
}

impl Work for Fit<'_> {
    fn contribution(
        self: Box<Self>,
        context: BatchContext<'_>,
        network: &Network,
    ) -> Result<Contribution, TrainError> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let backward = self.recorded.gradient(
            levels(network)?,
            context.turn,
            &self.trials,
            (context.memory, &mut steps),
            context.train_device,
        )?;
        let samples = self.trials.len();
        let gradient = Gradient::of(backward.parameters, network, context.device.is_host())?;
        let tally = Tally {
            loss: backward.loss * samples as f64,
            correct: 0,
        };
        Ok(Contribution::read(gradient, samples, tally))
    }
}

/// Scores a model file on the test part of a recording: the one, divided as, in `config`.
///
/// # Errors
/// [`TrainError::Mismatch`] when the model was not fitted to a recording of this form, [`TrainError::Dynamics`] when it
/// cannot be run.
pub fn evaluate_recording(
    file: &ModelFile,
    config: &RunConfig,
    device: &OpenDevice,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    let mut config = config.clone();
    config.model = file.model.clone();
    let Some(recording) = &config.data.recording else {
        return Err(TrainError::Mismatch {
            expected: "a recording".to_owned(),
            found: config.data.dataset.to_string(),
        });
    };
    let recorded = recorded(&config, recording, device.burn())?;
    let (task, input) = (recorded.task(), InputSpec::new(recorded.input()));
    if task != file.task {
        return Err(other_task(file, &task));
    }
    if input != file.input {
        return Err(other_input(file, &input.shape));
    }
    let mut warnings = recorded.warnings.clone();
    if recorded.fingerprint() != file.provenance.dataset_fingerprint {
        warnings.push(format!(
            "{} is not what the model was fitted to: its fingerprint differs",
            recorded.path().display()
        ));
    }
    for text in &warnings {
        observer.event(&Event::Warning { text });
    }
    let model = (&file.model, &file.state);
    on(device, || {
        Ok(evaluate(&recorded, model, device.burn(), batch, observer)?.0)
    })
}
