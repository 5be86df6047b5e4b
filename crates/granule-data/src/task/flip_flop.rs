use serde::{Deserialize, Serialize};

use super::batch::View;
use super::random::Random;
use super::sheet::{Sheet, Stage, fill, steps};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, validate_count, validate_noise,
    validate_number,
};
use crate::DataError;

/// Flip-flop of several bits: each output is to hold the sign of the last pulse on its input (Sussillo & Barak 2013).
///
/// Pulses of ±1, either sign alike, arrive on each input by chance and never overlap on it. An output counts from
/// `grace_ms` after its first pulse on, and again `grace_ms` after every pulse that changes it. The measure is the mean
/// squared error; an output of 0 has 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FlipFlopConfig {
    /// Number of bits: of inputs and of outputs.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub bits: usize,
    /// The trial, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub duration_ms: Span,
    /// A pulse, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub pulse_ms: f64,
    /// Mean time from the end of a pulse to the next one on the same input, ms; exponentially distributed.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub interval_ms: f64,
    /// Time that an output has to take its new value, ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub grace_ms: f64,
    /// White noise of the inputs, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for FlipFlopConfig {
    fn default() -> Self {
        Self {
            bits: 3,
            duration_ms: Span::fixed(2000.0),
            pulse_ms: 60.0,
            interval_ms: 400.0,
            grace_ms: 100.0,
            noise: 0.0,
        }
    }
}

/// A trial of [`FlipFlopConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlipFlop {
    /// Pulses on all inputs together.
    pub pulses: usize,
}

impl Condition for FlipFlop {
    fn variables(&self) -> Vec<(&'static str, f64)> {
        vec![("pulses", self.pulses as f64)]
    }
}

impl Design for FlipFlopConfig {
    fn info(&self) -> TaskInfo {
        let numbered = |what: &str| (1..=self.bits).map(|bit| format!("{what} {bit}")).collect();
        TaskInfo {
            name: "flip-flop",
            summary: "Remember the sign of the last pulse on each input.",
            paper: "Sussillo & Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional \
                    recurrent neural networks, Neural Computation 25:626, doi:10.1162/NECO_a_00409",
            inputs: numbered("pulses"),
            outputs: numbered("bit"),
            tags: &["working memory", "fixed points"],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        validate_count("task.bits", self.bits, 1..=64)?;
        self.duration_ms.validate("task.duration_ms", Least::Some)?;
        let duration = self.duration_ms;
        validate_number(
            "task.pulse_ms",
            self.pulse_ms,
            self.pulse_ms > 0.0 && self.pulse_ms <= duration.low,
            format!("above 0 to task.duration_ms, {duration}"),
        )?;
        validate_number(
            "task.interval_ms",
            self.interval_ms,
            self.interval_ms > 0.0,
            "a finite number above 0",
        )?;
        validate_number(
            "task.grace_ms",
            self.grace_ms,
            (0.0..duration.low).contains(&self.grace_ms),
            format!("0 up to but not including task.duration_ms, {duration}"),
        )?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        1
    }

    fn stages(&self, _: usize) -> Vec<Stage> {
        vec![Stage::new("memory", self.duration_ms)]
    }

    fn briefest(&self) -> Option<(&'static str, f64)> {
        Some(("task.pulse_ms", self.pulse_ms))
    }

    fn write(&self, _: usize, random: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition {
        let (end, dt) = (sheet.all().end, sheet.dt);
        let (pulse, grace) = (steps(self.pulse_ms, dt), steps(self.grace_ms, dt));
        let mut pulses = 0;
        for bit in 0..self.bits {
            let (mut time, mut free, mut held) = (0.0, 0, 0.0);
            loop {
                time += random.exponential(self.interval_ms);
                let sign = if random.below(2) == 0 { -1.0 } else { 1.0 };
                let start = steps(time, dt).max(free);
                if start >= end {
                    break;
                }
                pulses += 1;
                time += self.pulse_ms;
                free = (start + pulse).min(end);
                sheet.input(bit, start..free, sign);
                if sign != held {
                    held = sign;
                    sheet.target(bit, start..end, |_| sign);
                    sheet.count(bit, start..end, true);
                    sheet.count(bit, start..(start + grace).min(end), false);
                }
            }
            sheet.add_noise(bit, 0..end, self.noise);
        }
        FlipFlop { pulses }.into()
    }

    fn judge(&self, _: &View<'_>, _: &[f32]) -> Verdict {
        Verdict::Trace
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let rows = || view.inputs.chunks_exact(self.bits).take(view.trial.steps);
        for bit in 0..self.bits {
            let mut held = 0.0;
            for (step, row) in rows().enumerate() {
                match row.get(bit) {
                    Some(&x) if x.abs() > 0.5 => held = f64::from(x.signum()),
                    _ => {}
                }
                fill(outputs, self.bits, bit, step..step + 1, |_| held);
            }
        }
    }
}
