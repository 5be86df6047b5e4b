//! Scores: what outputs amount to, in the measure of the task.

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::{AnyCondition, Design, TrialBatch};
use crate::DataError;

/// What a network did in one trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Its output is compared with the target alone.
    Trace,
    /// It made a choice.
    Choice {
        /// The output chosen.
        chosen: usize,
    },
    /// It produced an interval.
    Interval {
        /// The interval asked for, ms.
        target_ms: f64,
        /// Its duration, ms; none when the output never passed the threshold.
        produced_ms: Option<f64>,
        /// Share of the interval asked for by which it may be off.
        tolerance: f64,
    },
}

/// The result of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialScore {
    /// What the trial showed.
    pub condition: AnyCondition,
    /// What the network did.
    pub verdict: Verdict,
    task: &'static str,
    /// One for each output.
    sums: Vec<Sums>,
}

/// Sums over the steps at which one output counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    count: f64,
    target: f64,
    target_square: f64,
    error_square: f64,
}

/// How well outputs solve a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Trials scored.
    pub trials: u64,
    /// Mean of the squared difference to the target, over all that counts.
    pub mse: f64,
    /// The same for the best constant outputs, one for each output: what knowing nothing of the inputs gives.
    pub constant_mse: f64,
    /// The task's own measure.
    pub performance: Performance,
}

/// The measure of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case")]
pub enum Performance {
    /// The mean squared error is the measure.
    Trace,
    /// Choices are right or wrong.
    Choice(ChoiceScore),
    /// Intervals are produced.
    Timing(TimingScore),
}

/// Choices of all trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// Share of the trials with a right choice in which it was made.
    pub accuracy: f64,
    /// What choosing without looking gives: the share of the most frequent right choice.
    pub chance: f64,
    /// Trials in which the right choice was made.
    pub correct: u64,
    /// Trials that have a right choice.
    pub counted: u64,
    /// The choices by name.
    pub choices: Vec<String>,
    /// Counts of right against made choice: `confusion[right][made]`.
    pub confusion: Vec<Vec<u64>>,
    /// Choices by signed evidence; none for a task whose evidence has no strength.
    pub psychometric: Vec<PsychometricCurve>,
}

/// How often the second of two choices was made, by the evidence for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PsychometricCurve {
    /// Which evidence: `coherence`.
    pub name: String,
    /// One for each strength, in rising order.
    pub points: Vec<PsychometricPoint>,
}

/// Choices at one strength of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PsychometricPoint {
    /// Evidence for the second choice; negative for the first.
    pub evidence: f64,
    /// Trials with this evidence.
    pub trials: u64,
    /// Trials of them in which the second choice was made.
    pub second: u64,
}

impl PsychometricPoint {
    /// Share of the second choice.
    pub fn share(&self) -> f64 {
        self.second as f64 / self.trials.max(1) as f64
    }

    /// Share of the choice that this evidence speaks for; none for evidence of 0.
    pub fn accuracy(&self) -> Option<f64> {
        (self.evidence != 0.0).then(|| {
            if self.evidence > 0.0 {
                self.share()
            } else {
                1.0 - self.share()
            }
        })
    }
}

/// Intervals produced in all trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimingScore {
    /// Share of the trials whose interval is within the tolerance.
    pub accuracy: f64,
    /// What always producing the mean interval gives.
    pub chance: f64,
    /// Mean of |produced − asked for|, ms, over the trials in which one was produced; none when there is none.
    pub mean_error_ms: Option<f64>,
    /// The same as a share of the interval asked for.
    pub mean_relative_error: Option<f64>,
    /// Trials in which none was produced.
    pub missed: u64,
    /// One for each interval, in rising order.
    pub intervals: Vec<IntervalPoint>,
}

/// Intervals produced for one interval shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntervalPoint {
    /// The interval asked for, ms.
    pub target_ms: f64,
    /// Trials with it.
    pub trials: u64,
    /// Trials of them in which none was produced.
    pub missed: u64,
    /// Mean of the produced ones, ms; none when there is none.
    pub mean_ms: Option<f64>,
    /// Their standard deviation, ms; none below two of them.
    pub deviation_ms: Option<f64>,
}

impl Score {
    /// Share of trials solved; none for a task whose measure is the mean squared error.
    pub fn accuracy(&self) -> Option<f64> {
        match &self.performance {
            Performance::Trace => None,
            Performance::Choice(choice) => Some(choice.accuracy),
            Performance::Timing(timing) => Some(timing.accuracy),
        }
    }
}

pub(super) fn judge(
    design: &dyn Design,
    outputs: &[f32],
    batch: &TrialBatch,
) -> Result<Vec<TrialScore>, DataError> {
    check_task(design, batch)?;
    batch.check(outputs)?;
    if let Some(bad) = outputs.iter().find(|x| !x.is_finite()) {
        return Err(DataError::invalid("outputs", bad, "finite numbers"));
    }
    let width = batch.widths.1;
    let rows = outputs.chunks_exact((batch.steps * width).max(1));
    let scores = batch.views().zip(rows).map(|(view, outputs)| {
        let mut sums = vec![Sums::default(); width];
        let cells = outputs.iter().zip(view.targets).zip(view.mask);
        for (place, ((&x, &target), &weight)) in cells.enumerate() {
            if let Some(sums) = sums.get_mut(place % width.max(1)) {
                let (x, target, weight) = (f64::from(x), f64::from(target), f64::from(weight));
                sums.count += weight;
                sums.target += weight * target;
                sums.target_square += weight * target * target;
                sums.error_square += weight * (x - target) * (x - target);
            }
        }
        TrialScore {
            condition: view.trial.condition.clone(),
            task: batch.kind,
            verdict: design.judge(&view, outputs),
            sums,
        }
    });
    Ok(scores.collect())
}

/// Sums up trials of one task.
pub(super) fn summarise(design: &dyn Design, trials: &[TrialScore]) -> Result<Score, DataError> {
    let Some(first) = trials.first() else {
        return Err(DataError::invalid("trials", 0, "at least 1 to score"));
    };
    let info = design.info();
    let names = info.outputs;
    let other = trials
        .iter()
        .find(|trial| trial.task != info.name || trial.sums.len() != names.len());
    if let Some(other) = other {
        return Err(DataError::invalid(
            "trials",
            format!("{} with {} outputs", other.task, other.sums.len()),
            format!("those of {} with {}", info.name, names.len()),
        ));
    }
    let (mse, constant_mse) = errors(trials, names.len());
    Ok(Score {
        trials: trials.len() as u64,
        mse,
        constant_mse,
        performance: match first.verdict {
            Verdict::Trace => Performance::Trace,
            Verdict::Choice { .. } => Performance::Choice(choices(trials, &names)),
            Verdict::Interval { .. } => Performance::Timing(timing(trials)),
        },
    })
}

pub(super) fn ideal_outputs(
    design: &dyn Design,
    batch: &TrialBatch,
) -> Result<Vec<f32>, DataError> {
    check_task(design, batch)?;
    let mut outputs = vec![0.0; batch.targets.len()];
    let rows = outputs.chunks_exact_mut((batch.steps * batch.widths.1).max(1));
    for (view, outputs) in batch.views().zip(rows) {
        design.observe(&view, outputs);
    }
    Ok(outputs)
}

fn check_task(design: &dyn Design, batch: &TrialBatch) -> Result<(), DataError> {
    let info = design.info();
    if info.name == batch.kind && (info.inputs.len(), info.outputs.len()) == batch.widths {
        return Ok(());
    }
    Err(DataError::invalid(
        "batch",
        format!(
            "trials of {} with {} and {}",
            batch.kind,
            counted(batch.widths.0, "input"),
            counted(batch.widths.1, "output")
        ),
        format!(
            "those of {} with {} and {}",
            info.name,
            counted(info.inputs.len(), "input"),
            counted(info.outputs.len(), "output")
        ),
    ))
}

/// The mean squared error of the outputs, and that of the best constants.
fn errors(trials: &[TrialScore], width: usize) -> (f64, f64) {
    let mut totals = vec![Sums::default(); width];
    for trial in trials {
        for (total, sums) in totals.iter_mut().zip(&trial.sums) {
            total.count += sums.count;
            total.target += sums.target;
            total.target_square += sums.target_square;
            total.error_square += sums.error_square;
        }
    }
    let count = totals.iter().map(|total| total.count).sum::<f64>().max(1.0);
    let error: f64 = totals.iter().map(|total| total.error_square).sum();
    let spread: f64 = totals
        .iter()
        .map(|total| total.target_square - total.target * total.target / total.count.max(1.0))
        .sum();
    (error / count, spread.max(0.0) / count)
}

fn choices(trials: &[TrialScore], names: &[String]) -> ChoiceScore {
    let mut confusion = vec![vec![0; names.len()]; names.len()];
    let mut curves: Vec<PsychometricCurve> = Vec::new();
    for trial in trials {
        let Verdict::Choice { chosen } = trial.verdict else {
            continue;
        };
        let cell = trial
            .condition
            .correct()
            .and_then(|correct| confusion.get_mut(correct)?.get_mut(chosen));
        if let Some(count) = cell {
            *count += 1;
        }
        for (name, evidence) in trial.condition.evidence() {
            point(&mut curves, name, evidence).add(chosen);
        }
    }
    for curve in &mut curves {
        curve
            .points
            .sort_by(|a, b| a.evidence.total_cmp(&b.evidence));
    }
    curves.sort_by(|a, b| a.name.cmp(&b.name));
    let counted: u64 = confusion.iter().flatten().sum();
    let correct: u64 = confusion
        .iter()
        .enumerate()
        .filter_map(|(choice, row)| row.get(choice))
        .sum();
    let most = confusion.iter().map(|row| row.iter().sum::<u64>()).max();
    let share = |count: u64| count as f64 / counted.max(1) as f64;
    ChoiceScore {
        accuracy: share(correct),
        chance: share(most.unwrap_or_default()),
        correct,
        counted,
        choices: names.to_vec(),
        confusion,
        psychometric: curves,
    }
}

impl PsychometricPoint {
    fn add(&mut self, chosen: usize) {
        self.trials += 1;
        self.second += u64::from(chosen == 1);
    }
}

/// The point of a curve, made when it is not there.
fn point<'a>(
    curves: &'a mut Vec<PsychometricCurve>,
    name: &str,
    evidence: f64,
) -> &'a mut PsychometricPoint {
    let curve = place(
        curves,
        |curve| curve.name == name,
        || PsychometricCurve {
            name: name.to_owned(),
            points: Vec::new(),
        },
    );
    // Adding 0 makes 0 of −0.
    let evidence = evidence + 0.0;
    place(
        &mut curve.points,
        |point| point.evidence == evidence,
        || PsychometricPoint {
            evidence,
            trials: 0,
            second: 0,
        },
    )
}

/// The first item that fits, or a new one at the end.
fn place<T>(items: &mut Vec<T>, fits: impl FnMut(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let at = items.iter().position(fits).unwrap_or(items.len());
    if at == items.len() {
        items.push(make());
    }
    &mut items[at]
}

fn timing(trials: &[TrialScore]) -> TimingScore {
    /// One trial: what was asked for, what was produced, how far off it may be.
    struct Row(f64, Option<f64>, f64);
    let rows: Vec<Row> = trials
        .iter()
        .filter_map(|trial| match trial.verdict {
            Verdict::Interval {
                target_ms,
                produced_ms,
                tolerance,
            } => Some(Row(target_ms, produced_ms, tolerance * target_ms)),
            _ => None,
        })
        .collect();
    let hits = |produced: &dyn Fn(&Row) -> Option<f64>| {
        let hit = |row: &&Row| produced(row).is_some_and(|ms| (ms - row.0).abs() <= row.2);
        rows.iter().filter(hit).count() as f64 / rows.len().max(1) as f64
    };
    let errors = |share: bool| -> Vec<f64> {
        let error = |row: &Row| Some((row.1? - row.0).abs() / if share { row.0 } else { 1.0 });
        rows.iter().filter_map(error).collect()
    };
    let targets: Vec<f64> = rows.iter().map(|row| row.0).collect();
    let mean_target = mean(&targets);
    let mut groups: Vec<(f64, Vec<Option<f64>>)> = Vec::new();
    for row in &rows {
        let group = place(
            &mut groups,
            |group| group.0 == row.0,
            || (row.0, Vec::new()),
        );
        group.1.push(row.1);
    }
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    TimingScore {
        accuracy: hits(&|row| row.1),
        chance: hits(&|_| mean_target),
        mean_error_ms: mean(&errors(false)),
        mean_relative_error: mean(&errors(true)),
        missed: rows.iter().filter(|row| row.1.is_none()).count() as u64,
        intervals: groups
            .iter()
            .map(|(target, all)| interval(*target, all))
            .collect(),
    }
}

fn interval(target_ms: f64, all: &[Option<f64>]) -> IntervalPoint {
    let produced: Vec<f64> = all.iter().copied().flatten().collect();
    let mean_ms = mean(&produced);
    let squares = mean_ms
        .map(|mean| produced.iter().map(|x| (x - mean).powi(2)).sum::<f64>())
        .filter(|_| produced.len() > 1);
    IntervalPoint {
        target_ms,
        trials: all.len() as u64,
        missed: (all.len() - produced.len()) as u64,
        mean_ms,
        deviation_ms: squares.map(|sum| (sum / (produced.len() - 1) as f64).sqrt()),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
