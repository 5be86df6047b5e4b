//! `granule receptive-fields`.

use std::io::{self, Write};
use std::process::ExitCode;

use granule::train::receptive::{ReceptiveField, ReceptiveFields};
use granule::train::receptive_fields;
use granule::train::record::store_receptive_fields;
use serde::Serialize;

use super::decoder::{Decoder, Facts, decimals};
use super::result::{fact, folded, to_the_right};
use crate::args;
use crate::failure::INTERRUPTED;
use crate::interrupt::Interrupt;
use crate::output::{self, counted};
use crate::written::OutFile;

pub fn run(args: &args::ReceptiveFields) -> anyhow::Result<ExitCode> {
    let csv = args.csv.as_deref();
    let csv = csv.map(|path| OutFile::new(path, "--csv")).transpose()?;
    let interrupt = Interrupt::install()?;
    let mut watcher = Decoder::watcher(
        args.json,
        &interrupt,
        "stopping; the mean of some samples is none",
    );
    let decoder = Decoder::open(&args.decoder, &mut watcher)?;
    interrupt.be_gentle();
    let measured = receptive_fields(
        &decoder.file,
        &decoder.tested.dataset,
        decoder.tested.run,
        decoder.place(),
        &mut watcher,
    );
    let fields = measured.map_err(|error| decoder.named(error))?;
    drop(watcher);
    let Some(fields) = fields else {
        output::note("stopped before every sample was seen; nothing is told of");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if let Some(csv) = &csv {
        csv.write(|file| table(&fields, file))?;
    }
    let page = decoder.keep(false, |run_dir| store_receptive_fields(run_dir, &fields));
    if args.json {
        output::json(&Line {
            event: "result",
            fields: &fields,
            of: decoder.facts(),
        })?;
    } else {
        show(&fields, args.top)?;
        decoder.tell(page.as_deref(), csv.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    fields: &'a ReceptiveFields,
    #[serde(flatten)]
    of: Facts<'a>,
}

/// A line for every output, lag and channel.
fn table(fields: &ReceptiveFields, file: &mut impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(file);
    let mut head = vec!["output", &fields.step, &fields.thing, "slope"];
    head.extend(fields.linear.as_ref().map(|_| "linear"));
    writer.write_record(head)?;
    for field in &fields.fields {
        for (place, slope) in field.model.iter().enumerate() {
            let Some((lag, channel)) = fields.names(place) else {
                continue;
            };
            let (channel, slope) = (channel.to_string(), slope.to_string());
            let weight = field.linear.as_ref().and_then(|linear| linear.get(place));
            let weight = weight.map(f64::to_string);
            let row = [&field.output, lag, &channel, &slope].into_iter();
            writer.write_record(row.chain(weight.as_deref()))?;
        }
    }
    writer.flush()
}

fn show(fields: &ReceptiveFields, top: usize) -> anyhow::Result<()> {
    let ranked = fields.ranked();
    let lags = fields.lags.len() > 1;
    let beside = fields.linear.is_some();
    let mut head = vec!["output", "length", "largest", fields.thing.as_str()];
    head.extend(lags.then_some(fields.step.as_str()));
    head.extend(beside.then_some("linear there"));
    head.extend(beside.then_some("cosine"));
    let row = |field: &&ReceptiveField| {
        let peak = field.peak().unwrap_or(0);
        let (lag, channel) = fields.names(peak).unwrap_or_default();
        let at = |slopes: &[f64]| slopes.get(peak).copied().unwrap_or(f64::NAN);
        let mut row = vec![
            output::printable(&field.output),
            decimals(field.strength()),
            decimals(at(&field.model)),
            channel.to_string(),
        ];
        row.extend(lags.then(|| lag.to_owned()));
        if beside {
            row.push(decimals(field.linear.as_deref().map_or(f64::NAN, at)));
            row.push(decimals(field.cosine.unwrap_or(f64::NAN)));
        }
        row
    };
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(ranked.iter().take(top).map(row));
    output::line(&to_the_right(&rows, 8, 9))?;
    output::line("")?;
    let mut text = format!(
        "slopes of the {} by one standard deviation of a {}, mean of {}",
        fields.answer.name(),
        fields.thing,
        counted(fields.samples, "sample")
    );
    if let Some(linear) = &fields.linear {
        text.push_str(&format!(
            ", beside them the weights of {} with penalty {}",
            linear.name.replace(", ", " on "),
            linear.penalty
        ));
    }
    fact("fields", &folded(&text))?;
    if ranked.len() > top {
        let text = format!(
            "{} below these: --top {}",
            output::grouped(ranked.len() - top),
            ranked.len()
        );
        fact("more", &text)?;
    }
    Ok(())
}
