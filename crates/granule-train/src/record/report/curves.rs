//! Learning curves.

use granule_chart::Axis;
use serde::Serialize;

use super::axis::{Frame, Tick};
use super::format;
use crate::record::{EpochRow, StepRow};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = HEIGHT - 44.0;
const MOST_EPOCHS: usize = 400;
/// Lines of runs have so many colours of their own.
const RUN_COLOURS: usize = 8;
/// Curves within epochs help while there are few of them, and are averaged to this many points.
const MOST_EPOCHS_BY_STEP: usize = 2;
const MOST_STEP_POINTS: usize = 60;
/// Above this ratio of the largest to the smallest loss the axis is logarithmic.
const LOGARITHMIC_ABOVE: f64 = 20.0;

#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub id: &'static str,
    pub title: &'static str,
    pub note: String,
    #[serde(flatten)]
    pub frame: Frame,
    pub lines: Vec<Line>,
    pub best: Option<Best>,
    pub strips: Vec<Strip>,
}

#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub class: String,
    pub name: String,
    pub path: String,
    pub dots: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
pub(super) struct Best {
    pub x: String,
    pub label: String,
    /// SVG's `text-anchor`.
    pub anchor: &'static str,
    pub label_x: String,
}

/// The part of the plot that belongs to one epoch, with what to tell about it.
#[derive(Debug, Serialize)]
pub(super) struct Strip {
    pub x: String,
    pub width: String,
    pub middle: String,
    pub tip: String,
}

/// One quantity of the rows.
struct Quantity {
    id: &'static str,
    title: &'static str,
    is_fraction: bool,
    /// What the line of the training rows is called.
    name: &'static str,
    train: fn(&EpochRow) -> Option<f64>,
    validation: fn(&EpochRow) -> Option<f64>,
    step: fn(&StepRow) -> Option<f64>,
}

const LOSS: Quantity = Quantity {
    id: "loss",
    title: "Loss",
    is_fraction: false,
    name: "training",
    train: |row| Some(row.train_loss),
    validation: |row| row.validation_loss,
    step: |row| Some(row.loss),
};

const ACCURACY: Quantity = Quantity {
    id: "accuracy",
    title: "Accuracy",
    is_fraction: true,
    name: "training",
    train: |row| row.train_accuracy,
    validation: |row| row.validation_accuracy,
    step: |row| row.accuracy,
};

const LEARNING_RATE: Quantity = Quantity {
    id: "learning-rate",
    title: "Learning rate",
    is_fraction: false,
    name: "learning rate",
    train: |row| Some(row.learning_rate),
    validation: |_| None,
    step: |row| Some(row.learning_rate),
};

/// The charts of loss and accuracy, or of the learning rate where there is no accuracy.
pub(super) fn charts(
    epochs: &[EpochRow],
    steps: &[StepRow],
    best_epoch: Option<u64>,
) -> Vec<Chart> {
    let epochs = thin_epochs(epochs, best_epoch);
    let steps = if epochs.len() <= MOST_EPOCHS_BY_STEP {
        thin_steps(steps, MOST_STEP_POINTS)
    } else {
        Vec::new()
    };
    let draw = |quantity| chart(quantity, &epochs, &steps, best_epoch);
    [
        draw(&LOSS),
        draw(&ACCURACY).or_else(|| draw(&LEARNING_RATE)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Charts of one quantity each with a line for every run, for the quantities that a run has: training and validation loss
/// and accuracy.
pub(super) fn overlays(runs: &[(&str, &[EpochRow])]) -> Vec<Chart> {
    let thinned: Vec<(&str, Vec<EpochRow>)> = runs
        .iter()
        .map(|(name, epochs)| (*name, thin_epochs(epochs, None)))
        .collect();
    let draw = |quantity, id, title, value| overlay(quantity, (id, title), value, &thinned);
    [
        draw(&LOSS, "loss", "Training loss", LOSS.train),
        draw(&LOSS, "validation-loss", "Validation loss", LOSS.validation),
        draw(&ACCURACY, "accuracy", "Training accuracy", ACCURACY.train),
        draw(
            &ACCURACY,
            "validation-accuracy",
            "Validation accuracy",
            ACCURACY.validation,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn overlay(
    quantity: &Quantity,
    (id, title): (&'static str, &'static str),
    value: fn(&EpochRow) -> Option<f64>,
    runs: &[(&str, Vec<EpochRow>)],
) -> Option<Chart> {
    let points = |epochs: &[EpochRow]| -> Vec<(f64, f64)> {
        let rows = epochs.iter();
        rows.filter_map(|row| Some((row.epoch as f64, value(row)?)))
            .collect()
    };
    let all: Vec<_> = runs
        .iter()
        .enumerate()
        .map(|(index, (name, epochs))| (index, *name, points(epochs)))
        .filter(|(.., points)| !points.is_empty())
        .collect();
    let ranged: Vec<f64> = all
        .iter()
        .flat_map(|(.., points)| points.iter().map(|point| point.1))
        .filter(|value| value.is_finite())
        .collect();
    if ranged.is_empty() {
        return None;
    }
    let longest = runs
        .iter()
        .map(|(_, epochs)| epochs)
        .max_by_key(|epochs| epochs.last().map_or(0, |row| row.epoch))?;
    let (x, y) = (x_axis(longest, false), y_axis(quantity, &ranged));
    let shown = |value: f64| {
        if quantity.is_fraction {
            format::percent(value, 2)
        } else {
            format::significant(value)
        }
    };
    let tip = |row: &EpochRow| {
        let mut tip = format!("epoch {}", row.epoch);
        for (_, name, points) in &all {
            if let Some((_, value)) = points.iter().find(|(epoch, _)| *epoch == row.epoch as f64) {
                tip.push_str(&format!("\n{name} {}", shown(*value)));
            }
        }
        tip
    };
    Some(Chart {
        id,
        title,
        note: logarithmic_note(&y),
        frame: frame(
            Tick::whole(&x),
            Tick::of(&y, |value| tick_label(quantity, &y, value)),
        ),
        lines: all
            .iter()
            .map(|(index, name, points)| {
                let dotted = points.len() == 1;
                line(&run_class(*index), name, points, &x, &y, dotted)
            })
            .collect(),
        best: None,
        strips: strips(longest, &x, tip),
    })
}

/// The style of a run's line: so many colours, then again with dashes.
pub(super) fn run_class(index: usize) -> String {
    let dashed = if index / RUN_COLOURS % 2 == 1 {
        " dashed"
    } else {
        ""
    };
    format!("run-{}{dashed}", index % RUN_COLOURS)
}

fn logarithmic_note(y: &Axis) -> String {
    if y.is_logarithmic() {
        "logarithmic axis".into()
    } else {
        String::new()
    }
}

/// Averages neighbouring rows, so that at most `limit` remain.
pub(super) fn thin_steps(steps: &[StepRow], limit: usize) -> Vec<StepRow> {
    let group = steps.len().div_ceil(limit.max(1)).max(1);
    steps
        .chunks(group)
        .filter_map(|rows| {
            let last = rows.last()?;
            let mean = |value: fn(&StepRow) -> f64| {
                rows.iter().map(value).sum::<f64>() / rows.len() as f64
            };
            let middle = rows.get(rows.len() / 2)?;
            Some(StepRow {
                step: middle.step,
                epoch: middle.epoch,
                loss: mean(|row| row.loss),
                accuracy: last
                    .accuracy
                    .map(|_| mean(|row| row.accuracy.unwrap_or(f64::NAN))),
                learning_rate: middle.learning_rate,
            })
        })
        .collect()
}

fn thin_epochs(epochs: &[EpochRow], best_epoch: Option<u64>) -> Vec<EpochRow> {
    let stride = epochs.len().div_ceil(MOST_EPOCHS).max(1);
    let last = epochs.len().saturating_sub(1);
    let kept = epochs.iter().enumerate();
    kept.filter(|(index, row)| {
        index % stride == 0 || *index == last || Some(row.epoch) == best_epoch
    })
    .map(|(_, row)| *row)
    .collect()
}

fn chart(
    quantity: &Quantity,
    epochs: &[EpochRow],
    steps: &[StepRow],
    best_epoch: Option<u64>,
) -> Option<Chart> {
    let steps_per_epoch = match (epochs.last(), steps.last()) {
        (Some(row), _) if row.epoch > 0 => row.step as f64 / row.epoch as f64,
        (_, Some(row)) => row.step as f64,
        _ => return None,
    }
    .max(1.0);
    let series = |value: fn(&EpochRow) -> Option<f64>| -> Vec<(f64, f64)> {
        epochs
            .iter()
            .filter_map(|row| Some((row.epoch as f64, value(row)?)))
            .collect()
    };
    let (train, validation) = (series(quantity.train), series(quantity.validation));
    let mut within: Vec<_> = steps
        .iter()
        .filter_map(|row| Some((row.step as f64 / steps_per_epoch, (quantity.step)(row)?)))
        .collect();
    // One step is no curve, and would stretch the axes.
    if within.len() == 1 && !train.is_empty() {
        within.clear();
    }

    let by_step = within.len() > 1;
    let x = x_axis(epochs, by_step);
    let ranged: Vec<f64> = [train.as_slice(), &validation, &within]
        .into_iter()
        .flat_map(|points| points.iter().map(|point| point.1))
        .filter(|value| value.is_finite())
        .collect();
    if ranged.is_empty() {
        return None;
    }
    let y = y_axis(quantity, &ranged);
    let dotted = epochs.len() <= 20;
    let lines = [
        ("steps", "training, by step", within),
        ("train", quantity.name, train),
        ("validation", "validation", validation),
    ]
    .into_iter()
    .filter(|(_, _, points)| !points.is_empty())
    .map(|(class, name, points)| {
        // A single point has no line.
        let dotted = (dotted && class != "steps") || points.len() == 1;
        line(class, name, &points, &x, &y, dotted)
    })
    .collect();
    let best =
        best_epoch.filter(|&best| epochs.len() > 1 && epochs.iter().any(|row| row.epoch == best));
    Some(Chart {
        id: quantity.id,
        title: quantity.title,
        note: logarithmic_note(&y),
        frame: frame(
            if epochs.len() > 2 || !by_step {
                Tick::whole(&x)
            } else {
                Tick::of(&x, format::significant)
            },
            Tick::of(&y, |value| tick_label(quantity, &y, value)),
        ),
        lines,
        best: best.and_then(|best| best_mark(best, &x)),
        strips: strips(epochs, &x, |row| tip(quantity, row, best_epoch)),
    })
}

fn frame(x_ticks: Vec<Tick>, y_ticks: Vec<Tick>) -> Frame {
    Frame {
        width: WIDTH,
        height: HEIGHT,
        left: LEFT,
        right: RIGHT,
        top: TOP,
        bottom: BOTTOM,
        x_ticks,
        y_ticks,
    }
}

fn x_axis(epochs: &[EpochRow], from_zero: bool) -> Axis {
    let last = epochs.last().map_or(1.0, |row| row.epoch as f64);
    let first = epochs.first().map_or(1.0, |row| row.epoch as f64);
    let (low, high) = if from_zero {
        (0.0, last)
    } else if last > first {
        (first, last)
    } else {
        (first - 0.5, first + 0.5)
    };
    let margin = if dense(epochs) {
        0.0
    } else {
        (high - low) * 0.02
    };
    Axis::exact(
        low - if from_zero { 0.0 } else { margin },
        high + margin,
        LEFT,
        RIGHT,
    )
}

fn dense(epochs: &[EpochRow]) -> bool {
    epochs.len() > 60
}

fn y_axis(quantity: &Quantity, values: &[f64]) -> Axis {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if quantity.is_fraction {
        let axis = if high > low {
            Axis::rounded(low, high.max(low + 0.005), BOTTOM, TOP)
        } else {
            Axis::rounded(low - 0.05, low + 0.05, BOTTOM, TOP)
        };
        return Axis::exact(axis.low().max(0.0), axis.high().min(1.0), BOTTOM, TOP);
    }
    if low > 0.0 && high / low > LOGARITHMIC_ABOVE {
        Axis::logarithmic(low, high, BOTTOM, TOP)
    } else if low >= 0.0 && low < 0.4 * high {
        Axis::rounded(0.0, high, BOTTOM, TOP)
    } else {
        Axis::rounded(low, high, BOTTOM, TOP)
    }
}

fn tick_label(quantity: &Quantity, axis: &Axis, value: f64) -> String {
    if quantity.is_fraction {
        let digits = if axis.high() - axis.low() < 0.045 {
            1
        } else {
            0
        };
        format::percent(value, digits)
    } else {
        format::significant(value)
    }
}

fn line(class: &str, name: &str, points: &[(f64, f64)], x: &Axis, y: &Axis, dotted: bool) -> Line {
    let mut path = String::new();
    let mut dots = Vec::new();
    let mut pen_down = false;
    for &(epoch, value) in points {
        let (Some(at_x), Some(at_y)) = (x.place(epoch), y.place(value)) else {
            pen_down = false;
            continue;
        };
        let (at_x, at_y) = (
            format::coordinate(at_x),
            format::coordinate(at_y.clamp(-1e4, 1e4)),
        );
        path.push_str(&format!(
            "{}{at_x} {at_y}",
            if pen_down { 'L' } else { 'M' }
        ));
        pen_down = true;
        if dotted {
            dots.push((at_x, at_y));
        }
    }
    Line {
        class: class.to_owned(),
        name: name.to_owned(),
        path,
        dots,
    }
}

fn best_mark(epoch: u64, x: &Axis) -> Option<Best> {
    let at = x.place(epoch as f64)?;
    let (anchor, offset) = match at {
        at if at > RIGHT - 60.0 => ("end", if at > RIGHT - 4.0 { 0.0 } else { 4.0 }),
        at if at < LEFT + 60.0 => ("start", -4.0),
        _ => ("middle", 0.0),
    };
    Some(Best {
        x: format::coordinate(at),
        label: format!("best: epoch {epoch}"),
        anchor,
        label_x: format::coordinate(at + offset),
    })
}

/// What to tell about an epoch.
fn tip(quantity: &Quantity, row: &EpochRow, best_epoch: Option<u64>) -> String {
    let value = |value: f64| {
        if quantity.is_fraction {
            format::percent(value, 2)
        } else {
            format::significant(value)
        }
    };
    let mut tip = format!("epoch {}", row.epoch);
    if best_epoch == Some(row.epoch) {
        tip.push_str(" (best)");
    }
    for (name, found) in [
        (quantity.name, (quantity.train)(row)),
        ("validation", (quantity.validation)(row)),
    ] {
        if let Some(found) = found {
            tip.push_str(&format!("\n{name} {}", value(found)));
        }
    }
    if quantity.id != LEARNING_RATE.id {
        tip.push_str(&format!(
            "\nlearning rate {}",
            format::significant(row.learning_rate)
        ));
    }
    tip
}

fn strips(epochs: &[EpochRow], x: &Axis, tip: impl Fn(&EpochRow) -> String) -> Vec<Strip> {
    let at: Vec<f64> = epochs
        .iter()
        .filter_map(|row| x.place(row.epoch as f64))
        .collect();
    epochs
        .iter()
        .zip(&at)
        .enumerate()
        .map(|(index, (row, &middle))| {
            let half_way =
                |other: Option<&f64>, end: f64| other.map_or(end, |other| (middle + other) / 2.0);
            let from = half_way(index.checked_sub(1).and_then(|before| at.get(before)), LEFT);
            let to = half_way(at.get(index + 1), RIGHT);
            Strip {
                x: format::coordinate(from),
                width: format::coordinate((to - from).max(0.0)),
                middle: format::coordinate(middle),
                tip: tip(row),
            }
        })
        .collect()
}
