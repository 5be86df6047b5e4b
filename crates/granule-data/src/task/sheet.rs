//! The sheet on which a task writes one trial.

use std::ops::Range;

use serde::Serialize;

use super::Span;
use super::random::Random;

/// A period as a task declares it.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// Its name: `stimulus`.
    pub name: &'static str,
    /// How long it lasts; in a trial where that is no step there is no such period.
    pub span: Span,
}

impl Stage {
    /// A period of a name and a duration.
    pub fn new(name: &'static str, span: Span) -> Self {
        Self { name, span }
    }
}

/// A named stretch of a trial, `start..end` in steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Its name: `stimulus`.
    pub name: &'static str,
    /// Its first step.
    pub start: usize,
    /// The step after its last.
    pub end: usize,
}

/// Steps of `dt` that a duration takes.
pub fn steps(ms: f64, dt: f64) -> usize {
    (ms / dt).round() as usize
}

/// The rows of one trial in the arrays of its batch, all zero at first.
#[derive(Debug)]
pub struct Sheet<'a> {
    /// Step, ms.
    pub dt: f64,
    /// The periods in order, without gaps.
    pub periods: Vec<Period>,
    /// `[steps, widths.0]`
    pub inputs: &'a mut [f32],
    /// `[steps, widths.1]`
    pub targets: &'a mut [f32],
    /// `[steps, widths.1]`
    pub mask: &'a mut [f32],
    /// Number of inputs and of outputs.
    pub widths: (usize, usize),
    /// What noise is drawn from.
    pub noise: Random,
}

impl Sheet<'_> {
    /// The steps of a period; none when the trial has no such period.
    pub fn period(&self, name: &str) -> Range<usize> {
        steps_of(&self.periods, name)
    }

    /// The steps of the trial.
    pub fn all(&self) -> Range<usize> {
        0..self.periods.last().map_or(0, |period| period.end)
    }

    /// Holds one input at a value.
    pub fn input(&mut self, channel: usize, steps: Range<usize>, value: f64) {
        fill(self.inputs, self.widths.0, channel, steps, |_| value);
    }

    /// Adds white noise to one input: a step gets a normal number of standard deviation `sigma / √dt`.
    pub fn add_noise(&mut self, channel: usize, steps: Range<usize>, sigma: f64) {
        if sigma == 0.0 || channel >= self.widths.0 {
            return;
        }
        let scale = sigma / self.dt.sqrt();
        for step in steps {
            let noise = self.noise.normal() * scale;
            if let Some(value) = self.inputs.get_mut(step * self.widths.0 + channel) {
                *value = (f64::from(*value) + noise) as f32;
            }
        }
    }

    /// Asks one output for a value at each step.
    pub fn target(&mut self, output: usize, steps: Range<usize>, value: impl Fn(usize) -> f64) {
        fill(self.targets, self.widths.1, output, steps, value);
    }

    /// Lets one output count, or no longer count, in loss and score.
    pub fn count(&mut self, output: usize, steps: Range<usize>, counts: bool) {
        let weight = f64::from(u8::from(counts));
        fill(self.mask, self.widths.1, output, steps, |_| weight);
    }
}

pub(super) fn steps_of(periods: &[Period], name: &str) -> Range<usize> {
    periods
        .iter()
        .find(|period| period.name == name)
        .map_or(0..0, |period| period.start..period.end)
}

/// Writes a column of a row-major matrix; a column that it has not, and steps beyond its end, are left out.
pub fn fill(
    rows: &mut [f32],
    width: usize,
    column: usize,
    steps: Range<usize>,
    value: impl Fn(usize) -> f64,
) {
    if column >= width {
        return;
    }
    for step in steps {
        if let Some(cell) = rows.get_mut(step * width + column) {
            *cell = value(step) as f32;
        }
    }
}
