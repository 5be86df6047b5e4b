use serde::{Deserialize, Serialize};

use super::limits::WeightLimits;
use super::rule::{
    BcmConfig, CompetitiveConfig, CovarianceConfig, DecayConfig, HebbConfig, HomeostasisConfig,
    OjaConfig, PairStdpConfig, SangerConfig, TripletStdpConfig, TwoThresholdConfig,
};
use super::rules::{AnyRule, Rules};
use crate::{DynamicsError, Place};

/// A rule and its settings; in a configuration file `kind` names the rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RuleConfig {
    /// Correlation.
    Hebb(HebbConfig),
    /// The first principal component.
    Oja(OjaConfig),
    /// Principal components in order.
    Sanger(SangerConfig),
    /// The strongest response learns.
    Competitive(CompetitiveConfig),
    /// A sliding threshold.
    Bcm(BcmConfig),
    /// Potentiation and depression about thresholds or means.
    Covariance(CovarianceConfig),
    /// Depression between two thresholds, potentiation above.
    TwoThreshold(TwoThresholdConfig),
    /// Pairs of spikes.
    PairStdp(PairStdpConfig),
    /// Pairs and triplets of spikes.
    TripletStdp(TripletStdpConfig),
    /// Scaling towards a target rate.
    Homeostasis(HomeostasisConfig),
    /// Forgetting.
    Decay(DecayConfig),
}

impl RuleConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names kind and setting, for example `pair-stdp.depression`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        match self {
            Self::Hebb(config) => config.validate(),
            Self::Oja(config) => config.validate(),
            Self::Sanger(config) => config.validate(),
            Self::Competitive(config) => config.validate(),
            Self::Bcm(config) => config.validate(),
            Self::Covariance(config) => config.validate(),
            Self::TwoThreshold(config) => config.validate(),
            Self::PairStdp(config) => config.validate(),
            Self::TripletStdp(config) => config.validate(),
            Self::Homeostasis(config) => config.validate(),
            Self::Decay(config) => config.validate(),
        }
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<AnyRule, DynamicsError> {
        Ok(match self {
            Self::Hebb(config) => AnyRule::Hebb(config.init(place)?),
            Self::Oja(config) => AnyRule::Oja(config.init(place)?),
            Self::Sanger(config) => AnyRule::Sanger(config.init(place)?),
            Self::Competitive(config) => AnyRule::Competitive(config.init(place)?),
            Self::Bcm(config) => AnyRule::Bcm(config.init(place)?),
            Self::Covariance(config) => AnyRule::Covariance(config.init(place)?),
            Self::TwoThreshold(config) => AnyRule::TwoThreshold(config.init(place)?),
            Self::PairStdp(config) => AnyRule::PairStdp(config.init(place)?),
            Self::TripletStdp(config) => AnyRule::TripletStdp(config.init(place)?),
            Self::Homeostasis(config) => AnyRule::Homeostasis(config.init(place)?),
            Self::Decay(config) => AnyRule::Decay(config.init(place)?),
        })
    }
}

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
