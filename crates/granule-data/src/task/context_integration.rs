use serde::{Deserialize, Serialize};

use super::batch::View;
use super::decision::{
    DECISION, answer, chosen, evidence, instruct, show, signed, stages, validate_decision,
    validate_strengths,
};
use super::random::Random;
use super::sheet::{Sheet, Stage};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, names, sign, validate_noise,
};
use crate::DataError;

const STIMULUS: &str = "stimulus";
const ATTEND_MOTION: usize = 1;
const ATTEND_COLOUR: usize = 2;
const MOTION: usize = 3;
const COLOUR: usize = 5;

/// Context-dependent integration: coloured dots move; the context says whether their motion or their colour decides
/// (Mante et al. 2013).
///
/// Motion and colour are shown at once, each as two inputs `(1 − c)/2` and `(1 + c)/2` plus noise; red stands for left and
/// green for right. An input for either context is 1 from the beginning of the trial to its decision. The measure is the
/// share of trials in which the larger output in the decision is the right one. Trials whose attended strength is 0 have
/// no right one, as in [`PerceptualDecisionConfig`](super::PerceptualDecisionConfig).
///
/// The strengths are those shown to monkeys, for either kind of evidence; so is the duration of the stimulus. With the
/// default noise an observer who averages the whole stimulus is right in 98.2 % of the trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ContextIntegrationConfig {
    /// Strengths of the motion, 0 to 1; each is shown in both directions.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0, max = 1))))]
    pub motion: Vec<f64>,
    /// Strengths of the colour, 0 to 1; each is shown both red and green.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0, max = 1))))]
    pub colour: Vec<f64>,
    /// Before the stimulus, ms; the context is shown already.
    pub fixation_ms: Span,
    /// The dots, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub stimulus_ms: Span,
    /// From the end of the dots to the decision, ms.
    pub delay_ms: Span,
    /// The decision, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub decision_ms: Span,
    /// The beginning of the decision that does not count, ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub grace_ms: f64,
    /// White noise of each of the four evidence inputs, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for ContextIntegrationConfig {
    fn default() -> Self {
        Self {
            motion: vec![0.05, 0.15, 0.5],
            colour: vec![0.05, 0.15, 0.5],
            fixation_ms: Span::fixed(100.0),
            stimulus_ms: Span::fixed(750.0),
            delay_ms: Span::fixed(0.0),
            decision_ms: Span::fixed(300.0),
            grace_ms: 100.0,
            noise: 0.6,
        }
    }
}

/// Which of two kinds of evidence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The motion counts.
    Motion,
    /// The colour counts.
    Colour,
}

/// A trial of [`ContextIntegrationConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContextIntegration {
    /// Which evidence counts.
    pub context: Context,
    /// Strength of the motion, −1 (left) to 1 (right).
    pub motion: f64,
    /// Strength of the colour, −1 (red: left) to 1 (green: right).
    pub colour: f64,
}

impl Condition for ContextIntegration {
    fn correct(&self) -> Option<usize> {
        sign(match self.context {
            Context::Motion => self.motion,
            Context::Colour => self.colour,
        })
    }

    fn evidence(&self) -> Vec<(&'static str, f64)> {
        let names = match self.context {
            Context::Motion => ["motion, attended", "colour, ignored"],
            Context::Colour => ["motion, ignored", "colour, attended"],
        };
        names.into_iter().zip([self.motion, self.colour]).collect()
    }

    fn variables(&self) -> Vec<(&'static str, f64)> {
        let context = match self.context {
            Context::Motion => 0.0,
            Context::Colour => 1.0,
        };
        vec![
            ("context", context),
            ("motion", self.motion),
            ("colour", self.colour),
        ]
    }
}

impl Design for ContextIntegrationConfig {
    fn info(&self) -> TaskInfo {
        TaskInfo {
            name: "context-integration",
            summary: "Judge the motion or the colour of dots, as the context says.",
            paper: "Mante, Sussillo, Shenoy & Newsome (2013), Context-dependent computation by recurrent dynamics in \
                    prefrontal cortex, Nature 503:78, doi:10.1038/nature12742",
            inputs: names([
                "fixation",
                "attend motion",
                "attend colour",
                "motion left",
                "motion right",
                "red",
                "green",
            ]),
            outputs: names(["left", "right"]),
            tags: &[
                "perceptual",
                "context dependent",
                "two-alternative",
                "evidence integration",
            ],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        validate_strengths("task.motion", &self.motion)?;
        validate_strengths("task.colour", &self.colour)?;
        self.fixation_ms.validate("task.fixation_ms", Least::Zero)?;
        self.stimulus_ms.validate("task.stimulus_ms", Least::Some)?;
        self.delay_ms.validate("task.delay_ms", Least::Zero)?;
        validate_decision(&self.decision_ms, self.grace_ms)?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        2 * (2 * self.motion.len()) * (2 * self.colour.len())
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
        let (context, cue) = match number % 2 {
            0 => (Context::Motion, ATTEND_MOTION),
            _ => (Context::Colour, ATTEND_COLOUR),
        };
        let motions = 2 * self.motion.len();
        let motion = signed(&self.motion, number / 2 % motions);
        let colour = signed(&self.colour, number / 2 / motions);
        let condition = ContextIntegration {
            context,
            motion,
            colour,
        };
        instruct(sheet, condition.correct(), self.grace_ms);
        let waiting = 0..sheet.period(DECISION).start;
        sheet.input(cue, waiting, 1.0);
        show(sheet, STIMULUS, MOTION, motion, self.noise);
        show(sheet, STIMULUS, COLOUR, colour, self.noise);
        condition.into()
    }

    fn judge(&self, view: &View<'_>, outputs: &[f32]) -> Verdict {
        let chosen = chosen(view.trial, outputs, view.widths.1, view.dt, self.grace_ms);
        Verdict::Choice { chosen }
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let sum = |channel| evidence(view.trial, view.inputs, view.widths.0, STIMULUS, channel);
        let attended = if sum(ATTEND_MOTION) > sum(ATTEND_COLOUR) {
            MOTION
        } else {
            COLOUR
        };
        let right = sum(attended + 1) > sum(attended);
        answer(view.trial, usize::from(right), view.widths.1, outputs);
    }
}
