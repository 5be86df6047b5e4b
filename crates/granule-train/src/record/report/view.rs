//! What the template shows, as text and coordinates.

use granule_data::task::{Performance, TaskKind};
use granule_io::words::several;
use serde::Serialize;

use super::curves::{self, Chart};
use super::format::{count, duration, percent, shorten, significant};
use super::heatmap::{self, Heatmap, Pair};
use super::importance;
use super::null;
use super::psychometric;
use super::receptive;
use super::scatter::{self, Plot};
use super::trial;
use super::{Fact, MistakeCard, Picture, ReportData, TestResult, TrialExample};
use crate::metrics::{
    Average, Baseline, ClassScores, ClassShares, ClassificationReport, ConfusionMatrix,
    Explainable, OutputScores, RegressionScores,
};
use crate::record::Measured;
use crate::{QuantityScores, RecordingScores, TrialScores};

const MOST_MISTAKES: usize = 32;
const LONGEST_NAME: usize = 24;
const MOST_CLASS_ROWS: usize = 1000;
const MOST_OUTPUT_ROWS: usize = 500;
const MOST_VALUES: usize = 6;

#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    pub title: String,
    pub created: &'a str,
    pub interrupted: bool,
    pub warnings: &'a [String],
    pub headline: Vec<Card>,
    pub facts: Vec<Card>,
    pub charts: Vec<Chart>,
    pub classification: Option<Classification>,
    pub regression: Option<Regression>,
    pub trials: Option<Trials>,
    pub recording: Option<Recording>,
    /// What the decoder uses, where it was measured.
    pub used: Vec<importance::Plot>,
    /// What its outputs answer to, where it was measured.
    pub receptive: Option<receptive::Section>,
    pub filters: Vec<Image>,
    pub config: Vec<ConfigLine<'a>>,
    pub provenance: &'a [Fact],
    pub notes: &'a [String],
}

#[derive(Debug, Serialize)]
pub(super) struct Card {
    pub name: &'static str,
    pub value: String,
    pub note: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Classification {
    pub heatmap: Option<Heatmap>,
    pub pairs: Vec<Pair>,
    pub rows: Vec<ClassRow>,
    pub rows_left_out: usize,
    pub averages: Vec<ClassRow>,
    pub accuracy: String,
    pub support: String,
    pub mistakes: Vec<Mistake>,
    /// Where there are some.
    pub baselines: Option<Baselines>,
    pub null: Option<null::Plot>,
}

/// What a model is compared with; the model first.
#[derive(Debug, Serialize)]
pub(super) struct Baselines {
    /// Of the two scores.
    pub heads: [&'static str; 2],
    /// Name, two scores, penalty.
    pub rows: Vec<[String; 4]>,
}

#[derive(Debug, Serialize)]
pub(super) struct ClassRow {
    pub name: String,
    pub scores: [Score; 3],
    pub support: String,
    pub support_number: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Score {
    pub text: String,
    pub bar: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Mistake {
    pub index: usize,
    pub truth: Name,
    pub predicted: Name,
    pub probability: String,
    pub image: Option<Image>,
}

/// A class name, whole and as short as it has to be.
#[derive(Debug, Serialize)]
pub(super) struct Name {
    pub full: String,
    pub short: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Image {
    pub width: usize,
    pub height: usize,
    pub source: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Regression {
    pub plots: Vec<Plot>,
    pub rows: Vec<(String, [String; 5])>,
    pub rows_left_out: usize,
    /// Where trials are repeats.
    pub repeats: Option<Repeats>,
    /// Where there are some.
    pub baselines: Option<Baselines>,
}

/// What repeats have in common.
#[derive(Debug, Serialize)]
pub(super) struct Repeats {
    pub note: String,
    /// Output, share of the variance that is explainable, share of that which is predicted.
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug, Serialize)]
pub(super) struct Trials {
    pub summary: String,
    pub paper: String,
    /// Measure, model, without looking, ideal observer.
    pub rows: Vec<[String; 4]>,
    pub plots: Vec<psychometric::Plot>,
    pub example: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Recording {
    /// Name, recorded columns, R², root of the mean squared error with its unit.
    pub rows: Vec<[String; 4]>,
    /// Name, before, after.
    pub trained: Vec<[String; 3]>,
    pub trained_left_out: usize,
    pub example: String,
}

/// A line of the configuration, split for colouring.
#[derive(Debug, Serialize)]
pub(super) struct ConfigLine<'a> {
    pub section: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

pub(super) fn view<'a>(data: &'a ReportData, measured: &Measured) -> View<'a> {
    let mut trials = None;
    let mut recording = None;
    let (classification, regression) = match &data.test {
        Some(TestResult::Classification {
            report,
            confusion,
            mistakes,
            baselines,
            permutation,
            ..
        }) => {
            let found = Classification {
                baselines: class_baselines(&data.model, report, baselines),
                null: permutation.as_ref().and_then(null::draw),
                ..classification(report, confusion, mistakes)
            };
            (Some(found), None)
        }
        Some(TestResult::Regression {
            scores, scatters, ..
        }) => (
            None,
            Some(Regression {
                plots: scatter::plots(scatters, scores),
                rows: output_rows(scores),
                rows_left_out: scores.outputs.len().saturating_sub(MOST_OUTPUT_ROWS),
                repeats: scores.explainable.as_ref().map(repeats),
                baselines: value_baselines(&data.model, scores),
            }),
        ),
        Some(TestResult::Trials {
            scores, example, ..
        }) => {
            trials = Some(task(scores, example.as_ref()));
            (None, None)
        }
        Some(TestResult::Recording {
            scores, example, ..
        }) => {
            recording = Some(followed(scores, example));
            (None, None)
        }
        None => (None, None),
    };
    View {
        title: format!("{} on {}", data.model, data.dataset),
        created: &data.created,
        interrupted: data.interrupted,
        warnings: &data.warnings,
        headline: headline(data),
        facts: facts(data),
        charts: curves::charts(&data.epochs, &data.steps, data.best_epoch),
        classification,
        regression,
        trials,
        recording,
        used: importance::draw_all(&measured.importance),
        receptive: measured.fields.as_ref().and_then(receptive::draw),
        filters: data.filters.iter().map(image).collect(),
        config: data.config_toml.lines().map(config_line).collect(),
        provenance: &data.provenance,
        notes: &data.notes,
    }
}

fn card(name: &'static str, value: String, note: impl Into<String>) -> Card {
    Card {
        name,
        value,
        note: note.into(),
    }
}

fn headline(data: &ReportData) -> Vec<Card> {
    let mut cards = match &data.test {
        Some(TestResult::Classification {
            loss,
            report,
            confusion,
            ..
        }) => vec![
            card(
                "Test accuracy",
                percent(report.accuracy, 2),
                interval(confusion.correct(), confusion.total()),
            ),
            card(
                "Macro F1",
                format!("{:.4}", report.macro_avg.f1),
                format!("mean of {}", report.averaged()),
            ),
            card(
                "Test loss",
                significant(*loss),
                format!("{} test samples", count(data.test_samples)),
            ),
        ],
        Some(TestResult::Regression { loss, scores, .. }) => vec![
            match scores.bits_per_spike {
                Some(bits) => card(
                    "Bits per spike",
                    format!("{bits:.4}"),
                    format!(
                        "R² {:.4}, mean of {}",
                        scores.mean.r2,
                        counted(scores.outputs.len(), "output")
                    ),
                ),
                None => card(
                    "Test R²",
                    format!("{:.4}", scores.mean.r2),
                    format!("mean of {}", counted(scores.outputs.len(), "output")),
                ),
            },
            card(
                "RMSE",
                significant(scores.mean.rmse),
                format!("MAE {}", significant(scores.mean.mae)),
            ),
            card(
                "Test loss",
                significant(*loss),
                format!("{} test samples", count(data.test_samples)),
            ),
        ],
        Some(TestResult::Recording { loss, scores, .. }) => {
            let mut cards = Vec::new();
            if let Some(r2) = scores.r2() {
                let quantities = counted(scores.quantities.len(), "quantity");
                let note = format!("mean of {quantities}");
                cards.push(card("Test R²", format!("{r2:.4}"), note));
            }
            let note = "mean squared error by variance";
            cards.push(card("Test loss", significant(*loss), note));
            cards
        }
        Some(TestResult::Trials { scores, .. }) => {
            let TrialScores { score, ideal, .. } = scores;
            let mse = card(
                "Test MSE",
                significant(score.mse),
                format!("best constant {}", significant(score.constant_mse)),
            );
            let trials = format!("{} test trials", count(data.test_samples));
            match (score.accuracy(), ideal.accuracy()) {
                (Some(accuracy), Some(best)) => vec![
                    card(
                        "Test accuracy",
                        percent(accuracy, 2),
                        match &score.performance {
                            Performance::Choice(choice) => interval(choice.correct, choice.counted),
                            _ => String::new(),
                        },
                    ),
                    mse,
                    card("Ideal observer", percent(best, 2), trials),
                ],
                _ => vec![
                    mse,
                    card(
                        "Share explained",
                        percent(
                            1.0 - score.mse / score.constant_mse.max(f64::MIN_POSITIVE),
                            2,
                        ),
                        "1 − MSE / MSE of the best constant",
                    ),
                    card("MSE of the ideal observer", significant(ideal.mse), trials),
                ],
            }
        }
        None => Vec::new(),
    };
    let speed = if data.images_per_second.is_finite() && data.images_per_second >= 0.0 {
        format!(
            "{} samples per second",
            count(data.images_per_second.round() as u64)
        )
    } else {
        String::new()
    };
    cards.push(card("Training time", duration(data.seconds), speed));
    cards
}

fn facts(data: &ReportData) -> Vec<Card> {
    let each = match data.dataset.parse::<TaskKind>() {
        Ok(_) => " an epoch",
        Err(_) => "",
    };
    let mut samples = format!("{} train{each}", count(data.train_samples));
    if data.validation_samples > 0 {
        samples.push_str(&format!(", {} validation", count(data.validation_samples)));
    }
    samples.push_str(&format!(", {} test", count(data.test_samples)));
    let epochs = data.epochs.last().map_or(0, |row| row.epoch);
    let steps = [
        data.epochs.last().map(|row| row.step),
        data.steps.last().map(|row| row.step),
    ];
    let steps = steps.into_iter().flatten().max().unwrap_or(0);
    vec![
        card(
            "Model",
            data.model.clone(),
            counted(data.parameters as usize, "parameter"),
        ),
        card(
            match data.dataset.parse::<TaskKind>() {
                Ok(_) => "Task",
                Err(_) => "Data set",
            },
            data.dataset.clone(),
            samples,
        ),
        card("Device", data.device.clone(), ""),
        card("Epochs", count(epochs), {
            let steps = counted(steps as usize, "step");
            let begun = data.steps.last().map_or(0, |row| row.epoch);
            match data.best_epoch {
                Some(best) => format!("{steps}, best epoch {best}"),
                None if begun > epochs => format!("{steps}, the last in epoch {begun}"),
                None => steps,
            }
        }),
        card("Seed", data.seed.to_string(), ""),
        card("granule", data.version.clone(), ""),
    ]
}

/// The 95 % interval of Wilson (1927) for a fraction.
pub(super) fn interval(hits: u64, total: u64) -> String {
    if total == 0 {
        return String::new();
    }
    let (z, n) = (1.959_964, total as f64);
    let p = hits as f64 / n;
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    let bound = |value: f64| format!("{:.2}", (value / scale).clamp(0.0, 1.0) * 100.0);
    format!(
        "95 % interval {} to {} %",
        bound(centre - spread),
        bound(centre + spread)
    )
}

fn classification(
    report: &ClassificationReport,
    confusion: &ConfusionMatrix,
    mistakes: &[MistakeCard],
) -> Classification {
    let name = |class: usize| {
        let full = report
            .classes
            .get(class)
            .map_or_else(|| format!("class {class}"), |scores| scores.class.clone());
        Name {
            short: shorten(&full, LONGEST_NAME),
            full,
        }
    };
    let average = |name: &str, average: Average| {
        class_row(
            name,
            [average.precision, average.recall, average.f1],
            average.support,
        )
    };
    Classification {
        heatmap: heatmap::heatmap(confusion, &report.classes),
        pairs: heatmap::most_confused(confusion, &report.classes),
        rows: report
            .classes
            .iter()
            .take(MOST_CLASS_ROWS)
            .map(
                |ClassScores {
                     class,
                     precision,
                     recall,
                     f1,
                     support,
                 }| { class_row(class, [*precision, *recall, *f1], *support) },
            )
            .collect(),
        rows_left_out: report.classes.len().saturating_sub(MOST_CLASS_ROWS),
        averages: vec![
            average("macro average", report.macro_avg),
            average("weighted average", report.weighted_avg),
        ],
        accuracy: format!("{:.4}", report.accuracy),
        support: count(report.macro_avg.support),
        mistakes: mistakes
            .iter()
            .take(MOST_MISTAKES)
            .map(|mistake| Mistake {
                index: mistake.index,
                truth: name(mistake.truth),
                predicted: name(mistake.predicted),
                probability: percent(mistake.probability, 1),
                image: mistake.picture.as_ref().map(image),
            })
            .collect(),
        baselines: None,
        null: None,
    }
}

fn task(scores: &TrialScores, example: Option<&TrialExample>) -> Trials {
    let TrialScores { task, score, ideal } = scores;
    let info = task.parse::<TaskKind>().map(|kind| kind.config().info());
    let (summary, paper) = info.map_or_else(
        |_| (task.clone(), String::new()),
        |info| (info.summary.to_owned(), info.paper.to_owned()),
    );
    let mut rows = Vec::new();
    let mut plots = Vec::new();
    let chance = match &score.performance {
        Performance::Trace => None,
        Performance::Choice(choice) => {
            let second = choice.choices.get(1).map_or("second", String::as_str);
            plots = psychometric::choices(&choice.psychometric, second);
            Some(choice.chance)
        }
        Performance::Timing(timing) => {
            plots.extend(psychometric::intervals(&timing.intervals));
            Some(timing.chance)
        }
    };
    if let (Some(accuracy), Some(chance), Some(best)) = (score.accuracy(), chance, ideal.accuracy())
    {
        let shares = [accuracy, chance, best].map(|share| percent(share, 2));
        let [accuracy, chance, best] = shares;
        rows.push(["accuracy".to_owned(), accuracy, chance, best]);
    }
    let errors = [score.mse, score.constant_mse, ideal.mse].map(significant);
    let [mse, constant, best] = errors;
    rows.push(["mean squared error".to_owned(), mse, constant, best]);
    Trials {
        summary,
        paper,
        rows,
        plots,
        example: example.map(trial::draw),
    }
}

fn followed(scores: &RecordingScores, example: &TrialExample) -> Recording {
    let row = |scores: &QuantityScores| {
        let rmse = significant(scores.mse.sqrt());
        [
            scores.name.clone(),
            scores.columns.to_string(),
            scores.r2.map_or("–".to_owned(), |r2| format!("{r2:.4}")),
            match scores.unit.as_str() {
                "1" => rmse,
                unit => format!("{rmse} {unit}"),
            },
        ]
    };
    let values = |values: &[f64], count: usize| {
        let shown = values.iter().take(MOST_VALUES).copied().map(significant);
        let more = if count > MOST_VALUES { ", …" } else { "" };
        shown.collect::<Vec<_>>().join(", ") + more
    };
    let trained = scores.trained.iter().take(MOST_OUTPUT_ROWS);
    Recording {
        rows: scores.quantities.iter().map(row).collect(),
        trained: trained
            .map(|p| {
                let [before, after] = [&p.before, &p.after].map(|x| values(x, p.count));
                [p.name.clone(), before, after]
            })
            .collect(),
        trained_left_out: scores.trained.len().saturating_sub(MOST_OUTPUT_ROWS),
        example: trial::draw(example),
    }
}

fn class_row(name: &str, scores: [f64; 3], support: u64) -> ClassRow {
    ClassRow {
        name: name.to_owned(),
        scores: scores.map(|score| Score {
            text: format!("{score:.4}"),
            bar: format!(
                "{:.3}",
                if score.is_finite() {
                    score.clamp(0.0, 1.0)
                } else {
                    0.0
                }
            ),
        }),
        support: count(support),
        support_number: support,
    }
}

fn value_baselines(model: &str, scores: &RegressionScores) -> Option<Baselines> {
    let counts = scores.bits_per_spike.is_some();
    let of = |mean: &OutputScores, bits: Option<f64>| {
        if counts {
            [bits.unwrap_or(f64::NAN), mean.correlation]
        } else {
            [mean.r2, mean.correlation]
        }
    };
    let first = if counts { "bits per spike" } else { "mean R²" };
    let own = of(&scores.mean, scores.bits_per_spike);
    let heads = [first, "mean correlation"];
    baselines(heads, (model, own), &scores.baselines, |scores| {
        of(&scores.mean, scores.bits_per_spike)
    })
}

fn class_baselines(
    model: &str,
    report: &ClassificationReport,
    all: &[Baseline<ClassShares>],
) -> Option<Baselines> {
    let of = |shares: &ClassShares| [shares.accuracy, shares.balanced_accuracy];
    let heads = ["accuracy", "balanced accuracy"];
    baselines(heads, (model, of(&report.shares())), all, of)
}

/// The model and what it is compared with, where there is something.
fn baselines<S>(
    heads: [&'static str; 2],
    (model, own): (&str, [f64; 2]),
    all: &[Baseline<S>],
    of: impl Fn(&S) -> [f64; 2],
) -> Option<Baselines> {
    let row = |name: &str, scores: [f64; 2], penalty: Option<f64>| {
        let [first, second] = scores.map(|x| match x {
            x if x.is_finite() => format!("{x:.4}"),
            _ => "–".to_owned(),
        });
        let penalty = penalty.map_or_else(String::new, significant);
        [name.to_owned(), first, second, penalty]
    };
    let others = all
        .iter()
        .map(|baseline| row(&baseline.name, of(&baseline.scores), baseline.penalty));
    let rows = std::iter::once(row(model, own, None))
        .chain(others)
        .collect();
    (!all.is_empty()).then_some(Baselines { heads, rows })
}

fn repeats(found: &Explainable) -> Repeats {
    let row = |name: String, explainable: f64, share: f64| {
        let share = if explainable > 0.0 {
            percent(share, 1)
        } else {
            "–".to_owned()
        };
        [name, percent(explainable, 1), share]
    };
    let each = found.outputs.iter().take(MOST_OUTPUT_ROWS).enumerate();
    let each =
        each.map(|(at, output)| row((at + 1).to_string(), output.explainable(), output.share()));
    let all = (found.outputs.len() > 1)
        .then(|| row("all".to_owned(), found.explainable(), found.share()));
    Repeats {
        note: format!(
            "By {} of {} in {}: the signal power of Sahani and Linden (2003) as a share of the variance, and what is predicted of it. \
             What sees the differences between repeats may explain more than all of it",
            counted(found.repeats, "repeat"),
            counted(found.conditions, "condition"),
            counted(found.bins, "bin"),
        ),
        rows: each.chain(all).collect(),
    }
}

fn output_rows(scores: &RegressionScores) -> Vec<(String, [String; 5])> {
    let numbers =
        |row: &OutputScores| [row.r2, row.correlation, row.rmse, row.mae, row.mse].map(significant);
    let each = scores.outputs.iter().take(MOST_OUTPUT_ROWS).enumerate();
    let mut rows: Vec<_> = each
        .map(|(index, row)| ((index + 1).to_string(), numbers(row)))
        .collect();
    if scores.outputs.len() > 1 {
        rows.push(("mean".into(), numbers(&scores.mean)));
    }
    rows
}

fn image(picture: &Picture) -> Image {
    Image {
        width: picture.width.max(1),
        height: picture.height,
        source: format!("data:image/png;base64,{}", picture.png),
    }
}

fn config_line(line: &str) -> ConfigLine<'_> {
    let blank = ConfigLine {
        section: "",
        key: "",
        value: "",
    };
    if line.trim_start().starts_with('[') {
        return ConfigLine {
            section: line,
            ..blank
        };
    }
    match line.find(" = ") {
        Some(at) => {
            let (key, value) = line.split_at(at);
            ConfigLine {
                key,
                value,
                ..blank
            }
        }
        None => ConfigLine {
            value: line,
            ..blank
        },
    }
}

/// A number of things, with the page's own spaces between thousands.
fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{} {}", count(number as u64), several(thing)),
    }
}
