//! `granule detect`.

use std::io::Write;

use serde::Serialize;

use granule::data::decoding::{ANOMALIES, Anomaly, Unusual};
use granule::data::{DataError, Dataset, DatasetSpec, LoadOptions};
use granule::device::DeviceSpec;
use granule::models::ModelFile;
use granule::train::detection::{Detection, Detector};
use granule::train::record::render_detection;
use granule::train::{AnomalyDetector, ConfigError, DataConfig, Event, Observer, TrainError};

use super::compare::page;
use super::result::{fact, folded, number, to_the_right};
use super::target::{Target, open};
use crate::args;
use crate::config::{data_dir, of_evaluation};
use crate::failure::Usage;
use crate::output;
use crate::progress::{Style, Watcher};

/// What another recording is called beside the kinds of anomalies.
const OTHER: &str = "recording";

pub fn run(args: &args::Detect) -> anyhow::Result<()> {
    let out = page(args.out.as_deref())?;
    if let Some(other) = &args.dataset
        && !matches!(other, DatasetSpec::Recording(_))
    {
        return Err(Usage::new(format!(
            "--dataset {other}: what is scored is a recording, recording:PATH"
        ))
        .into());
    }
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    let config = target.config().ok_or_else(|| {
        Usage::new("a model file alone does not say which samples were held out of training")
            .hint("give the run folder, whose config.toml says it")
    })?;
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;
    let mut watcher = Watcher::new(Style::choose(false, args.json || args.csv), None);

    let reading = Reading {
        file: &file,
        run: &config.data,
        lesion: args.lesion,
    };
    let normal = reading.normal()?;
    if normal.fingerprint != file.provenance.dataset_fingerprint {
        output::warn(
            "the data set is not the one the model was trained on: its fingerprint differs; the model may have learnt from \
             samples that are tested here",
        );
    }
    let mut detector = AnomalyDetector::new(
        &file,
        &config,
        &normal,
        args.false_alarms,
        (&device, args.batch_size),
        &mut watcher,
    )
    .map_err(usage)?;
    let kinds = match args.anomaly.as_slice() {
        [] => ANOMALIES.iter().collect(),
        named => named.to_vec(),
    };
    for kind in kinds {
        match reading.unusual(kind)? {
            Ok(made) => detector.add(kind.name, &made)?,
            Err(why) if args.anomaly.is_empty() => {
                let text = format!("left out: {why}");
                watcher.event(&Event::Note { text: &text });
            }
            Err(why) => return Err(Usage::new(format!("--anomaly {why}")).into()),
        }
    }
    if args.dataset.is_some() || !args.set.is_empty() {
        let spec = args.dataset.as_ref().unwrap_or(&config.data.dataset);
        // What the run was tested on is not asked for, unless it is named.
        let mut run = config.clone();
        run.data.decoding = run.data.decoding.map(|decoding| decoding.without_test());
        let other = reading.other(spec, &of_evaluation(Some(&run), &args.set)?)?;
        for text in &other.notes {
            watcher.event(&Event::Note { text });
        }
        detector.add(OTHER, &other)?;
    }
    drop(watcher);
    let detection = detector.finish();
    if let Some(out) = &out {
        let page = render_detection(&detection, &normal.name)?;
        out.write(|file| file.write_all(page.as_bytes()))?;
    }
    if args.json {
        return output::json(&Line {
            event: "result",
            detection: &detection,
            device: device.name(),
            model: target.model.display().to_string(),
        });
    }
    if args.csv {
        return table(&detection);
    }
    show(&detection)?;
    fact("data", &output::printable(&normal.name).to_string())?;
    fact("device", device.name())?;
    fact("model", &target.model.display().to_string())?;
    match &args.out {
        Some(out) => fact("page", &out.display().to_string()),
        None => Ok(()),
    }
}

/// How the parts of the recordings are read.
struct Reading<'a> {
    file: &'a ModelFile,
    run: &'a DataConfig,
    lesion: f64,
}

impl Reading<'_> {
    fn options<'o>(&'o self, data: &DataConfig) -> anyhow::Result<LoadOptions<'o>> {
        Ok(LoadOptions {
            data_dir: data_dir(None, data.data_dir.as_deref()),
            offline: true,
            scored: true,
            means: Some(&self.file.input.mean),
            ..data.load_options()?
        })
    }

    fn of_run(&self, unusual: Option<Unusual>) -> anyhow::Result<Dataset> {
        let options = LoadOptions {
            unusual,
            ..self.options(self.run)?
        };
        load(&self.run.dataset, &options)
    }

    fn normal(&self) -> anyhow::Result<Dataset> {
        self.of_run(None)
    }

    /// Activity of this kind, or why it cannot be made.
    fn unusual(&self, kind: &'static Anomaly) -> anyhow::Result<Result<Dataset, DataError>> {
        let lesion = self.lesion;
        match self.of_run(Some(Unusual { kind, lesion })) {
            Ok(made) => Ok(Ok(made)),
            Err(error) => match error.downcast::<DataError>() {
                Ok(why @ DataError::Unmade { .. }) => Ok(Err(why)),
                Ok(error) => Err(error.into()),
                Err(error) => Err(error),
            },
        }
    }

    /// All of a recording that has no test part of its own.
    fn other(&self, spec: &DatasetSpec, data: &DataConfig) -> anyhow::Result<Dataset> {
        let options = LoadOptions {
            seed: self.run.seed,
            fold: None,
            limit_train: None,
            tested: true,
            ..self.options(data)?
        };
        load(spec, &options)
    }
}

fn load(spec: &DatasetSpec, options: &LoadOptions<'_>) -> anyhow::Result<Dataset> {
    granule::data::load(spec, options).map_err(|error| match error {
        DataError::Config(error) => flag(error).into(),
        error => error.into(),
    })
}

fn usage(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Config(error) => {
            let hint = match error.field.as_str() {
                "data.decoding.reconstruct" => Some(
                    "`granule train detect-anomalies --dataset recording:DIR` trains a model that does",
                ),
                "data.validation" => Some("train with `--validation 0.2`"),
                _ => None,
            };
            let usage = flag(error);
            match hint {
                Some(hint) => usage.hint(hint).into(),
                None => usage.into(),
            }
        }
        error => error.into(),
    }
}

/// What is wrong with a setting, under the name of its flag.
fn flag(mut error: ConfigError) -> Usage {
    let flags = [("false_alarms", "--false-alarms"), ("lesion", "--lesion")];
    if let Some((_, flag)) = flags.iter().find(|(field, _)| error.field == *field) {
        error.field = (*flag).to_owned();
    }
    Usage::new(error.to_string())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    detection: &'a Detection,
    device: &'a str,
    model: String,
}

/// A line for every sample.
fn table(detection: &Detection) -> anyhow::Result<()> {
    let model = detection.detectors.first();
    let threshold = model.map_or(f64::NAN, |model| model.threshold);
    output::line("part,sample,score,unusual")?;
    for part in &detection.scores {
        for (sample, score) in part.scores.iter().enumerate() {
            let unusual = *score > threshold;
            output::line(&format!("{},{sample},{score},{unusual}", part.name))?;
        }
    }
    Ok(())
}

fn show(detection: &Detection) -> anyhow::Result<()> {
    let kinds = |first: &[&str]| -> Vec<String> {
        let unusual = detection.detectors.first().map(|model| &model.unusual);
        let kinds = unusual.into_iter().flatten().map(|kind| kind.name.clone());
        let first = first.iter().map(|&head| head.to_owned());
        first.chain(kinds).collect()
    };
    let rows = |head: Vec<String>, row: &dyn Fn(&Detector) -> Vec<String>| {
        let rows = detection.detectors.iter().map(|detector| {
            let name = std::iter::once(detector.name.clone());
            name.chain(row(detector)).collect()
        });
        let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        to_the_right(&all, 20, 10)
    };
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    output::line(&rows(kinds(&["AUROC"]), &|detector| {
        let all = detector.unusual.iter();
        all.map(|kind| number(kind.auroc)).collect()
    }))?;
    output::line("")?;
    output::line(&rows(kinds(&["above threshold", "normal"]), &|detector| {
        let unusual = detector.unusual.iter().map(|kind| kind.detected);
        let all = std::iter::once(detector.false_alarms).chain(unusual);
        all.map(percent).collect()
    }))?;
    output::line("")?;
    let Some(model) = detection.detectors.first() else {
        return Ok(());
    };
    let text = format!(
        "threshold {:.4}, which at most {} of {} held out of training exceed, {} tested",
        model.threshold,
        percent(detection.false_alarms),
        output::counted(detection.held_out, "sample"),
        output::counted(detection.normal, "normal sample"),
    );
    fact("score", &folded(&text))?;
    let drift: Vec<String> = model.drift.iter().map(|&mean| number(mean)).collect();
    let text = format!(
        "mean score of the normal samples by tenths of the recording, {}",
        drift.join(" ")
    );
    fact("drift", &folded(&text))
}
