//! `granule importance`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use granule::device::DeviceSpec;
use granule::models::folder::MODEL_FILE;
use granule::models::{InputShape, ModelFile, Task};
use granule::train::importance::{By, Importance, ImportanceConfig, PartImportance, Spread};
use granule::train::record::{REPORT_HTML, ReportData, store_importance, write_report};
use granule::train::{TrainError, measure_importance};
use serde::Serialize;

use super::eval::in_file;
use super::result::{fact, folded, number, to_the_right};
use super::target::{Target, open};
use super::tested::TestedData;
use crate::args;
use crate::failure::{INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, counted};
use crate::progress::{Style, Watcher};
use crate::written::OutFile;

pub fn run(args: &args::Importance) -> anyhow::Result<ExitCode> {
    let csv = args.csv.as_deref();
    let csv = csv.map(|path| OutFile::new(path, "--csv")).transpose()?;
    let config = ImportanceConfig {
        by: args.by,
        groups: args.group.clone(),
        repeats: args.repeats,
        seed: args.seed,
    };
    config.validate().map_err(|error| usage(error.into()))?;
    let interrupt = Interrupt::install()?;
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    check_kind(&file)?;
    let run_config = target.config();
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;
    let mut watcher = Watcher::new(Style::choose(false, args.json), Some(&interrupt))
        .stopping("stopping; what is whole is told of");
    let images = args::AsImages::default();
    let tested = TestedData::read(
        &args.tested,
        &images,
        (&file, run_config.as_ref()),
        &mut watcher,
    )?;
    interrupt.be_gentle();
    let place = (&device, args.batch_size);
    let measured = measure_importance(
        &file,
        &tested.dataset,
        &config,
        tested.run,
        place,
        &mut watcher,
    );
    let importance = measured.map_err(|error| usage(in_file(error, &target.model)))?;
    drop(watcher);
    let stopped = importance.repeats < config.repeats;
    if importance.repeats == 0 {
        output::note("stopped before every part was shuffled once; nothing is told of");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(csv) = &csv {
        let table = table(&importance);
        csv.write(|file| file.write_all(table.as_bytes()))?;
    }
    let as_trained = tested.run.is_some()
        && args.tested.dataset.is_none()
        && args.tested.set.is_empty()
        && args.tested.limit_test.is_none();
    let page = if as_trained && !stopped {
        target
            .run_dir
            .as_deref()
            .filter(|run_dir| run_dir.join(MODEL_FILE) == target.model)
            .and_then(|run_dir| keep(run_dir, &importance))
    } else {
        None
    };
    if args.json {
        output::json(&Line {
            event: "result",
            importance: &importance,
            data: tested.name(),
            device: device.name(),
            model: target.model.display().to_string(),
        })?;
    } else {
        show(&importance, args.top)?;
        fact("data", &tested.name())?;
        fact("device", device.name())?;
        fact("model", &target.model.display().to_string())?;
        if let Some(page) = &page {
            fact("page", page)?;
        }
        if let Some(csv) = &csv {
            fact("table", &csv.path().display().to_string())?;
        }
    }
    if stopped {
        output::note(&format!(
            "stopped after {} of {}",
            importance.repeats,
            counted(config.repeats, "repeat")
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a model of which nothing can be shuffled.
fn check_kind(file: &ModelFile) -> Result<(), Usage> {
    let hint = "a run on recording:PATH or on arrays of features has channels, lags or features to shuffle";
    let refused = |what: String| Err(Usage::new(what).hint(hint));
    match (&file.task, &file.input.shape) {
        (Task::Trials { task, .. }, _) => refused(format!(
            "the model was trained on trials of {}, whose inputs are not measured here",
            output::printable(task)
        )),
        (Task::Recording { .. }, _) => refused(
            "the model was fitted to a recording as a whole, it decodes no samples of one"
                .to_owned(),
        ),
        (_, shape @ InputShape::Image { .. }) => refused(format!("the model sees images: {shape}")),
        _ => Ok(()),
    }
}

/// What is wrong with a setting, under the name of its flag.
fn usage(error: TrainError) -> anyhow::Error {
    let TrainError::Config(mut error) = error else {
        return error.into();
    };
    let flags = [
        ("by", "--by"),
        ("groups", "--group"),
        ("repeats", "--repeats"),
    ];
    if let Some((_, flag)) = flags.iter().find(|(field, _)| error.field == *field) {
        error.field = (*flag).to_owned();
    }
    Usage::new(error.to_string()).into()
}

/// Keeps it with the run and shows it on its page; the page, where there is one. That it cannot be kept is no failure: it
/// is told of as well.
fn keep(run_dir: &Path, importance: &Importance) -> Option<String> {
    let kept = store_importance(run_dir, importance);
    let written = kept.and_then(|()| write_report(run_dir, &ReportData::load(run_dir)?));
    match written {
        Ok(()) => Some(run_dir.join(REPORT_HTML).display().to_string()),
        Err(error) => {
            output::warn(&format!("the report does not show it: {error}"));
            None
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    importance: &'a Importance,
    data: String,
    device: &'a str,
    model: String,
}

/// A line for every part, in their order.
fn table(importance: &Importance) -> String {
    let head = "drop,drop_sd,loss_rise,loss_rise_sd,linear_drop,linear_drop_sd,alone,constant";
    let mut text = format!("{},{head}\n", importance.thing);
    let cell = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    for part in &importance.parts {
        let both = |spread: Option<Spread>| {
            let deviation = spread.and_then(|spread| spread.deviation);
            [cell(spread.map(|spread| spread.mean)), cell(deviation)].join(",")
        };
        let name = if part.name.contains(',') {
            format!("\"{}\"", part.name)
        } else {
            part.name.clone()
        };
        text.push_str(&format!(
            "{name},{},{},{},{},{}\n",
            both(Some(part.drop)),
            both(Some(part.loss_rise)),
            both(part.linear_drop),
            cell(part.alone),
            part.constant
        ));
    }
    text
}

fn show(importance: &Importance, top: usize) -> anyhow::Result<()> {
    let ranked = match importance.by {
        By::Lag => importance.parts.iter().collect(),
        By::Channel | By::Group => importance.ranked(),
    };
    let most = match importance.by {
        By::Lag => ranked.len(),
        By::Channel | By::Group => top,
    };
    let beside = importance.linear.is_some();
    let alone = importance.parts.iter().any(|part| part.alone.is_some());
    let mut head = vec![importance.thing.as_str(), "drop", "sd", "loss rise"];
    let of_linear = ["drop, linear", "sd"];
    head.extend(of_linear.into_iter().filter(|_| beside));
    head.extend(alone.then_some("alone, linear"));
    let both = |spread: Spread| {
        let deviation = spread.deviation.unwrap_or(f64::NAN);
        [decimals(spread.mean), decimals(deviation)]
    };
    let row = |part: &&PartImportance| {
        let mut row = vec![part.name.clone()];
        row.extend(both(part.drop));
        row.push(decimals(part.loss_rise.mean));
        row.extend(part.linear_drop.into_iter().flat_map(both));
        row.extend(part.alone.map(decimals));
        row
    };
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(ranked.iter().take(most).map(row));
    output::line(&to_the_right(&rows, 8, 9))?;
    output::line("")?;
    let measure = importance.measure.name();
    let mut text = format!("{measure} {} of this model", number(importance.score));
    if let Some(linear) = &importance.linear {
        text.push_str(&format!(
            ", {} of {} with penalty {}",
            number(linear.score),
            linear.name.replace(", ", " on "),
            linear.penalty
        ));
    }
    text.push_str(&format!(
        ", {} shuffled {}",
        counted(importance.samples, "sample"),
        match importance.repeats {
            1 => "once".to_owned(),
            repeats => format!("{repeats} times"),
        }
    ));
    fact("score", &folded(&text))?;
    let left_out = ranked.len().saturating_sub(most);
    let constant = importance.constant();
    if left_out > 0 {
        let text = format!(
            "{} below these: --top {}",
            output::grouped(left_out),
            ranked.len()
        );
        fact("more", &text)?;
    }
    if constant > 0 {
        let text = format!(
            "{} the same in all of these samples, so that shuffling changes nothing",
            match constant {
                1 => format!("1 {} is", importance.thing),
                _ => format!("{} are", counted(constant, &importance.thing)),
            }
        );
        fact("note", &folded(&text))?;
    }
    Ok(())
}

/// Four decimals, whatever the size: drops are on the scale of scores. What rounds to 0 has no sign.
fn decimals(x: f64) -> String {
    match format!("{x:.4}") {
        _ if x.is_nan() => "-".to_owned(),
        zero if zero == "-0.0000" => "0.0000".to_owned(),
        text => text,
    }
}
