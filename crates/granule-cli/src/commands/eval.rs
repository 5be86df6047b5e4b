//! `granule eval`.

use std::path::Path;
use std::time::Instant;

use granule::data::arrays::{ArrayOptions, Layout, TargetKind};
use granule::data::{DataError, Dataset, DatasetSpec, ImageOptions, LoadOptions};
use granule::device::{DeviceSpec, OpenDevice};
use granule::io::image::{Channels, ImageError, Size};
use granule::models::{InputShape, ModelFile, Task};
use granule::train::{
    DataConfig, Evaluation, Event, Observer, RunConfig, TrainError, TrialsConfig, compare,
    evaluate, evaluate_recording, evaluate_trials, test_samples,
};

use super::predict::resizing;
use super::result::{ResultLine, fact, pace, show};
use super::target::{Target, open};
use crate::args;
use crate::config::{data_dir, of_evaluation};
use crate::failure::{Hinted, Usage};
use crate::output;
use crate::progress::{Style, Watcher};
use crate::verbose;

pub fn run(args: &args::Eval) -> anyhow::Result<()> {
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    verbose::phase("model read");
    let config = target.config();
    let reading = of_evaluation(config.as_ref(), &args.set)?;
    let own_data = match &file.task {
        Task::Trials { .. } => Some("trials of a task"),
        Task::Recording { .. } => Some("the recording that it was fitted to"),
        _ => None,
    };
    if let (Some(data), Some(text)) = (own_data, args.set.first()) {
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
    let spec = match &args.dataset {
        Some(spec) => spec.clone(),
        None => trained_on(&file, trained.map(|data| &data.dataset))?,
    };
    of_use(args, &spec)?;
    let is_recording = matches!(spec, DatasetSpec::Recording(_));
    if is_recording && reading.decoding.is_none() {
        return Err(Usage::new(
            "a model file alone does not say which arrays of a recording it decodes",
        )
        .hint(
            "give the run folder, whose config.toml names them, or --set data.decoding.signal=NAME and the like",
        )
        .into());
    }
    let data_seed = trained.map_or(file.provenance.data_seed, |data| data.seed);
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;

    let mut watcher = Watcher::new(Style::choose(false, args.json), None);
    // Of other data there are no parts that the model has not learnt from.
    let parted = trained.filter(|_| args.dataset.is_none());
    let mut options = LoadOptions {
        data_dir: data_dir(
            args.source.folder.data_dir.as_deref(),
            trained.and_then(|data| data.data_dir.as_deref()),
        ),
        offline: args.source.offline,
        seed: data_seed,
        images: ImageOptions {
            truncated: reading.images().truncated,
            ..images(&file, trained, args)
        },
        arrays: as_trained(&file, trained, args),
        decoding: reading.decoding(),
        fold: parted.map_or(Ok(None), |data| data.fold())?,
        limit_train: parted.and_then(|data| data.limit_train),
        scored: true,
        means: Some(&file.input.mean),
        progress: watcher.progress(),
        ..LoadOptions::default()
    };
    // Another recording need not have the groups or trials by which that of training was divided.
    let cannot = |error: &DataError| match error {
        DataError::Config(error) => ["data.decoding.test_groups", "data.decoding.split"]
            .iter()
            .any(|key| error.field == *key),
        _ => false,
    };
    let other = is_recording && args.dataset.is_some() && args.set.is_empty();
    let first = granule::data::load(&spec, &options);
    let undividable = other && first.as_ref().err().is_some_and(cannot);
    if undividable {
        options.tested = true;
    }
    let mut dataset = match first {
        Ok(dataset) => dataset,
        Err(_) if undividable => load(&spec, &options)?,
        Err(error) => return Err(unreadable(error)),
    };
    let same = dataset.fingerprint == file.provenance.dataset_fingerprint;
    // Whoever says what is tested on means it.
    let divides = |text: &String| {
        let key = text.split('=').next().unwrap_or_default().trim();
        let key = key.strip_prefix("data.decoding.");
        key.is_some_and(|key| ["split", "test", "group", "test_groups"].contains(&key))
    };
    let undivided = (dataset.divided || undividable) && args.dataset.is_some() && !same;
    let undivided = undivided && !(is_recording && args.set.iter().any(divides));
    if undivided && is_recording && !options.tested {
        options.tested = true;
        drop(dataset);
        dataset = load(&spec, &options)?;
    }
    drop(options);
    verbose::data(&dataset.fingerprint);
    for text in &dataset.notes {
        watcher.event(&Event::Note { text });
    }
    let mut part = "test part";
    if undivided {
        if !is_recording {
            dataset = dataset.all_for_test()?;
        }
        part = "all samples";
        let text = format!(
            "it has no test part of its own and is not the set of training: all {} are tested; those among \
             them that the model learnt from would make its scores too good",
            output::counted(dataset.test.len(), "sample")
        );
        watcher.event(&Event::Note { text: &text });
    } else if dataset.divided && same {
        let text = format!(
            "it has no test part of its own: tested are the {} of {} that training held out",
            output::grouped(dataset.test.len()),
            output::counted(dataset.train.len() + dataset.test.len(), "sample")
        );
        watcher.event(&Event::Note { text: &text });
    }
    for warning in &dataset.warnings {
        output::warn(warning);
    }
    if args.dataset.is_none() && !same {
        output::warn(
            "the data set is not the one the model was trained on: its fingerprint differs; where it has no test part of its \
             own, the model may have learnt from samples that are tested here",
        );
    }
    if let Some(limit) = trained.and_then(|data| data.limit_test)
        && (args.dataset.is_none() || same)
        && args.limit_test != Some(limit)
        && limit < dataset.test.len()
    {
        output::note(&format!(
            "the run was tested on {} of the {} test samples (data.limit_test)",
            output::grouped(limit),
            output::grouped(dataset.test.len())
        ));
    }
    if args.limit_test.is_some() {
        let samples = test_samples(&dataset, args.limit_test, data_seed);
        dataset.test = dataset.test.subset(&samples)?;
    }

    let started = Instant::now();
    let mut evaluation = evaluate(&file, &dataset, &device, args.batch_size, &mut watcher)
        .map_err(|error| in_file(error, &target.model))?;
    let seconds = started.elapsed().as_secs_f64();
    let limit = trained.and_then(|data| data.limit_train);
    // Of other data the model has not learnt from the same samples.
    if same {
        compare(
            &mut evaluation,
            &file.task,
            &dataset,
            limit,
            data_seed,
            &mut watcher,
        )?;
    }
    drop(watcher);

    let data = format!("{}, {part}", output::printable(&dataset.name));
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

/// The data set that is tested on.
fn load(spec: &DatasetSpec, options: &LoadOptions<'_>) -> anyhow::Result<Dataset> {
    granule::data::load(spec, options).map_err(unreadable)
}

fn unreadable(error: DataError) -> anyhow::Error {
    match error {
        DataError::Image {
            source: ImageError::Size { .. },
            ..
        } => Hinted::new(error.to_string(), "scale the images with --resize").into(),
        DataError::Config(error) if error.field.starts_with("data.") => {
            Usage::new(error.to_string()).into()
        }
        error => anyhow::Error::from(error),
    }
}

/// Refuses flags that say how other kinds of files are read.
fn of_use(args: &args::Eval, spec: &DatasetSpec) -> Result<(), Usage> {
    let is_folder = matches!(spec, DatasetSpec::Folder(_));
    let is_arrays = matches!(spec, DatasetSpec::Arrays { .. } | DatasetSpec::Idx(_));
    let flags = [
        (
            "--range",
            args.range.is_some(),
            is_arrays,
            "arrays:… and idx:DIR",
        ),
        (
            "--transpose",
            args.transpose.is_some(),
            is_arrays,
            "arrays:… and idx:DIR",
        ),
        ("--resize", args.resize.is_some(), is_folder, "folder:DIR"),
        (
            "--background",
            args.background.is_some(),
            is_folder,
            "folder:DIR",
        ),
    ];
    let sets = |key: &str| {
        let mut texts = args.set.iter();
        texts.any(|text| text.trim_start().starts_with(key))
    };
    let keys = [
        (
            "--set data.decoding",
            sets("data.decoding"),
            matches!(spec, DatasetSpec::Recording(_)),
            "recording:PATH",
        ),
        (
            "--set data.truncated",
            sets("data.truncated"),
            is_folder,
            "folder:DIR",
        ),
    ];
    let flags = flags.into_iter().chain(keys);
    match flags
        .into_iter()
        .find(|(_, given, applies, _)| *given && !applies)
    {
        Some((flag, _, _, kinds)) => Err(Usage::new(format!(
            "{flag} says how {kinds} are read; the data set is {spec}"
        ))),
        None => Ok(()),
    }
}

/// How image files are read: as the model takes them.
fn images(file: &ModelFile, trained: Option<&DataConfig>, args: &args::Eval) -> ImageOptions {
    let trained = trained.map(DataConfig::images).unwrap_or_default();
    let input = &file.input;
    let InputShape::Image {
        channels,
        height,
        width,
    } = input.shape
    else {
        return trained;
    };
    ImageOptions {
        channels: Channels::of_count(channels),
        size: Some(Size { height, width }),
        resize: resizing(input, args.resize),
        background: args.background.unwrap_or(input.background),
        truncated: trained.truncated,
    }
}

/// How arrays are read: as those that the model was trained on, unless a flag says otherwise.
fn as_trained(file: &ModelFile, trained: Option<&DataConfig>, args: &args::Eval) -> ArrayOptions {
    ArrayOptions {
        range: args.range.or(file.input.range),
        layout: matches!(file.input.shape, InputShape::Sequence { .. }).then_some(Layout::Sequence),
        transpose: args
            .transpose
            .unwrap_or_else(|| file.input.transpose || trained.is_some_and(|data| data.transpose)),
        targets: match &file.task {
            Task::Classification { .. } => Some(TargetKind::Classes),
            _ => Some(TargetKind::Values),
        },
    }
}

/// Trials of the task that the model was trained on, made anew.
fn on_trials(
    args: &args::Eval,
    target: &Target,
    file: &ModelFile,
    task: &str,
    trained: Option<&DataConfig>,
) -> anyhow::Result<()> {
    if let Some(dataset) = &args.dataset {
        return Err(Usage::new(format!(
            "the model was trained on trials of {task}, it cannot be tested on {dataset}"
        ))
        .hint("leave --dataset away")
        .into());
    }
    let seed = trained.map_or(file.provenance.data_seed, |data| data.seed);
    let counts = trained.map_or_else(TrialsConfig::default, |data| data.trials);
    let count = args.limit_test.unwrap_or(counts.test);
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
    if let Some(dataset) = &args.dataset {
        return Err(Usage::new(format!(
            "the model was fitted to a recording, it cannot be tested on {dataset}"
        ))
        .hint("leave --dataset away")
        .into());
    }
    if args.limit_test.is_some() {
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

fn trained_on(file: &ModelFile, configured: Option<&DatasetSpec>) -> anyhow::Result<DatasetSpec> {
    if let Some(spec) = configured {
        return Ok(spec.clone());
    }
    let name = &file.provenance.dataset;
    let refused = |why: &str, hint: String| {
        Usage::new(format!("the model was trained on {name:?}, {why}")).hint(hint)
    };
    match name.parse() {
        // A file that came from elsewhere must not choose what is read here.
        Ok(DatasetSpec::Folder(_) | DatasetSpec::Arrays { .. } | DatasetSpec::Recording(_)) => {
            Err(refused(
                "a place that only the file names",
                format!("if that is what to test on, say so: --dataset '{name}'"),
            )
            .into())
        }
        Ok(spec) => Ok(spec),
        Err(_) => Err(refused(
            "which does not say where the data are",
            "name a data set with --dataset".to_owned(),
        )
        .into()),
    }
}

/// Names the model file where it is what does not fit.
fn in_file(error: TrainError, file: &Path) -> TrainError {
    match error {
        TrainError::Model(error) => TrainError::Model(error.in_file(file)),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_elsewhere_does_not_choose_what_is_read() {
        let mut file = ModelFile {
            model: Default::default(),
            input: granule::models::InputSpec::new(InputShape::Vector { len: 1 }),
            task: Task::Classification {
                classes: vec!["a".into()],
            },
            provenance: Default::default(),
            state: Default::default(),
        };
        file.provenance.dataset = "mnist".into();
        assert_eq!(trained_on(&file, None).unwrap(), DatasetSpec::Mnist);
        for place in ["folder:/home/me/private", "arrays:x.npz", "recording:x"] {
            file.provenance.dataset = place.into();
            let error = trained_on(&file, None).unwrap_err();
            assert!(error.is::<Usage>(), "{error}");
            let own: DatasetSpec = place.parse().unwrap();
            assert_eq!(trained_on(&file, Some(&own)).unwrap(), own);
        }
    }
}
