//! Scoring a model of several levels on a recording.

use burn::tensor::Device;
use granule_data::task::Part;
use granule_device::OpenDevice;
use granule_dynamics::composite::Trained;
use granule_models::state::load_state_dict;
use granule_models::{ModelConfig, ModelFile, MultiGranularity, Network, StateDict};

use super::on;
use crate::config::RunConfig;
use crate::engine::problem::{Problem, Source};
use crate::engine::score::describe;
use crate::error::{ConfigError, TrainError};
use crate::event::{Event, Observer};
use crate::outcome::{Evaluation, RecordingScores, Scores, TrainedValues};
use crate::recording::Recorded;

/// The levels of a network that was made for a recording.
pub(super) fn levels(network: &Network) -> Result<&MultiGranularity, TrainError> {
    network.get().ok_or_else(|| {
        let allowed = "\"multi-granularity\" with data.recording";
        ConfigError::new("model.kind", "this", allowed).into()
    })
}

/// The scores of `model` with the weights `state` on the test part, what training made of its parameters, and what it shows
/// in the first test trial, `[samples from the beginning, columns]`.
pub(super) fn evaluate(
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
    let text = |(before, after): (Trained, Trained)| {
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

/// The score on the validation part.
pub(super) fn validate(
    recorded: &Recorded,
    network: &Network,
    device: &Device,
    batch: usize,
) -> Result<RecordingScores, TrainError> {
    let (scores, _) = recorded.score(levels(network)?, Part::Validation, device, batch)?;
    Ok(scores)
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
    let problem = Problem::new(&config, None, device.burn())?;
    let Source::Recording(recorded) = &problem.source else {
        return Err(TrainError::Mismatch {
            expected: "a recording".to_owned(),
            found: problem.name(),
        });
    };
    if problem.task != file.task {
        return Err(TrainError::Mismatch {
            expected: describe(&file.task),
            found: describe(&problem.task),
        });
    }
    if problem.input != file.input {
        return Err(TrainError::Mismatch {
            expected: file.input.shape.to_string(),
            found: problem.input.shape.to_string(),
        });
    }
    let mut warnings = recorded.warnings.clone();
    if problem.fingerprint() != file.provenance.dataset_fingerprint {
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
        Ok(evaluate(recorded, model, device.burn(), batch, observer)?.0)
    })
}
