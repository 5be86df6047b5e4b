//! `granule importance`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use granule::train::importance::{By, Importance, ImportanceConfig, PartImportance, Spread};
use granule::train::record::store_importance;
use granule::train::{TrainError, measure_importance};
use serde::Serialize;

use super::decoder::{Decoder, Facts, decimals};
use super::result::{fact, folded, number, to_the_right};
use crate::args;
use crate::failure::{INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, counted};
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
    let mut watcher = Decoder::watcher(args.json, &interrupt, "stopping; what is whole is told of");
    let decoder = Decoder::open(&args.decoder, &mut watcher)?;
    interrupt.be_gentle();
    let measured = measure_importance(
        &decoder.file,
        &decoder.tested.dataset,
        &config,
        decoder.tested.run,
        decoder.place(),
        &mut watcher,
    );
    let importance = measured.map_err(|error| usage(decoder.named(error)))?;
    drop(watcher);
    let stopped = importance.repeats < config.repeats;
    if importance.repeats == 0 {
        output::note("stopped before every part was shuffled once; nothing is told of");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(csv) = &csv {
        csv.write(|file| table(&importance, file))?;
    }
    let keep = |run_dir: &Path| store_importance(run_dir, &importance);
    let page = decoder.keep(stopped, keep);
    if args.json {
        output::json(&Line {
            event: "result",
            importance: &importance,
            of: decoder.facts(),
        })?;
    } else {
        show(&importance, args.top)?;
        decoder.tell(page.as_deref(), csv.as_ref())?;
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

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    importance: &'a Importance,
    #[serde(flatten)]
    of: Facts<'a>,
}

/// A line for every part, in their order.
fn table(importance: &Importance, file: &mut impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(file);
    let cell = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    writer.write_record([
        &importance.thing,
        "drop",
        "drop_sd",
        "loss_rise",
        "loss_rise_sd",
        "linear_drop",
        "linear_drop_sd",
        "alone",
        "constant",
    ])?;
    for part in &importance.parts {
        let both = |spread: Option<Spread>| {
            let deviation = spread.and_then(|spread| spread.deviation);
            [cell(spread.map(|spread| spread.mean)), cell(deviation)]
        };
        let spreads = [Some(part.drop), Some(part.loss_rise), part.linear_drop];
        let last = [cell(part.alone), part.constant.to_string()];
        let row = std::iter::once(part.name.clone()).chain(spreads.into_iter().flat_map(both));
        writer.write_record(row.chain(last))?;
    }
    writer.flush()
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
