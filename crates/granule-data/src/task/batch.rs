//! Trials and batches of them.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::random::{Purpose, Random};
use super::sheet::{Period, Sheet, steps};
use super::{AnyCondition, Design, Stage};
use crate::DataError;

/// The longest trial, in steps.
const MOST_STEPS: usize = 100_000;
/// The largest array of a batch.
const MOST_NUMBERS: usize = 1 << 28;
/// Trials that stand for all in a fingerprint.
const FINGERPRINTED: u64 = 16;

/// Trials to learn from, to choose by and to score on, which share no random numbers: each part has 2⁴⁰ indices of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Trials to learn from.
    Train,
    /// Trials to stop or choose by.
    Validation,
    /// Trials to score on.
    Test,
}

impl Part {
    /// The indices of the trials of this part that are counted from 0 in `range`.
    pub fn indices(self, range: Range<u64>) -> Range<u64> {
        let base = (self as u64) << 40;
        base.saturating_add(range.start)..base.saturating_add(range.end)
    }
}

/// One trial of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number; with the seed it decides everything.
    pub index: u64,
    /// Steps before the padding.
    pub steps: usize,
    /// Its periods in order, without gaps.
    pub periods: Vec<Period>,
    /// What it shows.
    pub condition: AnyCondition,
}

/// The extents of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TaskShape {
    /// Steps of the longest trial; shorter ones are padded to it.
    pub steps: usize,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
}

/// Trials as arrays. All batches of a task at one `dt` have the same number of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialBatch {
    /// The duration of a step, ms.
    pub dt_ms: f64,
    /// Steps of every trial, padding included.
    pub steps: usize,
    /// `[batch, steps, inputs]`, row-major; 0 in the padding.
    pub inputs: Vec<f32>,
    /// `[batch, steps, outputs]`, row-major; 0 in the padding.
    pub targets: Vec<f32>,
    /// `[batch, steps, outputs]`, row-major: 1 where an output counts in loss and score, else 0.
    pub mask: Vec<f32>,
    /// The trials, one for each row of the batch.
    pub trials: Vec<Trial>,
    pub(super) kind: &'static str,
    pub(super) widths: (usize, usize),
}

impl TrialBatch {
    /// Number of trials.
    pub fn len(&self) -> usize {
        self.trials.len()
    }

    /// Whether there is no trial.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// The extents of every trial.
    pub fn shape(&self) -> TaskShape {
        TaskShape {
            steps: self.steps,
            inputs: self.widths.0,
            outputs: self.widths.1,
        }
    }

    /// The mean over all outputs that count of the squared difference to the target; 0 when none counts.
    ///
    /// # Errors
    /// [`DataError::Config`] when `outputs` are not as many as the targets.
    pub fn loss(&self, outputs: &[f32]) -> Result<f64, DataError> {
        self.check(outputs)?;
        let rows = outputs.iter().zip(&self.targets).zip(&self.mask);
        let (mut sum, mut count) = (0.0, 0.0);
        for ((&x, &target), &weight) in rows {
            sum += f64::from(weight) * (f64::from(x) - f64::from(target)).powi(2);
            count += f64::from(weight);
        }
        Ok(if count > 0.0 { sum / count } else { 0.0 })
    }

    pub(super) fn check(&self, outputs: &[f32]) -> Result<(), DataError> {
        if outputs.len() == self.targets.len() {
            return Ok(());
        }
        Err(DataError::invalid(
            "outputs",
            format!("{} numbers", outputs.len()),
            format!(
                "{} of {} trials of {} steps of {} outputs",
                self.targets.len(),
                self.len(),
                self.steps,
                self.widths.1
            ),
        ))
    }

    /// The trials with their part of the arrays.
    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let (inputs, outputs) = (self.steps * self.widths.0, self.steps * self.widths.1);
        let rows = self
            .inputs
            .chunks_exact(inputs.max(1))
            .zip(self.targets.chunks_exact(outputs.max(1)))
            .zip(self.mask.chunks_exact(outputs.max(1)));
        self.trials
            .iter()
            .zip(rows)
            .map(|(trial, ((inputs, targets), mask))| View {
                trial,
                dt: self.dt_ms,
                widths: self.widths,
                inputs,
                targets,
                mask,
            })
    }
}

/// One trial with its rows.
#[derive(Debug)]
pub struct View<'a> {
    /// The trial.
    pub trial: &'a Trial,
    /// Step, ms.
    pub dt: f64,
    /// Number of inputs and of outputs.
    pub widths: (usize, usize),
    /// `[steps, inputs]`, row-major.
    pub inputs: &'a [f32],
    /// `[steps, outputs]`, row-major.
    pub targets: &'a [f32],
    /// `[steps, outputs]`, row-major: 1 where an output counts.
    pub mask: &'a [f32],
}

impl View<'_> {
    /// The steps of a period; none when the trial has no such period.
    pub fn period(&self, name: &str) -> Range<usize> {
        super::sheet::steps_of(&self.trial.periods, name)
    }
}

pub(super) fn shape(design: &dyn Design, dt: f64) -> Result<TaskShape, DataError> {
    design.validate()?;
    let allowed = |allowed: String| Err(DataError::invalid("dt_ms", dt, allowed));
    if !(dt.is_finite() && dt > 0.0) {
        return allowed("a finite number of ms above 0".into());
    }
    let (mut longest, mut longest_ms) = (0, 0.0f64);
    let mut briefest = design.briefest();
    for condition in 0..design.conditions() {
        let stages = design.stages(condition);
        for stage in &stages {
            let low = stage.span.low;
            if !(low >= 0.0 && stage.span.high >= low && stage.span.high.is_finite()) {
                let found = format!("from {low} to {} ms", stage.span.high);
                let allowed = "from 0 or more ms up to at least as many";
                return Err(DataError::invalid(stage.name, found, allowed));
            }
            if low > 0.0 && briefest.is_none_or(|(_, ms)| low < ms) {
                briefest = Some((stage.name, low));
            }
        }
        let ms: f64 = stages.iter().map(|stage| stage.span.high).sum();
        longest_ms = longest_ms.max(ms);
        if longest_ms / dt > MOST_STEPS as f64 {
            return allowed(format!(
                "so long that the longest trial, {longest_ms} ms, has at most {MOST_STEPS} steps"
            ));
        }
        let count = stages.iter().map(|stage| steps(stage.span.high, dt)).sum();
        longest = longest.max(count);
    }
    if let Some((what, ms)) = briefest.filter(|(_, ms)| *ms < dt) {
        return allowed(format!(
            "at most {ms} ms, so that a step resolves \"{what}\""
        ));
    }
    let info = design.info();
    if longest == 0 || info.outputs.is_empty() {
        let found = if longest == 0 {
            "trials without a step"
        } else {
            "trials without outputs"
        };
        let allowed = "trials of at least one step and one output";
        return Err(DataError::invalid("task", found, allowed));
    }
    Ok(TaskShape {
        steps: longest,
        inputs: info.inputs.len(),
        outputs: info.outputs.len(),
    })
}

pub(super) fn trials(
    design: &dyn Design,
    seed: u64,
    indices: Range<u64>,
    dt: f64,
) -> Result<TrialBatch, DataError> {
    let shape = shape(design, dt)?;
    let widest = shape.steps.saturating_mul(shape.inputs.max(shape.outputs));
    let count = usize::try_from(indices.end.saturating_sub(indices.start)).unwrap_or(usize::MAX);
    if count.saturating_mul(widest.max(1)) > MOST_NUMBERS {
        return Err(DataError::invalid(
            "trials",
            count,
            format!(
                "at most {} of {} steps",
                MOST_NUMBERS / widest.max(1),
                shape.steps
            ),
        ));
    }
    let mut batch = TrialBatch {
        dt_ms: dt,
        steps: shape.steps,
        inputs: vec![0.0; count * shape.steps * shape.inputs],
        targets: vec![0.0; count * shape.steps * shape.outputs],
        mask: vec![0.0; count * shape.steps * shape.outputs],
        trials: Vec::with_capacity(count),
        kind: design.info().name,
        widths: (shape.inputs, shape.outputs),
    };
    let (inputs, outputs) = (
        (shape.steps * shape.inputs).max(1),
        (shape.steps * shape.outputs).max(1),
    );
    let rows = batch
        .inputs
        .chunks_exact_mut(inputs)
        .zip(batch.targets.chunks_exact_mut(outputs))
        .zip(batch.mask.chunks_exact_mut(outputs));
    let mut order = Order::new(design.conditions(), seed);
    for (index, ((inputs, targets), mask)) in indices.zip(rows) {
        let condition = order.condition(index);
        let mut random = Random::new(seed, Purpose::Trial, index);
        let periods = periods(&design.stages(condition), dt, &mut random);
        let mut sheet = Sheet {
            dt,
            periods,
            inputs,
            targets,
            mask,
            widths: batch.widths,
            noise: Random::new(seed, Purpose::Noise, index),
        };
        let condition = design.write(condition, &mut random, &mut sheet);
        batch.trials.push(Trial {
            index,
            steps: sheet.all().end,
            periods: sheet.periods,
            condition,
        });
    }
    Ok(batch)
}

/// Draws the durations and lays the periods end to end, each in whole steps; one without a step is none.
fn periods(stages: &[Stage], dt: f64, random: &mut Random) -> Vec<Period> {
    let mut end = 0;
    let mut periods = Vec::with_capacity(stages.len());
    for Stage { name, span } in stages {
        let start = end;
        end += steps(random.uniform(span.low, span.high), dt);
        if end > start {
            periods.push(Period { name, start, end });
        }
    }
    periods
}

/// The conditions of consecutive trials: each once a block, in an order decided by (seed, block).
struct Order {
    conditions: usize,
    seed: u64,
    block: Option<(u64, Vec<usize>)>,
}

impl Order {
    fn new(conditions: usize, seed: u64) -> Self {
        Self {
            conditions: conditions.max(1),
            seed,
            block: None,
        }
    }

    fn condition(&mut self, index: u64) -> usize {
        let conditions = self.conditions as u64;
        let (number, place) = (index / conditions, (index % conditions) as usize);
        let (_, order) = match self.block.take() {
            Some(block) if block.0 == number => self.block.insert(block),
            _ => {
                let mut random = Random::new(self.seed, Purpose::Order, number);
                self.block
                    .insert((number, random.permutation(self.conditions)))
            }
        };
        order.get(place).copied().unwrap_or_default()
    }
}

pub(super) fn fingerprint(design: &dyn Design, seed: u64, dt: f64) -> Result<String, DataError> {
    let batch = trials(design, seed, 0..FINGERPRINTED, dt)?;
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {:?}", batch.kind, batch.steps, batch.widths));
    for trial in &batch.trials {
        hash.update(format!("{trial:?}"));
    }
    for numbers in [&batch.inputs, &batch.targets, &batch.mask] {
        numbers.iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    let digest = hash.finalize();
    Ok(crate::text::hexadecimal(
        digest.get(..16).unwrap_or_default(),
    ))
}
