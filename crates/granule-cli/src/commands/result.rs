//! What `train` and `eval` print at the end.

use std::path::Path;

use granule::data::task::Performance;
use granule::train::metrics::{
    Baseline, ClassShares, Explainable, OutputScores, PermutationTest, RegressionScores,
    ValueScores,
};
use granule::train::{
    Evaluation, QuantityScores, RecordingScores, Scores, TrainedValues, TrialScores,
};
use serde::Serialize;

use crate::output::{self, Paint, Stream, counted, duration, paint, rate};
use crate::progress::shown;

/// The last object of `--json`.
#[derive(Serialize)]
pub struct ResultLine<'a> {
    pub event: &'static str,
    pub test_accuracy: Option<f64>,
    pub test_loss: f64,
    pub macro_f1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// The mean over the outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<f64>,
    /// Of counts, against their means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_spike: Option<f64>,
    /// Where trials are repeats: the powers of each output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explainable: Option<&'a Explainable>,
    /// Scores of each real-valued output.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub outputs: &'a [OutputScores],
    /// What a decoder is compared with.
    #[serde(skip_serializing_if = "Baselines::is_empty")]
    pub baselines: Baselines<'a>,
    /// The mean over the classes of the share of each that is sorted rightly, of sequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// Of the permutation test of a decoder of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// How each quantity of a recording is followed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub quantities: &'a [QuantityScores],
    /// What training has made of the parameters of a model of several levels.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub trained: &'a [TrainedValues],
    pub test_samples: usize,
    pub epochs: usize,
    pub images_per_second: f64,
    pub seconds: f64,
    pub device: &'a str,
    pub run_dir: Option<String>,
    pub model: String,
    /// The epoch whose weights the model has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_epoch: Option<usize>,
    /// What training began from, unless from weights of its own seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<&'a str>,
}

impl<'a> ResultLine<'a> {
    pub fn new(
        evaluation: &'a Evaluation,
        device: &'a str,
        run_dir: Option<&'a Path>,
        model: &'a Path,
    ) -> Self {
        Self {
            event: "result",
            test_accuracy: evaluation.accuracy(),
            test_loss: evaluation.loss,
            macro_f1: evaluation.macro_f1(),
            r2: evaluation.r2(),
            correlation: evaluation
                .regression()
                .map(|scores| scores.mean.correlation),
            bits_per_spike: evaluation
                .regression()
                .and_then(|scores| scores.bits_per_spike),
            explainable: evaluation
                .regression()
                .and_then(|scores| scores.explainable.as_ref()),
            outputs: evaluation
                .regression()
                .map_or(&[], |scores| &scores.outputs),
            baselines: Baselines::of(evaluation),
            balanced_accuracy: evaluation
                .classification()
                .filter(|scores| scores.permutation.is_some())
                .map(|scores| scores.report.shares().balanced_accuracy),
            p_value: evaluation
                .classification()
                .and_then(|scores| Some(scores.permutation.as_ref()?.p_value)),
            quantities: evaluation
                .recording()
                .map_or(&[], |scores| &scores.quantities),
            trained: evaluation.recording().map_or(&[], |scores| &scores.trained),
            test_samples: evaluation.samples,
            epochs: 0,
            images_per_second: 0.0,
            seconds: 0.0,
            device,
            run_dir: run_dir.map(|path| path.display().to_string()),
            model: model.display().to_string(),
            model_epoch: None,
            parent: None,
        }
    }
}

/// What a decoder is compared with, by kind of target.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Baselines<'a> {
    Values(&'a [Baseline<ValueScores>]),
    Classes(&'a [Baseline<ClassShares>]),
}

impl<'a> Baselines<'a> {
    fn of(evaluation: &'a Evaluation) -> Self {
        match &evaluation.scores {
            Scores::Regression(scores) => Self::Values(&scores.baselines),
            Scores::Classification(scores) => Self::Classes(&scores.baselines),
            _ => Self::Values(&[]),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Values(all) => all.is_empty(),
            Self::Classes(all) => all.is_empty(),
        }
    }

    /// The model between what it is compared with: real values by the means over the outputs.
    fn table(&self, evaluation: &Evaluation) -> String {
        let (heads, mut rows, own) = match self {
            Self::Values(all) if all.iter().any(|one| one.scores.bits_per_spike.is_some()) => (
                ["bits/spike", "correlation"],
                rows(all, |scores| bits(scores.bits_per_spike, &scores.mean)),
                evaluation
                    .regression()
                    .map(|scores| bits(scores.bits_per_spike, &scores.mean)),
            ),
            Self::Values(all) => (
                ["r2", "correlation"],
                rows(all, |scores| means(&scores.mean)),
                evaluation.regression().map(|scores| means(&scores.mean)),
            ),
            Self::Classes(all) => (
                ["accuracy", "balanced"],
                rows(all, shares),
                evaluation
                    .classification()
                    .map(|scores| shares(&scores.report.shares())),
            ),
        };
        let head = [&[""], &heads[..], &["penalty"]].concat();
        rows.insert(0, head.into_iter().map(str::to_owned).collect());
        if let Some(own) = own {
            rows.push(row("this model", own, None));
        }
        to_the_right(&rows, 12, 10)
    }
}

fn rows<S>(baselines: &[Baseline<S>], numbers: impl Fn(&S) -> [String; 2]) -> Vec<Vec<String>> {
    let all = baselines.iter();
    all.map(|baseline| row(&baseline.name, numbers(&baseline.scores), baseline.penalty))
        .collect()
}

fn row(name: &str, [first, second]: [String; 2], penalty: Option<f64>) -> Vec<String> {
    let penalty = penalty.map_or_else(String::new, |penalty| penalty.to_string());
    vec![name.to_owned(), first, second, penalty]
}

fn means(scores: &OutputScores) -> [String; 2] {
    [scores.r2, scores.correlation].map(number)
}

fn bits(bits_per_spike: Option<f64>, scores: &OutputScores) -> [String; 2] {
    [bits_per_spike.unwrap_or(f64::NAN), scores.correlation].map(number)
}

fn shares(scores: &ClassShares) -> [String; 2] {
    [scores.accuracy, scores.balanced_accuracy].map(number)
}

/// What the answers would be worth if they had nothing to do with the truth.
fn by_chance(test: &PermutationTest) -> String {
    let rounds = if test.shifted {
        counted(test.rounds() as usize, "circular shift")
    } else {
        counted(test.rounds() as usize, "permutation")
    };
    format!(
        "{:.2} % right in the mean of {rounds} of the true classes, at most {:.2} % in 95 % of them, p = {:.4}",
        100.0 * test.mean(),
        100.0 * test.quantile(0.95),
        test.p_value
    )
}

/// What repeats of a condition have in common, and how much of it is predicted.
fn by_repeats(found: &Explainable) -> String {
    let (explainable, share) = (found.explainable(), found.share());
    let of_signal = if explainable > 0.0 {
        format!("{:.2} % of which is predicted", 100.0 * share)
    } else {
        "so that there is nothing to predict".to_owned()
    };
    format!(
        "{:.2} % of the variance is explainable, {of_signal}, by {} of {} in {}",
        100.0 * explainable,
        counted(found.repeats, "repeat"),
        counted(found.conditions, "condition"),
        counted(found.bins, "bin"),
    )
}

/// The report and one line that sums it up.
pub fn show(evaluation: &Evaluation) -> anyhow::Result<()> {
    let summary = match &evaluation.scores {
        Scores::Classification(scores) => {
            output::line(scores.report.to_string().trim_end())?;
            format!(
                "accuracy {:.2} %, macro F1 {:.4} over {}, loss {:.4}",
                scores.accuracy * 100.0,
                scores.macro_f1,
                scores.report.averaged(),
                evaluation.loss
            )
        }
        Scores::Regression(scores) => {
            output::line(&regression(scores))?;
            match scores.bits_per_spike {
                Some(bits) => format!(
                    "{bits:.4} bits per spike, R² {:.4}, loss {:.4}",
                    scores.mean.r2, evaluation.loss
                ),
                None => format!(
                    "R² {:.4}, loss {:.4} of standardised targets",
                    scores.mean.r2, evaluation.loss
                ),
            }
        }
        Scores::Recording(scores) => {
            output::line(&followed(scores))?;
            match scores.r2() {
                Some(r2) => format!("R² {r2:.4}, loss {:.6}", scores.loss),
                None => format!("loss {:.6}", scores.loss),
            }
        }
        Scores::Trials(scores) => {
            output::line(&trials(scores))?;
            match scores.score.accuracy() {
                Some(accuracy) => format!(
                    "accuracy {:.2} %, MSE {:.4}",
                    accuracy * 100.0,
                    scores.score.mse
                ),
                None => format!("MSE {:.5}", scores.score.mse),
            }
        }
        Scores::Named(scores) => {
            let all = scores
                .iter()
                .map(|(name, score)| format!("{name} {score:.4}, "));
            format!("{}loss {:.4}", all.collect::<String>(), evaluation.loss)
        }
    };
    let baselines = Baselines::of(evaluation);
    if !baselines.is_empty() {
        output::line("")?;
        output::line(&baselines.table(evaluation))?;
    }
    output::line("")?;
    let thing = match &evaluation.scores {
        Scores::Recording(_) | Scores::Trials(_) => "trial",
        Scores::Classification(_) | Scores::Regression(_) | Scores::Named(_) => "sample",
    };
    let samples = counted(evaluation.samples, thing);
    fact("test", &folded(&format!("{summary}, on {samples}")))?;
    let repeats = evaluation.regression();
    if let Some(found) = repeats.and_then(|scores| scores.explainable.as_ref()) {
        fact("repeats", &folded(&by_repeats(found)))?;
    }
    let classes = evaluation.classification();
    let test = classes.and_then(|scores| scores.permutation.as_ref());
    test.map_or(Ok(()), |test| fact("chance", &folded(&by_chance(test))))
}

/// A [`fact`] in lines of at most 80 columns, broken after commas.
pub(super) fn folded(text: &str) -> String {
    const INDENT: usize = 8;
    let mut lines: Vec<String> = Vec::new();
    for part in text.split(", ") {
        match lines.last_mut() {
            Some(line) if INDENT + line.chars().count() + 3 + part.chars().count() <= 80 => {
                line.push_str(", ");
                line.push_str(part);
            }
            Some(line) => {
                line.push(',');
                lines.push(part.to_owned());
            }
            None => lines.push(part.to_owned()),
        }
    }
    lines.join(&format!("\n{:INDENT$}", ""))
}

/// One row for each quantity, then what has become of the parameters.
fn followed(scores: &RecordingScores) -> String {
    let head = ["quantity", "columns", "rmse", "r2"].map(str::to_owned);
    let mut table: Vec<Vec<String>> = vec![head.to_vec()];
    table.extend(scores.quantities.iter().map(|q| {
        let r2 = q.r2.map_or("-".to_owned(), |r2| format!("{r2:.4}"));
        let rmse = match q.unit.as_str() {
            "1" => number(q.mse.sqrt()),
            unit => format!("{} {unit}", number(q.mse.sqrt())),
        };
        vec![q.name.clone(), q.columns.to_string(), rmse, r2]
    }));
    let mut rows = vec![to_the_right(&table, 12, 10)];
    if !scores.trained.is_empty() {
        rows.push(String::new());
        let values = |values: &[f64], count: usize| {
            let shown: Vec<String> = values.iter().take(4).map(|x| format!("{x:.4}")).collect();
            let more = if count > 4 { ", …" } else { "" };
            shown.join(", ") + more
        };
        let change = |p: &TrainedValues| {
            let [before, after] = [&p.before, &p.after].map(|x| values(x, p.count));
            format!("  {}: {before} → {after}", p.name)
        };
        rows.extend(scores.trained.iter().map(change));
    }
    rows.join("\n")
}

/// The network between those who do not look and those who see everything.
fn trials(scores: &TrialScores) -> String {
    let TrialScores { score, ideal, .. } = scores;
    let head = ["", "network", "without looking", "ideal observer"].map(str::to_owned);
    let mut rows: Vec<Vec<String>> = vec![head.to_vec()];
    let chance = match &score.performance {
        Performance::Trace => None,
        Performance::Choice(choice) => Some(choice.chance),
        Performance::Timing(timing) => Some(timing.chance),
    };
    if let (Some(own), Some(chance), Some(best)) = (score.accuracy(), chance, ideal.accuracy()) {
        let numbers = [own, chance, best].map(|x| format!("{x:.4}"));
        rows.push([&["accuracy".to_owned()][..], &numbers].concat());
    }
    let numbers = [score.mse, score.constant_mse, ideal.mse].map(|x| format!("{x:.5}"));
    rows.push([&["mse".to_owned()][..], &numbers].concat());
    to_the_right(&rows, 12, 10)
}

/// One row per output, laid out as the classification report is.
fn regression(scores: &RegressionScores) -> String {
    let row = |label: String, scores: &OutputScores| {
        let numbers = [
            scores.mse,
            scores.rmse,
            scores.mae,
            scores.r2,
            scores.correlation,
        ];
        std::iter::once(label).chain(numbers.map(number)).collect()
    };
    let head = ["output", "mse", "rmse", "mae", "r2", "correlation"].map(str::to_owned);
    let mut rows: Vec<Vec<String>> = vec![head.to_vec()];
    let outputs = scores.outputs.iter().enumerate();
    rows.extend(outputs.map(|(i, output)| row(i.to_string(), output)));
    if scores.outputs.len() > 1 {
        rows.push(row("mean".to_owned(), &scores.mean));
    }
    to_the_right(&rows, 12, 10)
}

/// Four decimals, or as many significant digits of what is far from 1.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        _ if x.is_nan() => "-".to_owned(),
        size if size == 0.0 || (1e-3..1e6).contains(&size) => format!("{x:.4}"),
        _ => format!("{x:.4e}"),
    }
}

/// Rows in columns that end where their head does: the first of at least `first` characters, the others of `others`.
pub(super) fn to_the_right(rows: &[Vec<String>], first: usize, others: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let least = if column == 0 { first } else { others };
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(least)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, &width)| format!("{cell:>width$}"))
            .collect();
        cells.join(" ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A score by its name in tables: a percentage for an accuracy.
pub fn score(name: &str, value: f64) -> String {
    match name {
        "accuracy" => format!("{:.2} %", value * 100.0),
        "loss" => shown(value),
        _ => format!("{value:.4}"),
    }
}

/// A label and what it stands for, aligned with the others.
pub fn fact(label: &str, text: &str) -> anyhow::Result<()> {
    output::line(&format!(
        "{} {text}",
        paint(Paint::Good, &format!("{label:>7}"), Stream::Stdout)
    ))
}

/// `1,234 images/s`, or trials, or samples that are no images, in a time.
pub fn pace(evaluation: &Evaluation, images: bool, seconds: f64, per_second: f64) -> String {
    let unit = match &evaluation.scores {
        Scores::Trials(_) | Scores::Recording(_) => "trials",
        Scores::Classification(_) | Scores::Regression(_) if images => "images",
        _ => "samples",
    };
    format!("{}, {} {unit}/s", duration(seconds), rate(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_head() {
        let scores = |mse: f64| OutputScores {
            mse,
            rmse: mse.sqrt(),
            mae: mse.sqrt() / 2.0,
            r2: -12_345_678.9,
            correlation: 0.5,
        };
        let all = RegressionScores {
            outputs: vec![scores(1.6e14), scores(0.25)],
            mean: scores(1e-9),
            samples: 2,
            baselines: Vec::new(),
            bits_per_spike: None,
            explainable: None,
        };
        let text = regression(&all);
        let ends = |line: &str| {
            let chars: Vec<char> = format!("{line} ").chars().collect();
            let ends = (1..chars.len()).filter(|&i| chars[i] == ' ' && chars[i - 1] != ' ');
            ends.collect::<Vec<_>>()
        };
        let mut lines = text.lines();
        let head = ends(lines.next().unwrap());
        assert_eq!(head.len(), 6);
        for line in lines {
            assert_eq!(ends(line), head, "{text}");
            assert!(line.chars().count() <= 80, "{text}");
        }
        assert!(
            text.contains("1.6000e14") && text.contains("0.2500"),
            "{text}"
        );
    }

    #[test]
    fn a_result_fits_80_columns() {
        let text = "accuracy 100.00 %, macro F1 0.9778 over 100 classes, 3 of them without a test sample, loss 1.2e-4, on 10,000 samples";
        let folded = folded(text);
        for line in format!("{:8}{folded}", "").lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(folded.replace("\n        ", " "), text);
        let usual =
            "accuracy 94.20 %, macro F1 0.9421 over 10 classes, loss 0.2090, on 1,000 samples";
        assert_eq!(
            super::folded(usual),
            "accuracy 94.20 %, macro F1 0.9421 over 10 classes, loss 0.2090,\n        on 1,000 samples"
        );
        assert_eq!(super::folded("R² 0.9, loss 0.1"), "R² 0.9, loss 0.1");
    }
}
