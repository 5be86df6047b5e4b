//! Tasks for rate networks: trials made by code, with targets, masks and scores.
//!
//! A [`TaskConfig`] is a task and its settings; [`TaskConfig::trials`] makes a [`TrialBatch`] of it. Trial `i` is a
//! function of (seed, `i`) alone, so any batch of a run can be made again. Within every block of
//! [`TaskConfig::conditions`] trials each condition comes once, in random order. [`TaskConfig::score`] says how well
//! outputs solve the task, in the task's own measure.
//!
//! | name | a network learns to | paper |
//! | --- | --- | --- |
//! | `sine` | hold an oscillation whose frequency is set by a constant input | Sussillo & Barak (2013) |
//! | `flip-flop` | remember the sign of the last pulse on each of three inputs | Sussillo & Barak (2013) |
//! | `perceptual-decision` | tell the direction of noisy motion | Britten et al. (1992), Song et al. (2016) |
//! | `delayed-match` | compare two stimuli across a delay | Miller et al. (1996) |
//! | `context-integration` | judge motion or colour, as the context says | Mante et al. (2013) |
//! | `interval-timing` | measure an interval and produce it again | Jazayeri & Shadlen (2010), Wang et al. (2018) |
//!
//! [`rows`] shows images as sequences of their rows, for sequential MNIST.
//!
//! Noise is white: a step of `dt` ms gets a normal number of standard deviation `noise / √dt`, so that what can be
//! known after a given time does not depend on dt. Conditions and durations do not depend on dt either.
//!
//! ```
//! use granule_data::task::{TaskConfig, TaskKind};
//!
//! let task = "perceptual-decision".parse::<TaskKind>()?.config();
//! let batch = task.trials(7, 0..20, 20.0)?;
//! assert_eq!(batch.inputs.len(), 20 * batch.steps * 3);
//! let score = task.score(&task.ideal_outputs(&batch)?, &batch)?;
//! assert!(score.accuracy().unwrap_or_default() > 0.8);
//! # Ok::<(), granule_data::DataError>(())
//! ```

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DataError;

mod batch;
mod condition;
mod context_integration;
mod decision;
mod delayed_match;
mod flip_flop;
mod interval_timing;
mod perceptual_decision;
mod random;
pub mod rows;
mod score;
mod sheet;
mod sine;
mod span;
#[cfg(test)]
mod tests;

pub use batch::{Part, TaskShape, Trial, TrialBatch, View};
pub use condition::{AnyCondition, Condition, sign};
pub use context_integration::{Context, ContextIntegration, ContextIntegrationConfig};
pub use delayed_match::{DelayedMatch, DelayedMatchConfig};
pub use flip_flop::{FlipFlop, FlipFlopConfig};
pub use interval_timing::{IntervalTiming, IntervalTimingConfig};
pub use perceptual_decision::{PerceptualDecision, PerceptualDecisionConfig};
pub use random::Random;
pub use score::{
    ChoiceScore, IntervalPoint, Performance, PsychometricCurve, PsychometricPoint, Score,
    TimingScore, TrialScore, Verdict,
};
pub use sheet::{Period, Sheet, Stage, fill, steps};
pub use sine::{Sine, SineConfig};
pub use span::{Least, Span};

/// The step of a trial unless another is asked for, ms: a fifth of the 100 ms time constant of Song, Yang & Wang (2016).
pub const DEFAULT_DT_MS: f64 = 20.0;

/// The tasks, a line each: what it is about, its name in a program and in files, and its settings.
macro_rules! tasks {
    ($($(#[doc = $doc:literal])+ $Task:ident($Config:ident) = $name:literal;)+) => {
        /// The tasks by name. Parses from, prints as and serialises as the name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum TaskKind {
            $(#[doc = concat!("[`", stringify!($Config), "`]")] $Task,)+
        }

        impl TaskKind {
            /// Every task.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Task),+];

            /// The names of [`ALL`](Self::ALL), in the same order.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Task => $name,)+
                }
            }

            /// The task with its default settings.
            pub fn config(self) -> TaskConfig {
                match self {
                    $(Self::$Task => TaskConfig::$Task($Config::default()),)+
                }
            }
        }

        /// A task and its settings; in a configuration file `kind` names the task.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum TaskConfig {
            $($(#[doc = $doc])+ $Task($Config),)+
        }

        impl TaskConfig {
            fn design(&self) -> &dyn Design {
                match self {
                    $(Self::$Task(task) => task,)+
                }
            }

            /// Which task it is.
            pub fn kind(&self) -> TaskKind {
                match self {
                    $(Self::$Task(_) => TaskKind::$Task,)+
                }
            }
        }
    };
}

tasks! {
    /// Oscillations of a chosen frequency.
    Sine(SineConfig) = "sine";
    /// Memory of several bits.
    FlipFlop(FlipFlopConfig) = "flip-flop";
    /// Direction of noisy motion.
    PerceptualDecision(PerceptualDecisionConfig) = "perceptual-decision";
    /// Comparison of two stimuli across a delay.
    DelayedMatch(DelayedMatchConfig) = "delayed-match";
    /// Motion or colour, as the context says.
    ContextIntegration(ContextIntegrationConfig) = "context-integration";
    /// Measurement and production of an interval.
    IntervalTiming(IntervalTimingConfig) = "interval-timing";
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaskKind {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            DataError::invalid(
                "task",
                format!("{text:?}"),
                format!("known are {}", Self::NAMES.join(", ")),
            )
        })
    }
}

/// What a task is and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskInfo {
    /// Its name, as [`TaskKind`] reads it.
    pub name: &'static str,
    /// What a network has to do, in one sentence.
    pub summary: &'static str,
    /// The publications that the task is taken from.
    pub paper: &'static str,
    /// The inputs by name, in order.
    pub inputs: Vec<String>,
    /// The outputs by name, in order.
    pub outputs: Vec<String>,
    /// What the task is about, in a few words of the field.
    pub tags: &'static [&'static str],
}

/// Every task with its default settings.
pub fn list() -> Vec<TaskInfo> {
    let infos = TaskKind::ALL.iter().map(|kind| kind.config().info());
    infos.collect()
}

/// What a task is made of.
pub trait Design {
    /// Its name, paper, inputs and outputs.
    fn info(&self) -> TaskInfo;

    /// Checks every setting.
    ///
    /// # Errors
    /// [`DataError::Config`] names the setting (`task.noise`), its value and what is allowed.
    fn validate(&self) -> Result<(), DataError>;

    /// Conditions that come equally often.
    fn conditions(&self) -> usize;

    /// The periods of a trial of this condition, in order.
    fn stages(&self, condition: usize) -> Vec<Stage>;

    /// The shortest thing besides a period that a step must not be longer than: what it is, and ms.
    fn briefest(&self) -> Option<(&'static str, f64)> {
        None
    }

    /// Writes a trial of this condition, whose periods are there; what it shows. Whatever else differs between trials is drawn
    /// from `random`, in ms, so that it does not depend on the step.
    fn write(&self, condition: usize, random: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition;

    /// What the outputs of a trial, `[steps, outputs]`, amount to.
    fn judge(&self, view: &View<'_>, outputs: &[f32]) -> Verdict;

    /// Writes what an observer without limits of memory and precision gives for the inputs of a trial.
    fn observe(&self, view: &View<'_>, outputs: &mut [f32]);

    /// As [`TaskConfig::trials`].
    ///
    /// # Errors
    /// Those of [`TaskConfig::trials`].
    fn trials(&self, seed: u64, indices: Range<u64>, dt_ms: f64) -> Result<TrialBatch, DataError>
    where
        Self: Sized,
    {
        batch::trials(self, seed, indices, dt_ms)
    }

    /// As [`TaskConfig::score`].
    ///
    /// # Errors
    /// Those of [`TaskConfig::score`].
    fn score(&self, outputs: &[f32], batch: &TrialBatch) -> Result<Score, DataError>
    where
        Self: Sized,
    {
        score::summarise(self, &score::judge(self, outputs, batch)?)
    }

    /// As [`TaskConfig::ideal_outputs`].
    ///
    /// # Errors
    /// Those of [`TaskConfig::ideal_outputs`].
    fn ideal_outputs(&self, batch: &TrialBatch) -> Result<Vec<f32>, DataError>
    where
        Self: Sized,
    {
        score::ideal_outputs(self, batch)
    }
}

impl TaskConfig {
    /// What the task is, with the inputs and outputs that these settings give it.
    pub fn info(&self) -> TaskInfo {
        self.design().info()
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`DataError::Config`] names the setting (`task.noise`), its value and what is allowed.
    pub fn validate(&self) -> Result<(), DataError> {
        self.design().validate()
    }

    /// How many conditions there are. So many trials, from a multiple of it on, show each of them once.
    pub fn conditions(&self) -> usize {
        self.design().conditions()
    }

    /// The extents of a trial at a step of `dt_ms`.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate), and [`DataError::Config`] for a `dt_ms` that is not above 0, so short that a
    /// trial has more than 100 000 steps, or longer than something that a step must resolve.
    pub fn shape(&self, dt_ms: f64) -> Result<TaskShape, DataError> {
        batch::shape(self.design(), dt_ms)
    }

    /// The trials of these indices at a step of `dt_ms`.
    ///
    /// # Errors
    /// Those of [`shape`](Self::shape), and [`DataError::Config`] for more trials than fit into memory (2²⁸ numbers in an
    /// array).
    pub fn trials(
        &self,
        seed: u64,
        indices: Range<u64>,
        dt_ms: f64,
    ) -> Result<TrialBatch, DataError> {
        batch::trials(self.design(), seed, indices, dt_ms)
    }

    /// Judges the outputs, row-major `[batch, steps, outputs]`, trial by trial. Results of several batches may be put
    /// together before [`summarise`](Self::summarise).
    ///
    /// # Errors
    /// [`DataError::Config`] when `outputs` are not as many as the batch's targets, or not all finite, or the batch is of
    /// another task.
    pub fn judge(&self, outputs: &[f32], batch: &TrialBatch) -> Result<Vec<TrialScore>, DataError> {
        score::judge(self.design(), outputs, batch)
    }

    /// Sums up the results of trials.
    ///
    /// # Errors
    /// [`DataError::Config`] when there is no trial, or one of another task.
    pub fn summarise(&self, trials: &[TrialScore]) -> Result<Score, DataError> {
        score::summarise(self.design(), trials)
    }

    /// Scores the outputs, row-major `[batch, steps, outputs]`.
    ///
    /// # Errors
    /// Those of [`judge`](Self::judge) and [`summarise`](Self::summarise).
    pub fn score(&self, outputs: &[f32], batch: &TrialBatch) -> Result<Score, DataError> {
        self.summarise(&self.judge(outputs, batch)?)
    }

    /// What an observer without limits of memory and precision gives for the inputs alone, `[batch, steps, outputs]`: the
    /// score to be reached. It knows the periods, averages noisy evidence over the whole of a stimulus, and finds pulses
    /// after the fact; only those of the flip-flop it takes for what they seem step by step.
    ///
    /// # Errors
    /// [`DataError::Config`] when the batch is of another task.
    pub fn ideal_outputs(&self, batch: &TrialBatch) -> Result<Vec<f32>, DataError> {
        score::ideal_outputs(self.design(), batch)
    }

    /// Identifies what the task shows: equal for equal trials. A run that goes on with another fingerprint would go on
    /// with other data.
    ///
    /// # Errors
    /// Those of [`shape`](Self::shape).
    pub fn fingerprint(&self, seed: u64, dt_ms: f64) -> Result<String, DataError> {
        batch::fingerprint(self.design(), seed, dt_ms)
    }
}

/// Checks `task.noise`, 0 to 1000 √ms.
///
/// # Errors
/// [`DataError::Config`] outside of that.
pub fn validate_noise(noise: f64) -> Result<(), DataError> {
    if (0.0..=1e3).contains(&noise) {
        return Ok(());
    }
    Err(DataError::invalid("task.noise", noise, "0 to 1000 √ms"))
}

/// Checks a number of things against its range.
///
/// # Errors
/// [`DataError::Config`] names `field` outside of that.
pub fn validate_count(
    field: &str,
    count: usize,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<(), DataError> {
    if allowed.contains(&count) {
        return Ok(());
    }
    Err(DataError::invalid(
        field,
        count,
        format!("{} to {}", allowed.start(), allowed.end()),
    ))
}

/// Checks that a number is finite and fine.
///
/// # Errors
/// [`DataError::Config`] names `field` and what is allowed, where it is not.
pub fn validate_number(
    field: &str,
    value: f64,
    fine: bool,
    allowed: impl Into<String>,
) -> Result<(), DataError> {
    if fine && value.is_finite() {
        return Ok(());
    }
    Err(DataError::invalid(field, value, allowed))
}

/// Names of inputs or outputs.
pub fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
