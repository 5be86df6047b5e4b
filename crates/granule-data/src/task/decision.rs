//! What tasks that end in a choice have in common: a cue to hold still, and one output for each choice.
//!
//! The cue is the first input: 1 until the decision, then 0. Outputs are held low until the decision, in which the
//! right one is high. As in Song, Yang & Wang (2016) only the periods `fixation` and `decision` count in the loss, the
//! latter after a time of grace, so that a network may show its evidence while it gathers it.

use std::ops::Range;

use super::random::Random;
use super::sheet::{Sheet, Stage, steps, steps_of};
use super::span::Least;
use super::{Span, Trial};
use crate::DataError;

/// Output of a choice that is not, and that is made (Song, Yang & Wang 2016).
pub(super) const LOW: f64 = 0.2;
pub(super) const HIGH: f64 = 1.0;

pub(super) const FIXATION: &str = "fixation";
pub(super) const DECISION: &str = "decision";

/// The input that asks to hold still.
pub(super) const CUE: usize = 0;

/// Writes cue, targets and mask. Without a right choice the decision does not count.
pub(super) fn instruct(sheet: &mut Sheet<'_>, correct: Option<usize>, grace_ms: f64) {
    let decision = sheet.period(DECISION);
    let (fixation, waiting) = (sheet.period(FIXATION), 0..decision.start);
    sheet.input(CUE, waiting.clone(), 1.0);
    let graced = after_grace(&decision, grace_ms, sheet.dt);
    for output in 0..sheet.widths.1 {
        let level = if correct == Some(output) { HIGH } else { LOW };
        sheet.target(output, waiting.clone(), |_| LOW);
        sheet.target(output, decision.clone(), |_| level);
        sheet.count(output, fixation.clone(), true);
        sheet.count(output, graced.clone(), correct.is_some());
    }
}

/// The decision without the time of grace, at least its last step.
fn after_grace(decision: &Range<usize>, grace_ms: f64, dt: f64) -> Range<usize> {
    let first = decision.start + steps(grace_ms, dt);
    first.min(decision.end.saturating_sub(1))..decision.end
}

/// The output that is largest on average over the decision, time of grace excluded; the first of equals.
pub(super) fn chosen(
    trial: &Trial,
    outputs: &[f32],
    width: usize,
    dt: f64,
    grace_ms: f64,
) -> usize {
    let decision = after_grace(&steps_of(&trial.periods, DECISION), grace_ms, dt);
    let mut sums = vec![0.0; width];
    for row in outputs
        .chunks_exact(width.max(1))
        .take(decision.end)
        .skip(decision.start)
    {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    let mut best = (0, f64::NEG_INFINITY);
    for (choice, sum) in sums.into_iter().enumerate() {
        if sum > best.1 {
            best = (choice, sum);
        }
    }
    best.0
}

/// The outputs of someone who makes this choice.
pub(super) fn answer(trial: &Trial, choice: usize, width: usize, outputs: &mut [f32]) {
    let decision = steps_of(&trial.periods, DECISION);
    for (step, row) in outputs.chunks_exact_mut(width.max(1)).enumerate() {
        for (output, x) in row.iter_mut().enumerate() {
            let high = decision.contains(&step) && output == choice;
            *x = if high { HIGH } else { LOW } as f32;
        }
    }
}

/// The sum of one input over a period.
pub(super) fn evidence(
    trial: &Trial,
    inputs: &[f32],
    width: usize,
    period: &str,
    channel: usize,
) -> f64 {
    let steps = steps_of(&trial.periods, period);
    inputs
        .chunks_exact(width.max(1))
        .take(steps.end)
        .skip(steps.start)
        .filter_map(|row| row.get(channel))
        .map(|&x| f64::from(x))
        .sum()
}

/// Shows evidence of −1 to 1 as two inputs that are never negative without noise, `(1 − c)/2` and `(1 + c)/2`.
pub(super) fn show(sheet: &mut Sheet<'_>, period: &str, first: usize, evidence: f64, noise: f64) {
    let steps = sheet.period(period);
    for (channel, sign) in [(first, -1.0), (first + 1, 1.0)] {
        sheet.input(channel, steps.clone(), (1.0 + sign * evidence) / 2.0);
        sheet.add_noise(channel, steps.clone(), noise);
    }
}

/// A strength of evidence and its sign: even numbers are negative.
pub(super) fn signed(levels: &[f64], number: usize) -> f64 {
    let strength = levels.get(number / 2).copied().unwrap_or_default();
    if number.is_multiple_of(2) {
        -strength
    } else {
        strength
    }
}

pub(super) fn validate_strengths(field: &str, levels: &[f64]) -> Result<(), DataError> {
    let fine = |level: &f64| (0.0..=1.0).contains(level);
    let distinct = levels
        .iter()
        .enumerate()
        .all(|(i, a)| levels.iter().skip(i + 1).all(|b| a != b));
    if (1..=64).contains(&levels.len())
        && levels.iter().all(fine)
        && distinct
        && levels.iter().any(|level| *level > 0.0)
    {
        return Ok(());
    }
    Err(DataError::invalid(
        field,
        format!("{levels:?}"),
        "1 to 64 different strengths from 0 to 1, not 0 alone; each is shown in both directions",
    ))
}

pub(super) fn validate_decision(decision: &Span, grace_ms: f64) -> Result<(), DataError> {
    decision.validate("task.decision_ms", Least::Some)?;
    if (0.0..decision.low).contains(&grace_ms) {
        return Ok(());
    }
    Err(DataError::invalid(
        "task.grace_ms",
        grace_ms,
        format!("0 up to but not including task.decision_ms, {decision}"),
    ))
}

/// Any item of 0..n but this one.
pub(super) fn another(item: usize, n: usize, random: &mut Random) -> usize {
    let other = random.below(n.saturating_sub(1).max(1));
    other + usize::from(other >= item)
}

/// Fixation and decision around the periods between them.
pub(super) fn stages(
    fixation: Span,
    between: impl IntoIterator<Item = Stage>,
    decision: Span,
) -> Vec<Stage> {
    std::iter::once(Stage::new(FIXATION, fixation))
        .chain(between)
        .chain([Stage::new(DECISION, decision)])
        .collect()
}
