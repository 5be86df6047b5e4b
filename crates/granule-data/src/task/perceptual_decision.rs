use serde::{Deserialize, Serialize};

use super::batch::View;
use super::decision::{
    answer, chosen, evidence, instruct, show, signed, stages, validate_decision, validate_strengths,
};
use super::random::Random;
use super::sheet::{Sheet, Stage};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, names, sign, validate_noise,
};
use crate::DataError;

const STIMULUS: &str = "stimulus";

/// Perceptual decision: is the motion of random dots to the left or to the right? (Britten et al. 1992; Song, Yang &
/// Wang 2016)
///
/// Two inputs carry the evidence for either side, `(1 − c)/2` and `(1 + c)/2` plus noise for a coherence `c`, during the
/// period `stimulus`; a third asks to hold still until the period `decision`. The measure is the share of trials in which
/// the larger output in the decision is the right one. Trials of coherence 0 have no right one: they count in the
/// psychometric curve alone, and their decision is not in the loss.
///
/// Strengths, durations and output levels are those of Song, Yang & Wang (2016). With the default noise an observer who
/// averages the whole stimulus is right in 97.9 % of the trials, in 90 % of those of the lowest coherence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PerceptualDecisionConfig {
    /// Strengths of the motion, 0 to 1; each is shown in both directions.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0, max = 1))))]
    pub coherences: Vec<f64>,
    /// Before the stimulus, ms.
    pub fixation_ms: Span,
    /// The motion, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub stimulus_ms: Span,
    /// From the end of the motion to the decision, ms.
    pub delay_ms: Span,
    /// The decision, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub decision_ms: Span,
    /// The beginning of the decision that does not count, ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub grace_ms: f64,
    /// White noise of each of the two evidence inputs, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for PerceptualDecisionConfig {
    fn default() -> Self {
        Self {
            coherences: vec![0.032, 0.064, 0.128, 0.256, 0.512],
            fixation_ms: Span::fixed(100.0),
            stimulus_ms: Span::fixed(800.0),
            delay_ms: Span::fixed(0.0),
            decision_ms: Span::fixed(300.0),
            grace_ms: 100.0,
            noise: 0.5,
        }
    }
}

/// A trial of [`PerceptualDecisionConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerceptualDecision {
    /// Strength of the motion, −1 (left) to 1 (right).
    pub coherence: f64,
}

impl Condition for PerceptualDecision {
    fn correct(&self) -> Option<usize> {
        sign(self.coherence)
    }

    fn evidence(&self) -> Vec<(&'static str, f64)> {
        vec![("coherence", self.coherence)]
    }
}

impl Design for PerceptualDecisionConfig {
    fn info(&self) -> TaskInfo {
        TaskInfo {
            name: "perceptual-decision",
            summary: "Tell whether noisy motion is to the left or to the right.",
            paper: "Britten, Shadlen, Newsome & Movshon (1992), The analysis of visual motion: a comparison of neuronal \
                    and psychophysical performance, J. Neurosci. 12:4745, doi:10.1523/JNEUROSCI.12-12-04745.1992; \
                    Song, Yang & Wang (2016), Training excitatory-inhibitory recurrent neural networks for cognitive \
                    tasks, PLoS Comput. Biol. 12:e1004792, doi:10.1371/journal.pcbi.1004792",
            inputs: names(["fixation", "motion left", "motion right"]),
            outputs: names(["left", "right"]),
            tags: &["perceptual", "two-alternative", "evidence integration"],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        validate_strengths("task.coherences", &self.coherences)?;
        self.fixation_ms.validate("task.fixation_ms", Least::Zero)?;
        self.stimulus_ms.validate("task.stimulus_ms", Least::Some)?;
        self.delay_ms.validate("task.delay_ms", Least::Zero)?;
        validate_decision(&self.decision_ms, self.grace_ms)?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        2 * self.coherences.len()
    }

    fn stages(&self, _: usize) -> Vec<Stage> {
        stages(
            self.fixation_ms,
            [
                Stage::new(STIMULUS, self.stimulus_ms),
                Stage::new("delay", self.delay_ms),
            ],
            self.decision_ms,
        )
    }

    fn write(&self, number: usize, _: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition {
        let coherence = signed(&self.coherences, number);
        let condition = PerceptualDecision { coherence };
        instruct(sheet, condition.correct(), self.grace_ms);
        show(sheet, STIMULUS, 1, coherence, self.noise);
        condition.into()
    }

    fn judge(&self, view: &View<'_>, outputs: &[f32]) -> Verdict {
        let chosen = chosen(view.trial, outputs, view.widths.1, view.dt, self.grace_ms);
        Verdict::Choice { chosen }
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let sum = |channel| evidence(view.trial, view.inputs, view.widths.0, STIMULUS, channel);
        let right = sum(2) > sum(1);
        answer(view.trial, usize::from(right), view.widths.1, outputs);
    }
}
