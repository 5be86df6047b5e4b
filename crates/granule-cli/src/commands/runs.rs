//! `granule runs`.

use std::path::Path;

use granule::train::record::{RunInfo, list_runs};

use super::result::score;
use crate::args;
use crate::failure::Usage;
use crate::output::{self, columns, duration};

pub fn run(args: &args::Runs) -> anyhow::Result<()> {
    let folder = &args.folder;
    if !folder.is_dir() {
        return Err(
            Usage::new(format!("{}: there is no such folder", folder.display()))
                .hint("`granule train` writes its runs under runs/, or where --run-dir says")
                .into(),
        );
    }
    let (runs, unreadable) = list_runs(folder)?;
    for error in &unreadable {
        output::warn(&error.to_string());
    }
    if args.json {
        return runs.iter().try_for_each(output::json);
    }
    if runs.is_empty() {
        output::note(&format!("{} holds no runs", folder.display()));
        return Ok(());
    }
    let head = [
        "RUN", "DATE", "MODEL", "DATA", "EPOCHS", "SCORE", "LOSS", "TIME", "STATE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(runs.iter().map(row));
    output::line(&output::printable(&columns(&rows)))
}

fn row(run: &RunInfo) -> Vec<String> {
    let best = ["accuracy", "bits_per_spike", "r2"]
        .into_iter()
        .find_map(|name| Some(score(name, *run.scores.get(name)?)));
    let loss = run.scores.get("loss");
    vec![
        run.name(),
        date(&run.created),
        run.model.clone(),
        data(&run.dataset),
        run.epochs.to_string(),
        best.unwrap_or_else(dash),
        loss.map_or_else(dash, |loss| score("loss", *loss)),
        duration(run.seconds),
        if run.finished {
            "finished"
        } else {
            "not finished"
        }
        .to_owned(),
    ]
}

fn dash() -> String {
    "-".to_owned()
}

/// `2026-11-21 09:08`.
fn date(created: &str) -> String {
    match created.get(..16) {
        Some(date) => date.replace('T', " "),
        None => dash(),
    }
}

/// The name of a data set; of files that of the last one.
fn data(name: &str) -> String {
    match name.split_once(':') {
        Some((kind @ ("folder" | "arrays" | "idx"), path)) => {
            let last = Path::new(path).file_name().unwrap_or_default();
            format!("{kind}:{}", last.to_string_lossy())
        }
        _ => name.to_owned(),
    }
}
