use serde::{Deserialize, Serialize};

use super::batch::View;
use super::decision::{another, answer, chosen, evidence, instruct, stages, validate_decision};
use super::random::Random;
use super::sheet::{Sheet, Stage};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, names, validate_count, validate_noise,
};
use crate::DataError;

const SAMPLE: &str = "sample";
const TEST: &str = "test";

/// Delayed match to sample: is the second stimulus the first one again? (Miller, Erickson & Desimone 1996)
///
/// Each stimulus has an input of its own, 1 while it is shown; during the delay there is nothing. Half of the trials of
/// every sample are matches, in the others each other stimulus is as likely. The measure is the share of trials in which
/// the larger output in the decision is the right one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DelayedMatchConfig {
    /// Number of different stimuli.
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 256)))]
    pub stimuli: usize,
    /// Before the sample, ms.
    pub fixation_ms: Span,
    /// The first stimulus, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub sample_ms: Span,
    /// Between the stimuli, ms.
    pub delay_ms: Span,
    /// The second stimulus, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub test_ms: Span,
    /// The decision, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub decision_ms: Span,
    /// The beginning of the decision that does not count, ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub grace_ms: f64,
    /// White noise of each stimulus input while a stimulus is shown, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for DelayedMatchConfig {
    fn default() -> Self {
        Self {
            stimuli: 4,
            fixation_ms: Span::fixed(100.0),
            sample_ms: Span::fixed(300.0),
            delay_ms: Span::between(300.0, 700.0),
            test_ms: Span::fixed(300.0),
            decision_ms: Span::fixed(300.0),
            grace_ms: 100.0,
            noise: 0.5,
        }
    }
}

/// A trial of [`DelayedMatchConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DelayedMatch {
    /// The stimulus to remember, from 0.
    pub sample: usize,
    /// The stimulus to compare with it.
    pub test: usize,
}

impl Condition for DelayedMatch {
    fn correct(&self) -> Option<usize> {
        Some(usize::from(self.sample != self.test))
    }

    fn variables(&self) -> Vec<(&'static str, f64)> {
        vec![("sample", self.sample as f64), ("test", self.test as f64)]
    }
}

impl Design for DelayedMatchConfig {
    fn info(&self) -> TaskInfo {
        let stimuli = (1..=self.stimuli).map(|stimulus| format!("stimulus {stimulus}"));
        TaskInfo {
            name: "delayed-match",
            summary: "Tell whether a stimulus is the one shown before a delay.",
            paper: "Miller, Erickson & Desimone (1996), Neural mechanisms of visual working memory in prefrontal cortex \
                    of the macaque, J. Neurosci. 16:5154, doi:10.1523/JNEUROSCI.16-16-05154.1996",
            inputs: std::iter::once("fixation".to_owned())
                .chain(stimuli)
                .collect(),
            outputs: names(["match", "non-match"]),
            tags: &["perceptual", "working memory", "two-alternative"],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        validate_count("task.stimuli", self.stimuli, 2..=256)?;
        self.fixation_ms.validate("task.fixation_ms", Least::Zero)?;
        self.sample_ms.validate("task.sample_ms", Least::Some)?;
        self.delay_ms.validate("task.delay_ms", Least::Zero)?;
        self.test_ms.validate("task.test_ms", Least::Some)?;
        validate_decision(&self.decision_ms, self.grace_ms)?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        2 * self.stimuli
    }

    fn stages(&self, _: usize) -> Vec<Stage> {
        stages(
            self.fixation_ms,
            [
                Stage::new(SAMPLE, self.sample_ms),
                Stage::new("delay", self.delay_ms),
                Stage::new(TEST, self.test_ms),
            ],
            self.decision_ms,
        )
    }

    fn write(&self, number: usize, random: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition {
        let sample = number / 2;
        let test = if number.is_multiple_of(2) {
            sample
        } else {
            another(sample, self.stimuli, random)
        };
        let condition = DelayedMatch { sample, test };
        instruct(sheet, condition.correct(), self.grace_ms);
        for (period, shown) in [(SAMPLE, sample), (TEST, test)] {
            let steps = sheet.period(period);
            sheet.input(1 + shown, steps.clone(), 1.0);
            for stimulus in 0..self.stimuli {
                sheet.add_noise(1 + stimulus, steps.clone(), self.noise);
            }
        }
        condition.into()
    }

    fn judge(&self, view: &View<'_>, outputs: &[f32]) -> Verdict {
        let chosen = chosen(view.trial, outputs, view.widths.1, view.dt, self.grace_ms);
        Verdict::Choice { chosen }
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let shown = |period| {
            let sum =
                |stimulus| evidence(view.trial, view.inputs, view.widths.0, period, 1 + stimulus);
            (0..self.stimuli).max_by(|&a, &b| sum(a).total_cmp(&sum(b)))
        };
        let differ = shown(SAMPLE) != shown(TEST);
        answer(view.trial, usize::from(differ), view.widths.1, outputs);
    }
}
