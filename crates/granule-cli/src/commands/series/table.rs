//! The scores of several runs.

use std::path::PathBuf;

use granule::train::importance::Spread;
use granule::train::metrics::PairedTest;
use granule::train::{Evaluation, Outcome, Scores};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::output::{self, columns, counted};
use crate::written::OutFile;

/// One run of several.
pub struct Run {
    number: Option<u64>,
    scores: Vec<(&'static str, f64)>,
    dir: PathBuf,
}

impl Run {
    /// `number` is that of the seed or the fold.
    pub fn new(number: Option<u64>, outcome: &Outcome) -> Self {
        Self {
            number,
            scores: scores(outcome),
            dir: outcome.run_dir.clone(),
        }
    }

    /// Its first score in words.
    pub fn first(&self) -> String {
        let first = self.scores.first().filter(|(_, value)| value.is_finite());
        first.map_or("done".to_owned(), |(name, value)| {
            format!("{name} {value:.4}")
        })
    }

    /// A score that there is: not the R² of a single sample, nor bits per spike of none.
    fn score(&self, name: &str) -> Option<f64> {
        let found = self.scores.iter().find(|(own, _)| *own == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| value.is_finite())
    }
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
            (
                "balanced accuracy",
                classes.report.shares().balanced_accuracy,
            ),
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Summary {
    mean: f64,
    spread: Option<f64>,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let Spread { mean, deviation } = Spread::of(values);
        let spread = deviation;
        Self { mean, spread }
    }
}

/// The runs of one value, or all of them.
struct Group {
    value: Option<String>,
    runs: Vec<Run>,
}

impl Group {
    fn summary(&self, name: &str) -> Summary {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| run.score(name)).collect();
        Summary::of(&values)
    }
}

/// What was trained so far.
pub struct Table<'a> {
    /// What each group has another value of.
    key: Option<&'a str>,
    /// What the runs of a group differ in.
    one: Option<&'static str>,
    /// What each of them is tested on, of what it learns from, where they learn from much the same.
    overlap: f64,
    groups: Vec<Group>,
}

impl<'a> Table<'a> {
    pub fn new(key: Option<&'a str>, one: Option<&'static str>, overlap: f64) -> Self {
        Self {
            key,
            one,
            overlap,
            groups: Vec::new(),
        }
    }

    pub fn push(&mut self, value: Option<String>, run: Run) {
        match self.groups.last_mut().filter(|group| group.value == value) {
            Some(group) => group.runs.push(run),
            None => self.groups.push(Group {
                value,
                runs: vec![run],
            }),
        }
    }

    /// What the runs are, of which there are several.
    pub fn several(&self) -> String {
        match (self.key, self.one) {
            (None, Some(one)) => format!("{one}s"),
            _ => "values".to_owned(),
        }
    }

    /// The names of the scores; runs of different losses or models may have different ones.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let runs = self.groups.iter().flat_map(|group| &group.runs);
        for (name, _) in runs.flat_map(|run| &run.scores) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    /// Prints it, or its event; nothing where there are no runs.
    pub fn show(&self, json: bool) -> anyhow::Result<()> {
        if self.names().is_empty() {
            return Ok(());
        }
        if json {
            let (event, fields) = self.event();
            return output::event(&event, fields);
        }
        output::line(&self.text())?;
        let paired = self.paired();
        if let (Some(name), Some(one), Some(first)) =
            (self.names().first(), self.one, self.groups.first())
            && !paired.is_empty()
        {
            output::line(&format!(
                "\n{name} beside that of {}, paired by {one} (t-test, two-sided):",
                first.value.as_deref().unwrap_or_default()
            ))?;
            let row = |(value, test): &(&str, PairedTest)| {
                let PairedTest {
                    difference,
                    t,
                    degrees,
                    p_value,
                } = test;
                vec![
                    (*value).to_owned(),
                    format!("{difference:+.4}"),
                    format!("t({degrees}) = {t:.2}"),
                    if *p_value < 0.001 {
                        format!("p = {p_value:.1e}")
                    } else {
                        format!("p = {p_value:.3}")
                    },
                ]
            };
            let rows: Vec<Vec<String>> = paired.iter().map(row).collect();
            output::line(&columns(&rows))?;
        }
        let most = self.groups.iter().map(|group| group.runs.len()).max();
        match self.one {
            Some(_) => output::line(&format!(
                "\nspread: the standard deviation over {}",
                counted(most.unwrap_or_default(), "run")
            )),
            None => Ok(()),
        }
    }

    /// Each value beside the first one by the first score: the runs of the same seeds or folds, pair by pair.
    fn paired(&self) -> Vec<(&str, PairedTest)> {
        let (Some(_), Some(first), Some(name)) = (
            self.one,
            self.groups.first(),
            self.names().into_iter().next(),
        ) else {
            return Vec::new();
        };
        let test = |group: &Group| {
            let pair = |run: &Run| {
                let other = group.runs.iter().find(|other| other.number == run.number)?;
                Some((run.score(name)?, other.score(name)?))
            };
            let pairs: Vec<(f64, f64)> = first.runs.iter().filter_map(pair).collect();
            PairedTest::new(&pairs, self.overlap)
        };
        let others = self.groups.iter().skip(1);
        others
            .filter_map(|group| Some((group.value.as_deref()?, test(group)?)))
            .collect()
    }

    fn event(&self) -> (String, Value) {
        let numbers = |group: &Group| -> Vec<u64> {
            group.runs.iter().filter_map(|run| run.number).collect()
        };
        let scores = |of: &dyn Fn(&str) -> Value| -> Map<String, Value> {
            let names = self.names().into_iter();
            names.map(|name| (key(name), of(name))).collect()
        };
        let mut fields = Map::new();
        let first = self.groups.first();
        if let (Some(one), Some(first)) = (self.one, first) {
            fields.insert(format!("{one}s"), json!(numbers(first)));
        }
        let Some(swept) = self.key else {
            let of = |name: &str| json!(first.map(|group| group.summary(name)));
            fields.insert("scores".to_owned(), json!(scores(&of)));
            return (self.several(), fields.into());
        };
        let values: Vec<_> = self.groups.iter().map(|group| &group.value).collect();
        let of = |name: &str| {
            let all: Vec<_> = self
                .groups
                .iter()
                .map(|group| group.summary(name))
                .collect();
            json!(all)
        };
        fields.insert("key".to_owned(), json!(swept));
        fields.insert("values".to_owned(), json!(values));
        fields.insert("scores".to_owned(), json!(scores(&of)));
        let paired = self.paired();
        if !paired.is_empty() {
            let test = |(value, test): &(&str, PairedTest)| json!({"value": value, "test": test});
            let tests: Vec<Value> = paired.iter().map(test).collect();
            fields.insert("paired".to_owned(), tests.into());
        }
        ("sweep".to_owned(), fields.into())
    }

    fn text(&self) -> String {
        let names = self.names();
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let row = |label: String, values: Vec<Option<f64>>, dir: String| {
            let cells = values.into_iter().map(number);
            std::iter::once(label).chain(cells).chain([dir]).collect()
        };
        let of_run = |label: String, run: &Run| {
            let values = names.iter().map(|name| run.score(name)).collect();
            row(label, values, run.dir.display().to_string())
        };
        let head = |label: &str, names: Vec<String>| {
            std::iter::once(label.to_owned())
                .chain(names)
                .chain(["run".to_owned()])
                .collect::<Vec<_>>()
        };
        let plain: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let finite = |value: f64| value.is_finite().then_some(value);
        let mut rows: Vec<Vec<String>> = Vec::new();
        match (self.key, self.one) {
            (Some(swept), Some(_)) => {
                let named = plain.into_iter();
                let named = named.flat_map(|name| [name, "spread".to_owned()]);
                rows.push(std::iter::once(swept.to_owned()).chain(named).collect());
                for group in &self.groups {
                    let of = |name: &&str| {
                        let Summary { mean, spread } = group.summary(name);
                        [finite(mean), spread].map(number)
                    };
                    let label = group.value.clone().unwrap_or_default();
                    let cells = names.iter().flat_map(of);
                    rows.push(std::iter::once(label).chain(cells).collect());
                }
            }
            (Some(swept), None) => {
                rows.push(head(swept, plain));
                for group in &self.groups {
                    let label = group.value.clone().unwrap_or_default();
                    rows.extend(group.runs.iter().map(|run| of_run(label.clone(), run)));
                }
            }
            (None, one) => {
                rows.push(head(one.unwrap_or_default(), plain));
                for group in &self.groups {
                    let label = |run: &Run| run.number.map_or(String::new(), |n| n.to_string());
                    rows.extend(group.runs.iter().map(|run| of_run(label(run), run)));
                    let summaries = || names.iter().map(|name| group.summary(name));
                    let means = summaries().map(|summary| finite(summary.mean)).collect();
                    rows.push(row("mean".to_owned(), means, String::new()));
                    let spreads = summaries().map(|summary| summary.spread).collect();
                    rows.push(row("spread".to_owned(), spreads, String::new()));
                }
            }
        }
        columns(&rows)
    }

    /// Writes a line for each run: what differs, then every score, nothing for one that a run does not have.
    pub fn write(&self, file: &OutFile) -> anyhow::Result<()> {
        let names = self.names();
        let varied = self.key.into_iter().chain(self.one).map(str::to_owned);
        file.write(|file| {
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(varied.chain(names.iter().map(|name| key(name))))?;
            for group in &self.groups {
                for run in &group.runs {
                    let number = run.number.map(|number| number.to_string());
                    let labels = group.value.clone().into_iter().chain(number);
                    let score = |name: &&str| {
                        let score = run.score(name);
                        score.map_or(String::new(), |score| score.to_string())
                    };
                    writer.write_record(labels.chain(names.iter().map(score)))?;
                }
            }
            writer.flush()
        })
    }
}

/// A score's name as a key of JSON and a column of CSV.
fn key(name: &str) -> String {
    match name {
        "R²" => "r2".to_owned(),
        "bits/spike" => "bits_per_spike".to_owned(),
        name => name.to_lowercase().replace(' ', "_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: Option<u64>, accuracy: f64) -> Run {
        Run {
            number,
            scores: vec![("accuracy", accuracy), ("macro F1", accuracy)],
            dir: PathBuf::from("r"),
        }
    }

    fn words(text: &str) -> Vec<Vec<&str>> {
        let lines = text.lines();
        lines
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

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
        let mut table = Table::new(None, Some("seed"), 0.0);
        table.push(None, run(Some(3), 0.9));
        table.push(None, run(Some(4), 1.0));
        let text = table.text();
        let lines = words(&text);
        assert_eq!(lines[1], ["3", "0.9000", "0.9000", "r"]);
        assert_eq!(lines[3], ["mean", "0.9500", "0.9500"]);
        assert_eq!(lines[4], ["spread", "0.0707", "0.0707"]);
        assert_eq!(key("macro F1"), "macro_f1");
    }

    #[test]
    fn values_are_rows_with_their_runs_or_with_means_over_them() {
        let mut table = Table::new(Some("a.b"), None, 0.0);
        table.push(Some("[0,1]".to_owned()), run(None, 0.9));
        table.push(Some("2".to_owned()), run(None, 1.0));
        let text = table.text();
        assert_eq!(words(&text)[1], ["[0,1]", "0.9000", "0.9000", "r"]);
        assert_eq!(words(&text).len(), 3);

        let mut table = Table::new(Some("a.b"), Some("fold"), 0.0);
        for (value, fold, accuracy) in [("1", 1, 0.9), ("1", 2, 1.0), ("2", 1, 0.5), ("2", 2, 0.5)]
        {
            table.push(Some(value.to_owned()), run(Some(fold), accuracy));
        }
        let text = table.text();
        assert_eq!(words(&text)[0][..3], ["a.b", "accuracy", "spread"]);
        assert_eq!(words(&text)[1][..3], ["1", "0.9500", "0.0707"]);
        let (event, fields) = table.event();
        assert_eq!(event, "sweep");
        assert_eq!(fields["folds"], json!([1, 2]));
        assert_eq!(fields["values"], json!(["1", "2"]));
        assert_eq!(
            fields["scores"]["macro_f1"][1],
            json!({"mean": 0.5, "spread": 0.0})
        );

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        table.write(&OutFile::new(&path, "--csv").unwrap()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a.b,fold,accuracy,macro_f1");
        assert_eq!(lines[1], "1,1,0.9,0.9");
        assert_eq!(lines.len(), 5);
    }
}
