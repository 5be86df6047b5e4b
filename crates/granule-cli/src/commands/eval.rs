//! `granule eval`.

use std::path::Path;
use std::time::Instant;

use granule::device::{DeviceSpec, OpenDevice};
use granule::models::{InputShape, ModelFile, Task};
use granule::train::{
    DataConfig, Evaluation, RunConfig, TrainError, TrialsConfig, compare, evaluate,
    evaluate_recording, evaluate_trials,
};

use super::result::{ResultLine, fact, pace, show};
use super::target::{Target, open};
use super::tested::TestedData;
use crate::args;
use crate::failure::Usage;
use crate::output;
use crate::progress::{Style, Watcher};
use crate::verbose;

pub fn run(args: &args::Eval) -> anyhow::Result<()> {
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    verbose::phase("model read");
    let config = target.config();
    let own_data = match &file.task {
        Task::Trials { .. } => Some("trials of a task"),
        Task::Recording { .. } => Some("the recording that it was fitted to"),
        _ => None,
    };
    if let (Some(data), Some(text)) = (own_data, args.tested.set.first()) {
        return Err(Usage::new(format!(
            "--set {text}: the model is tested on {data}, to which it means nothing"
        ))
        .into());
    }
    let trained = config.as_ref().map(|config| &config.data);
    if let Task::Trials { task, .. } = &file.task {
        return on_trials(args, &target, &file, task, trained);
    }
    if let Task::Recording { .. } = &file.task {
        return on_recording(args, &target, &file, config);
    }
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;
    let mut watcher = Watcher::new(Style::choose(false, args.json), None);
    let of_run = (&file, config.as_ref());
    let tested = TestedData::read(&args.tested, &args.images, of_run, &mut watcher)?;
    let dataset = &tested.dataset;

    let started = Instant::now();
    let mut evaluation = evaluate(&file, dataset, &device, args.batch_size, &mut watcher)
        .map_err(|error| in_file(error, &target.model))?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some((limit, data_seed)) = tested.run {
        compare(
            &mut evaluation,
            &file.task,
            dataset,
            limit,
            data_seed,
            &mut watcher,
        )?;
    }
    drop(watcher);

    let data = tested.name();
    tell(
        args,
        &target,
        &file,
        &evaluation,
        &data,
        device.name(),
        seconds,
    )
}

/// Trials of the task that the model was trained on, made anew.
fn on_trials(
    args: &args::Eval,
    target: &Target,
    file: &ModelFile,
    task: &str,
    trained: Option<&DataConfig>,
) -> anyhow::Result<()> {
    if let Some(dataset) = &args.tested.dataset {
        return Err(Usage::new(format!(
            "the model was trained on trials of {task}, it cannot be tested on {dataset}"
        ))
        .hint("leave --dataset away")
        .into());
    }
    let seed = trained.map_or(file.provenance.data_seed, |data| data.seed);
    let counts = trained.map_or_else(TrialsConfig::default, |data| data.trials);
    let count = args.tested.limit_test.unwrap_or(counts.test);
    let data = format!("{}, test trials", output::printable(task));
    score(args, target, file, &data, |device, watcher| {
        evaluate_trials(file, seed, count, device, args.batch_size, watcher)
    })
}

/// The test part of the recording that the model was fitted to.
fn on_recording(
    args: &args::Eval,
    target: &Target,
    file: &ModelFile,
    config: Option<RunConfig>,
) -> anyhow::Result<()> {
    if let Some(dataset) = &args.tested.dataset {
        return Err(Usage::new(format!(
            "the model was fitted to a recording, it cannot be tested on {dataset}"
        ))
        .hint("leave --dataset away")
        .into());
    }
    if args.tested.limit_test.is_some() {
        return Err(Usage::new(
            "--limit-test: a recording is tested on the whole of its test part",
        )
        .into());
    }
    let config = config.ok_or_else(|| {
        Usage::new("a model file alone does not say where its recording is")
            .hint("give the run folder, whose config.toml names the file")
    })?;
    let recording = config.data.recording.as_ref();
    let data = recording.map_or_else(String::new, |recording| {
        format!("{}, test part", recording.file.display())
    });
    score(args, target, file, &data, |device, watcher| {
        evaluate_recording(file, &config, device, args.batch_size, watcher)
    })
}

/// Opens the device, scores the model on it and tells of the result.
fn score(
    args: &args::Eval,
    target: &Target,
    file: &ModelFile,
    data: &str,
    evaluate: impl FnOnce(&OpenDevice, &mut Watcher) -> Result<Evaluation, TrainError>,
) -> anyhow::Result<()> {
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;
    let mut watcher = Watcher::new(Style::choose(false, args.json), None);
    let started = Instant::now();
    let evaluation =
        evaluate(&device, &mut watcher).map_err(|error| in_file(error, &target.model))?;
    let seconds = started.elapsed().as_secs_f64();
    drop(watcher);
    tell(
        args,
        target,
        file,
        &evaluation,
        data,
        device.name(),
        seconds,
    )
}

fn tell(
    args: &args::Eval,
    target: &Target,
    file: &ModelFile,
    evaluation: &Evaluation,
    data: &str,
    device: &str,
    seconds: f64,
) -> anyhow::Result<()> {
    let images_per_second = evaluation.samples as f64 / seconds.max(f64::MIN_POSITIVE);
    if args.json {
        return output::json(&ResultLine {
            epochs: file.provenance.epochs,
            images_per_second,
            seconds,
            ..ResultLine::new(evaluation, device, target.run_dir.as_deref(), &target.model)
        });
    }
    let images = matches!(file.input.shape, InputShape::Image { .. });
    show(evaluation)?;
    fact("data", data)?;
    fact(
        "device",
        &format!(
            "{device}: {}",
            pace(evaluation, images, seconds, images_per_second)
        ),
    )?;
    fact("model", &target.model.display().to_string())
}

/// Names the model file where it is what does not fit.
pub(super) fn in_file(error: TrainError, file: &Path) -> TrainError {
    match error {
        TrainError::Model(error) => TrainError::Model(error.in_file(file)),
        error => error,
    }
}
