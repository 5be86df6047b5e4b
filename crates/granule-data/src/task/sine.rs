use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::batch::View;
use super::random::Random;
use super::sheet::{Sheet, Stage, fill};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, names, validate_count,
    validate_noise, validate_number,
};
use crate::DataError;

/// Steps that a period of the fastest oscillation must have at least.
const STEPS_PER_PERIOD: f64 = 4.0;

/// Sine generator: a constant input names one of several frequencies; the output is to be a sine of that frequency,
/// from phase 0 on (Sussillo & Barak 2013).
///
/// Frequency `j` of `n`, counted from 0 and equally spaced, has the input `j/n + 0.25`. Every output step counts. The
/// measure is the mean squared error; an output of 0 has about 0.5.
///
/// The published 0.1 to 0.6 radians per time constant are the default for a network of 100 ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SineConfig {
    /// Number of frequencies.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub frequencies: usize,
    /// The lowest frequency, Hz.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lowest_hz: f64,
    /// The highest frequency, Hz.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub highest_hz: f64,
    /// The oscillation, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub duration_ms: Span,
    /// White noise of the input, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for SineConfig {
    fn default() -> Self {
        Self {
            frequencies: 51,
            lowest_hz: 0.16,
            highest_hz: 0.95,
            duration_ms: Span::fixed(4000.0),
            noise: 0.0,
        }
    }
}

impl SineConfig {
    fn frequency(&self, number: usize) -> f64 {
        let share = number as f64 / self.frequencies.saturating_sub(1).max(1) as f64;
        self.lowest_hz + share * (self.highest_hz - self.lowest_hz)
    }

    fn level(&self, number: usize) -> f64 {
        number as f64 / self.frequencies as f64 + 0.25
    }
}

/// A trial of [`SineConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sine {
    /// The frequency asked for, Hz.
    pub frequency_hz: f64,
}

impl Condition for Sine {
    fn variables(&self) -> Vec<(&'static str, f64)> {
        vec![("frequency", self.frequency_hz)]
    }
}

impl Design for SineConfig {
    fn info(&self) -> TaskInfo {
        TaskInfo {
            name: "sine",
            summary: "Hold an oscillation whose frequency is set by a constant input.",
            paper: "Sussillo & Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional \
                    recurrent neural networks, Neural Computation 25:626, doi:10.1162/NECO_a_00409",
            inputs: names(["frequency"]),
            outputs: names(["sine"]),
            tags: &["pattern generation", "limit cycle"],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        validate_count("task.frequencies", self.frequencies, 1..=1000)?;
        let (low, high) = (self.lowest_hz, self.highest_hz);
        validate_number("task.lowest_hz", low, low > 0.0, "a finite number above 0")?;
        validate_number(
            "task.highest_hz",
            high,
            high >= low,
            format!("a finite number, at least task.lowest_hz, {low}"),
        )?;
        self.duration_ms.validate("task.duration_ms", Least::Some)?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        self.frequencies
    }

    fn stages(&self, _: usize) -> Vec<Stage> {
        vec![Stage::new("oscillation", self.duration_ms)]
    }

    fn briefest(&self) -> Option<(&'static str, f64)> {
        let quarter = 1000.0 / self.highest_hz / STEPS_PER_PERIOD;
        Some(("a quarter of the period of task.highest_hz", quarter))
    }

    fn write(&self, number: usize, _: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition {
        let (all, dt, frequency_hz) = (sheet.all(), sheet.dt, self.frequency(number));
        sheet.input(0, all.clone(), self.level(number));
        sheet.add_noise(0, all.clone(), self.noise);
        sheet.target(0, all.clone(), |step| sine(frequency_hz, step, dt));
        sheet.count(0, all, true);
        Sine { frequency_hz }.into()
    }

    fn judge(&self, _: &View<'_>, _: &[f32]) -> Verdict {
        Verdict::Trace
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let steps = view.trial.steps;
        let sum: f64 = view.inputs.iter().take(steps).map(|&x| f64::from(x)).sum();
        let number = (sum / steps.max(1) as f64 - 0.25) * self.frequencies as f64;
        let frequency =
            self.frequency((number.round().max(0.0) as usize).min(self.frequencies - 1));
        fill(outputs, 1, 0, 0..steps, |step| {
            sine(frequency, step, view.dt)
        });
    }
}

fn sine(frequency_hz: f64, step: usize, dt: f64) -> f64 {
    (TAU * frequency_hz * step as f64 * dt / 1000.0).sin()
}
