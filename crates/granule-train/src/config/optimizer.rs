use serde::{Deserialize, Serialize};

use super::{below_one, check, not_negative, positive};
use crate::ConfigError;

/// The update rule and its constants; `kind` names it in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam.
    Adam(AdamConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// RMSprop.
    RmsProp(RmsPropConfig),
}

/// Stochastic gradient descent with optional momentum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Learning rate.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// Momentum µ in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub momentum: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Weight decay λ.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub weight_decay: f64,
    /// Shrink the weights by `lr·λ` (decoupled) instead of adding `λ·w` to the gradient (L2).
    pub decoupled: bool,
}

/// Adam; weight decay is L2, added to the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Learning rate.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// Decay of the first moment, in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub beta2: f64,
    /// Added to the root of the second moment.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub epsilon: f64,
    /// L2 weight decay λ.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub weight_decay: f64,
}

/// Adam with decoupled weight decay: the weights shrink by `lr·λ` each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Learning rate.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// Decay of the first moment, in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub beta2: f64,
    /// Added to the root of the second moment.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub epsilon: f64,
    /// Decoupled weight decay λ.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub weight_decay: f64,
}

/// RMSprop; weight decay is L2, added to the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropConfig {
    /// Learning rate.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// Decay α of the mean square, in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub alpha: f64,
    /// Added to the root of the mean square.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub epsilon: f64,
    /// Momentum µ in `[0, 1)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub momentum: f64,
    /// Subtract the squared mean gradient: divide by the variance, not the mean square.
    pub centered: bool,
    /// L2 weight decay λ.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            lr: 0.01,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            lr: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            lr: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self {
            lr: 0.001,
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            centered: false,
            weight_decay: 0.0,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(AdamConfig::default())
    }
}

impl OptimizerConfig {
    /// The names [`from_name`](Self::from_name) knows.
    pub const NAMES: &[&str] = &["sgd", "adam", "adamw", "rmsprop"];

    /// The rule of that name with its default constants.
    ///
    /// # Errors
    /// A name that is not in [`NAMES`](Self::NAMES).
    pub fn from_name(name: &str) -> Result<Self, ConfigError> {
        match name {
            "sgd" => Ok(Self::Sgd(SgdConfig::default())),
            "adam" => Ok(Self::Adam(AdamConfig::default())),
            "adamw" => Ok(Self::AdamW(AdamWConfig::default())),
            "rmsprop" => Ok(Self::RmsProp(RmsPropConfig::default())),
            _ => Err(ConfigError::new(
                "optimizer.kind",
                name,
                Self::NAMES.join(", "),
            )),
        }
    }

    /// The rule's name in TOML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
        }
    }

    /// The learning rate that the schedule scales.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.lr,
            Self::Adam(c) => c.lr,
            Self::AdamW(c) => c.lr,
            Self::RmsProp(c) => c.lr,
        }
    }

    /// The weight decay λ.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.weight_decay,
            Self::Adam(c) => c.weight_decay,
            Self::AdamW(c) => c.weight_decay,
            Self::RmsProp(c) => c.weight_decay,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let decay = match self {
            Self::Sgd(c) => {
                below_one("optimizer.momentum", c.momentum)?;
                check(
                    "optimizer.nesterov",
                    c.nesterov,
                    !c.nesterov || c.momentum > 0.0,
                    "false when optimizer.momentum is 0",
                )?;
                c.weight_decay
            }
            Self::Adam(c) => {
                moments(c.beta1, c.beta2, c.epsilon)?;
                c.weight_decay
            }
            Self::AdamW(c) => {
                moments(c.beta1, c.beta2, c.epsilon)?;
                c.weight_decay
            }
            Self::RmsProp(c) => {
                below_one("optimizer.alpha", c.alpha)?;
                positive("optimizer.epsilon", c.epsilon)?;
                below_one("optimizer.momentum", c.momentum)?;
                c.weight_decay
            }
        };
        not_negative("optimizer.weight_decay", decay)?;
        positive("optimizer.lr", self.lr())
    }
}

fn moments(beta1: f64, beta2: f64, epsilon: f64) -> Result<(), ConfigError> {
    below_one("optimizer.beta1", beta1)?;
    below_one("optimizer.beta2", beta2)?;
    positive("optimizer.epsilon", epsilon)
}
