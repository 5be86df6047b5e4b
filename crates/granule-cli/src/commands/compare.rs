//! `granule compare`.

use std::io::Write;
use std::path::Path;

use granule::train::record::{Comparison, EpochRow, render_comparison};
use serde::Serialize;

use super::result::{fact, score};
use crate::args;
use crate::failure::Usage;
use crate::output::{self, columns, duration};
use crate::written::OutFile;

/// Rows of a table of curves.
const EPOCHS: usize = 12;

pub fn run(args: &args::Compare) -> anyhow::Result<()> {
    let out = page(args.out.as_deref())?;
    let comparison = Comparison::load(&args.runs)?;
    if let Some(out) = &out {
        let page = render_comparison(&comparison)?;
        out.write(|file| file.write_all(page.as_bytes()))?;
    }
    if args.json {
        return output::json(&Shown {
            comparison: &comparison,
            doubts: comparison.doubts(),
        });
    }
    for text in comparison.doubts() {
        output::warn(&text);
    }
    let mut parts = vec![scores(&comparison), settings(&comparison)];
    let losses: [Curve; 2] = [
        ("validation loss", |row| row.validation_loss),
        ("training loss", |row| Some(row.train_loss)),
    ];
    let accuracies: [Curve; 2] = [
        ("validation accuracy", |row| row.validation_accuracy),
        ("training accuracy", |row| row.train_accuracy),
    ];
    let curve = |curves: [Curve; 2]| curves.into_iter().find_map(|of| curve(&comparison, of));
    parts.extend([curve(losses), curve(accuracies)].into_iter().flatten());
    output::line(&output::printable(&parts.join("\n\n")))?;
    match &args.out {
        Some(out) => {
            output::line("")?;
            fact("page", &out.display().to_string())
        }
        None => Ok(()),
    }
}

/// The file of `--out`, which is to be a page.
pub(super) fn page(out: Option<&Path>) -> anyhow::Result<Option<OutFile>> {
    if let Some(out) = out
        && out.extension().is_none_or(|extension| extension != "html")
    {
        return Err(Usage::new(format!(
            "--out {}: the page is HTML, give a name that ends in .html",
            out.display()
        ))
        .into());
    }
    let out = out.map(|out| OutFile::new(out, "--out"));
    Ok(out.transpose()?)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// What of the runs cannot be compared.
    doubts: Vec<String>,
}

fn scores(comparison: &Comparison) -> String {
    let names = comparison.score_names();
    let mut head = vec!["RUN".to_owned(), "EPOCHS".to_owned()];
    head.extend(names.iter().map(|name| name.to_uppercase()));
    head.extend(["TIME", "DEVICE"].map(str::to_owned));
    let mut rows = vec![head];
    for run in &comparison.runs {
        let mut row = vec![run.name.clone(), run.info.epochs.to_string()];
        row.extend(names.iter().map(|name| {
            let found = run.info.scores.get(name);
            found.map_or("-".to_owned(), |value| score(name, *value))
        }));
        row.extend([duration(run.info.seconds), run.info.device.clone()]);
        rows.push(row);
    }
    columns(&rows)
}

fn settings(comparison: &Comparison) -> String {
    if comparison.settings.is_empty() {
        return "All settings are alike.".to_owned();
    }
    let mut rows = vec![head("SETTING", comparison)];
    for (name, values) in &comparison.settings {
        let values = values
            .iter()
            .map(|value| value.clone().unwrap_or("not set".to_owned()));
        rows.push(std::iter::once(name.clone()).chain(values).collect());
    }
    columns(&rows)
}

/// A quantity of every epoch, by its name.
type Curve = (&'static str, fn(&EpochRow) -> Option<f64>);

/// A table of a quantity over the epochs, if a run has it: the first epoch, the last one of each run, and some between.
fn curve(comparison: &Comparison, (name, value): Curve) -> Option<String> {
    let runs = &comparison.runs;
    let mut has = runs.iter().flat_map(|run| &run.curve);
    has.any(|row| value(row).is_some()).then_some(())?;
    let last = |curve: &Vec<EpochRow>| curve.last().map_or(0, |row| row.epoch);
    let most = runs.iter().map(|run| last(&run.curve)).max().unwrap_or(0);
    let stride = most.div_ceil(EPOCHS as u64).max(1);
    let ends: Vec<u64> = runs.iter().map(|run| last(&run.curve)).collect();
    let mut rows = vec![head(&format!("EPOCH, {name}"), comparison)];
    for epoch in 1..=most {
        if epoch != 1 && epoch % stride != 0 && !ends.contains(&epoch) {
            continue;
        }
        let cells = runs.iter().map(|run| {
            let row = run.curve.iter().find(|row| row.epoch == epoch);
            let kind = name.rsplit(' ').next().unwrap_or_default();
            let found = row.and_then(value);
            found.map_or("-".to_owned(), |found| score(kind, found))
        });
        rows.push(std::iter::once(epoch.to_string()).chain(cells).collect());
    }
    Some(columns(&rows))
}

fn head(first: &str, comparison: &Comparison) -> Vec<String> {
    let names = comparison.runs.iter().map(|run| run.name.clone());
    std::iter::once(first.to_owned()).chain(names).collect()
}
