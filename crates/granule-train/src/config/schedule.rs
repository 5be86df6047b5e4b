use serde::{Deserialize, Serialize};

use super::{at_least_one, at_most, check, not_negative, positive};
use crate::ConfigError;

/// How the learning rate moves over the optimiser steps; `kind` names it in TOML.
///
/// Each kind begins with `warmup_steps` steps in which the rate rises linearly to its full value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ScheduleConfig {
    /// The rate stays.
    Constant(ConstantConfig),
    /// The rate is multiplied by a factor every few epochs.
    Step(StepConfig),
    /// The rate falls along half a cosine.
    Cosine(CosineConfig),
    /// The rate rises to its peak and falls to almost nothing, both along half a cosine.
    OneCycle(OneCycleConfig),
    /// The rate falls whenever the validation score no longer improves.
    Plateau(PlateauConfig),
}

/// The rate stays at `optimizer.lr`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ConstantConfig {
    /// Optimiser steps of linear rise.
    pub warmup_steps: usize,
}

/// The rate is multiplied by `gamma` after every `every_epochs` epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StepConfig {
    /// Epochs between two falls.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub every_epochs: usize,
    /// Factor of each fall.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub gamma: f64,
    /// Optimiser steps of linear rise.
    pub warmup_steps: usize,
}

/// The rate falls from `optimizer.lr` to `min_factor` times that.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CosineConfig {
    /// Final rate as a fraction of `optimizer.lr`, in `[0, 1]`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub min_factor: f64,
    /// Optimiser steps of linear rise.
    pub warmup_steps: usize,
}

/// The rate is multiplied by `factor` whenever the monitored score of the validation part has not improved for `patience`
/// epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlateauConfig {
    /// Factor of each fall, in `(0, 1)`.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0), extend("exclusiveMaximum" = 1)))]
    pub factor: f64,
    /// Epochs without improvement before each fall.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub patience: usize,
    /// A change of the monitored score (`train.monitor`) by less than this is no improvement.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub min_delta: f64,
    /// Lowest rate as a fraction of `optimizer.lr`, in `[0, 1]`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub min_factor: f64,
    /// Optimiser steps of linear rise.
    pub warmup_steps: usize,
}

impl Default for PlateauConfig {
    fn default() -> Self {
        Self {
            factor: 0.1,
            patience: 5,
            min_delta: 1e-4,
            min_factor: 0.0,
            warmup_steps: 0,
        }
    }
}

/// `optimizer.lr` is the peak of the cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OneCycleConfig {
    /// First rate as a fraction of the peak, in `(0, 1]`.
    #[cfg_attr(feature = "schema", schemars(range(max = 1), extend("exclusiveMinimum" = 0)))]
    pub start_factor: f64,
    /// Last rate as a fraction of the peak, in `[0, 1]`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub final_factor: f64,
    /// Fraction of the steps spent rising, in `(0, 1)`.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0), extend("exclusiveMaximum" = 1)))]
    pub pct_start: f64,
    /// Optimiser steps of linear rise before the cycle.
    pub warmup_steps: usize,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self {
            every_epochs: 5,
            gamma: 0.1,
            warmup_steps: 0,
        }
    }
}

impl Default for OneCycleConfig {
    fn default() -> Self {
        Self {
            start_factor: 0.04,
            final_factor: 4e-6,
            pct_start: 0.3,
            warmup_steps: 0,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Constant(ConstantConfig::default())
    }
}

impl ScheduleConfig {
    /// The names [`from_name`](Self::from_name) knows.
    pub const NAMES: &[&str] = &["constant", "step", "cosine", "one-cycle", "plateau"];

    /// The schedule of that name with its default constants.
    ///
    /// # Errors
    /// A name that is not in [`NAMES`](Self::NAMES).
    pub fn from_name(name: &str) -> Result<Self, ConfigError> {
        match name {
            "constant" => Ok(Self::Constant(ConstantConfig::default())),
            "step" => Ok(Self::Step(StepConfig::default())),
            "cosine" => Ok(Self::Cosine(CosineConfig::default())),
            "one-cycle" => Ok(Self::OneCycle(OneCycleConfig::default())),
            "plateau" => Ok(Self::Plateau(PlateauConfig::default())),
            _ => Err(ConfigError::new(
                "schedule.kind",
                name,
                Self::NAMES.join(", "),
            )),
        }
    }

    /// The schedule's name in TOML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Step(_) => "step",
            Self::Cosine(_) => "cosine",
            Self::OneCycle(_) => "one-cycle",
            Self::Plateau(_) => "plateau",
        }
    }

    /// Optimiser steps of linear rise.
    pub fn warmup_steps(&self) -> usize {
        match self {
            Self::Constant(c) => c.warmup_steps,
            Self::Step(c) => c.warmup_steps,
            Self::Cosine(c) => c.warmup_steps,
            Self::OneCycle(c) => c.warmup_steps,
            Self::Plateau(c) => c.warmup_steps,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        at_most("schedule.warmup_steps", self.warmup_steps())?;
        match self {
            Self::Constant(_) => Ok(()),
            Self::Step(c) => {
                at_least_one("schedule.every_epochs", Some(c.every_epochs))?;
                positive("schedule.gamma", c.gamma)
            }
            Self::Cosine(c) => fraction("schedule.min_factor", c.min_factor),
            Self::Plateau(c) => {
                check(
                    "schedule.factor",
                    c.factor,
                    c.factor > 0.0 && c.factor < 1.0,
                    "above 0 and below 1",
                )?;
                at_least_one("schedule.patience", Some(c.patience))?;
                not_negative("schedule.min_delta", c.min_delta)?;
                fraction("schedule.min_factor", c.min_factor)
            }
            Self::OneCycle(c) => {
                fraction("schedule.start_factor", c.start_factor)?;
                positive("schedule.start_factor", c.start_factor)?;
                fraction("schedule.final_factor", c.final_factor)?;
                check(
                    "schedule.pct_start",
                    c.pct_start,
                    c.pct_start > 0.0 && c.pct_start < 1.0,
                    "above 0 and below 1",
                )
            }
        }
    }
}

fn fraction(field: &'static str, value: f64) -> Result<(), ConfigError> {
    check(field, value, (0.0..=1.0).contains(&value), "0 to 1")
}
