//! `granule train --seeds N` and `--folds K`.

use std::path::PathBuf;
use std::process::ExitCode;

use granule::models::folder::CONFIG_FILE;
use granule::train::{Evaluation, Outcome, RunConfig, Scores, resume_as, train};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::train::{in_configuration, interrupted, result_line};
use crate::args;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::output::{self, columns, counted, note};
use crate::progress::{Style, Watcher};

/// What differs from run to run.
#[derive(Clone, Copy)]
pub enum Varied {
    /// So many seeds, from that of the configuration on.
    Seeds(usize),
    /// Each of so many parts of the samples is tested on once.
    Folds(usize),
}

impl Varied {
    /// What one is called; several are the event of `--json`.
    fn one(self) -> &'static str {
        match self {
            Self::Seeds(_) => "seed",
            Self::Folds(_) => "fold",
        }
    }

    /// The configurations, each with its number.
    fn configs(self, first: &RunConfig) -> Result<Vec<(u64, RunConfig)>, Usage> {
        match self {
            Self::Seeds(count) => {
                let last = first.seed.checked_add(count.saturating_sub(1) as u64);
                let Some(last) = last.filter(|last| i64::try_from(*last).is_ok()) else {
                    let seed = first.seed;
                    return Err(Usage::new(format!(
                        "there are no {count} seeds from {seed} on"
                    )));
                };
                let of = |seed| RunConfig {
                    seed,
                    ..first.clone()
                };
                Ok((first.seed..=last).map(|seed| (seed, of(seed))).collect())
            }
            Self::Folds(count) => {
                if first.data.task.is_some() || first.data.recording.is_some() {
                    return Err(Usage::new(format!(
                        "--folds {count} divides the samples of a data set, and there is none"
                    ))
                    .hint("--seeds N tells how far runs differ"));
                }
                if let Some([index, of]) = first.data.fold {
                    return Err(Usage::new(format!(
                        "data.fold = [{index}, {of}] is one part of a cross-validation, --folds {count} is all of one; \
                         leave one of them out"
                    )));
                }
                let of = |index| {
                    let mut config = first.clone();
                    config.data.fold = Some([index, count]);
                    (index as u64, config)
                };
                Ok((1..=count).map(of).collect())
            }
        }
    }
}

/// One run of several.
struct Run {
    number: u64,
    scores: Vec<(&'static str, f64)>,
    dir: PathBuf,
}

impl Run {
    /// A score that there is: not the R² of a single sample, nor bits per spike of none.
    fn score(&self, name: &str) -> Option<f64> {
        let found = self.scores.iter().find(|(own, _)| *own == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| value.is_finite())
    }
}

/// Trains once for each, one after the other.
pub fn run(
    args: &args::Train,
    first: &RunConfig,
    varied: Varied,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let style = Style::choose(args.json, args.quiet);
    let configs = varied.configs(first)?;
    if matches!(varied, Varied::Folds(_)) && first.start.is_some() {
        output::warn(
            "if the weights of --from have learnt from these data, they know what is tested here, and scores are too good",
        );
    }
    let mut runs = Vec::with_capacity(configs.len());
    for (number, config) in configs {
        let dir = args
            .run_dir
            .as_ref()
            .map(|dir| dir.join(format!("{}-{number}", varied.one())));
        let mut watcher = Watcher::new(style, Some(interrupt));
        // Of a series that was interrupted, what is there is gone on with.
        let begun = dir.as_ref().filter(|dir| dir.join(CONFIG_FILE).is_file());
        let outcome = match begun {
            Some(dir) => resume_as(dir, &config, &mut watcher, &interrupt.stop),
            None => train(&config, dir.as_deref(), &mut watcher, &interrupt.stop),
        };
        drop(watcher);
        if matches!(style, Style::Bar | Style::Lines) {
            note("");
        }
        let outcome = match outcome {
            Ok(outcome) if !outcome.interrupted => outcome,
            stopped => {
                show(varied, &runs, args.json)?;
                let outcome = stopped.map_err(in_configuration)?;
                let code = interrupted(&outcome);
                if args.run_dir.is_some() {
                    let several = format!("{}s", varied.one());
                    note(&format!(
                        "or give the same command again, which goes on with all {several}"
                    ));
                }
                return Ok(code);
            }
        };
        if args.json {
            result_line(&outcome)?;
        }
        runs.push(Run {
            number,
            scores: scores(&outcome),
            dir: outcome.run_dir,
        });
    }
    show(varied, &runs, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// What a run is told by, the same for every run of one configuration.
fn scores(outcome: &Outcome) -> Vec<(&'static str, f64)> {
    let Some(evaluation) = &outcome.evaluation else {
        return Vec::new();
    };
    let Evaluation { loss, scores, .. } = evaluation;
    let accuracy = || evaluation.accuracy().map(|accuracy| ("accuracy", accuracy));
    match scores {
        Scores::Classification(classes) => vec![
            ("accuracy", classes.accuracy),
            ("macro F1", classes.macro_f1),
            ("loss", *loss),
        ],
        Scores::Regression(values) if let Some(bits) = values.bits_per_spike => vec![
            ("bits/spike", bits),
            ("R²", values.mean.r2),
            ("loss", *loss),
        ],
        Scores::Regression(values) => vec![
            ("R²", values.mean.r2),
            ("MAE", values.mean.mae),
            ("loss", *loss),
        ],
        Scores::Recording(recording) => {
            let r2 = recording.r2().map(|r2| ("R²", r2));
            r2.into_iter().chain([("loss", *loss)]).collect()
        }
        Scores::Named(_) => vec![("loss", *loss)],
        Scores::Trials(_) => accuracy().into_iter().chain([("MSE", *loss)]).collect(),
    }
}

/// Mean and standard deviation (with n − 1) of one score over runs; one run has no spread.
#[derive(Debug, PartialEq, Serialize)]
struct Summary {
    mean: f64,
    spread: Option<f64>,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean,
            spread: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        }
    }
}

/// Every score with its mean and spread.
fn summaries(runs: &[Run]) -> Vec<(&'static str, Summary)> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let of = |(name, _): &(&'static str, f64)| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.score(name)).collect();
        (*name, Summary::of(&values))
    };
    first.scores.iter().map(of).collect()
}

fn show(varied: Varied, runs: &[Run], json: bool) -> anyhow::Result<()> {
    let summaries = summaries(runs);
    if summaries.is_empty() {
        return Ok(());
    }
    if json {
        let scores: Map<String, Value> = summaries
            .into_iter()
            .map(|(name, summary)| (key(name), json!(summary)))
            .collect();
        let numbers: Vec<u64> = runs.iter().map(|run| run.number).collect();
        let several = format!("{}s", varied.one());
        return output::event(
            &several,
            json!({ (several.clone()): numbers, "scores": scores }),
        );
    }
    output::line(&table(varied.one(), runs, &summaries))?;
    output::line(&format!(
        "\nspread: the standard deviation over {}",
        counted(runs.len(), "run")
    ))
}

/// A score's name as a key of JSON.
fn key(name: &str) -> String {
    match name {
        "R²" => "r2".to_owned(),
        "bits/spike" => "bits_per_spike".to_owned(),
        name => name.to_lowercase().replace(' ', "_"),
    }
}

fn table(one: &str, runs: &[Run], summaries: &[(&'static str, Summary)]) -> String {
    let row = |label: String, values: Vec<Option<f64>>, dir: String| {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let cells = values.into_iter().map(number);
        std::iter::once(label).chain(cells).chain([dir]).collect()
    };
    let names = summaries.iter().map(|(name, _)| (*name).to_owned());
    let head = std::iter::once(one.to_owned()).chain(names);
    let mut rows: Vec<Vec<String>> = vec![head.chain(["run".to_owned()]).collect()];
    rows.extend(runs.iter().map(|run| {
        let values = summaries.iter().map(|(name, _)| run.score(name)).collect();
        row(
            run.number.to_string(),
            values,
            run.dir.display().to_string(),
        )
    }));
    let means = summaries.iter().map(|(_, summary)| Some(summary.mean));
    rows.push(row("mean".to_owned(), means.collect(), String::new()));
    let spreads = summaries.iter().map(|(_, summary)| summary.spread);
    rows.push(row("spread".to_owned(), spreads.collect(), String::new()));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_a_sample() {
        let summary = Summary::of(&[0.9, 0.94, 0.95]);
        assert!((summary.mean - 0.93).abs() < 1e-12);
        assert!((summary.spread.unwrap() - 0.026_457_513).abs() < 1e-8);
        let alone = Summary {
            mean: 0.9,
            spread: None,
        };
        assert_eq!(Summary::of(&[0.9]), alone);
    }

    #[test]
    fn a_table_has_a_row_for_each_run_and_two_more() {
        let run = |number: u64, accuracy: f64| Run {
            number,
            scores: vec![("accuracy", accuracy), ("macro F1", accuracy)],
            dir: PathBuf::from(format!("runs/seed-{number}")),
        };
        let runs = [run(3, 0.9), run(4, 1.0)];
        let text = table("seed", &runs, &summaries(&runs));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["3", "0.9000", "0.9000", "runs/seed-3"]);
        assert_eq!(lines[3], ["mean", "0.9500", "0.9500"]);
        assert_eq!(lines[4], ["spread", "0.0707", "0.0707"]);
        assert_eq!(key("macro F1"), "macro_f1");
    }
}
