use serde::{Deserialize, Serialize};

use super::limits::WeightLimits;
use super::rules::{AnyRule, RuleConfig, Rules};
use crate::{DynamicsError, Place};

/// Several rules that act on the same weights at once, and what the weights keep to.
///
/// ```
/// use granule_dynamics::plasticity::RulesConfig;
///
/// let config: RulesConfig = serde_json::from_str(
///     r#"{
///         "rules": [
///             {"kind": "pair-stdp", "depression": 0.012},
///             {"kind": "homeostasis", "target": 0.01, "signal": "spikes"}
///         ],
///         "limits": {"bounds": {"kind": "soft", "low": 0.0, "high": 1.0}, "keep_signs": true}
///     }"#,
/// )?;
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// The rules; at least one.
    pub rules: Vec<RuleConfig>,
    /// Limits of the weights.
    pub limits: WeightLimits,
}

impl RulesConfig {
    /// One rule without limits.
    pub fn of(rule: RuleConfig) -> Self {
        Self {
            rules: vec![rule],
            limits: WeightLimits::default(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.rules.is_empty() {
            return Err(DynamicsError::config("rules", "[]", "at least one rule"));
        }
        self.limits.validate()?;
        self.rules.iter().try_for_each(RuleConfig::validate)
    }

    /// Makes the rules.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Rules, DynamicsError> {
        self.validate()?;
        let rules: Result<Vec<AnyRule>, _> =
            self.rules.iter().map(|rule| rule.init(place)).collect();
        Ok(Rules::new(rules?, self.limits))
    }
}
