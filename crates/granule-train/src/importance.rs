//! What a decoder uses: how much worse it is without a channel, a lag or a group of channels.

use granule_io::ranges;
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::metrics::finite;

/// The most repeats.
const MOST_REPEATS: usize = 1000;

/// What is shuffled at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A channel at all steps of a sample, or a feature.
    #[default]
    Channel,
    /// All channels at a step of a sample.
    Lag,
    /// Some channels at all steps.
    Group,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Lag, Self::Group];

    /// Its name: `channel`, `lag` or `group`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Lag => "lag",
            Self::Group => "group",
        }
    }
}

/// How importance is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceConfig {
    /// What is shuffled at a time.
    pub by: By,
    /// For [`By::Group`]: the channels of each group, as ranges `[first, end]`, counted from 0 as the recording has them and
    /// without the end. Without any the groups are those of a model whose branches each see some channels.
    pub groups: Vec<Vec<[usize; 2]>>,
    /// How often each is shuffled, 1 to 1000.
    pub repeats: usize,
    /// Decides the orders.
    pub seed: u64,
}

impl Default for ImportanceConfig {
    /// By channel, ten times, with seed 1.
    fn default() -> Self {
        Self {
            by: By::Channel,
            groups: Vec::new(),
            repeats: 10,
            seed: 1,
        }
    }
}

impl ImportanceConfig {
    /// Checks what can be judged without a model.
    ///
    /// # Errors
    /// [`ConfigError`] with the field.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MOST_REPEATS).contains(&self.repeats) {
            let allowed = format!("1 to {MOST_REPEATS}");
            return Err(ConfigError::new("repeats", self.repeats, allowed));
        }
        if self.by != By::Group && !self.groups.is_empty() {
            let value = format!("{:?}", self.groups);
            return Err(ConfigError::new(
                "groups",
                value,
                "given with `by` = group only",
            ));
        }
        let mut groups = self.groups.iter();
        groups.try_for_each(|group| ranges::check("groups", group, None))
    }
}

/// The score that falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The mean R² of real values.
    R2,
    /// The balanced accuracy of classes, in 0..=1.
    BalancedAccuracy,
    /// Bits per spike of counts, see [`bits_per_spike`](crate::metrics::bits_per_spike).
    BitsPerSpike,
}

impl Measure {
    /// `R²`, `balanced accuracy` or `bits per spike`.
    pub fn name(self) -> &'static str {
        match self {
            Self::R2 => "R²",
            Self::BalancedAccuracy => "balanced accuracy",
            Self::BitsPerSpike => "bits per spike",
        }
    }
}

/// How much worse a decoder is where a part of what it sees is that of another sample (permutation importance: Breiman 2001,
/// doi:10.1023/A:1010933404324; Fisher, Rudin and Dominici 2019, arXiv:1801.01489).
///
/// What two parts have in common does not count where one of them alone is shuffled: of units that say the same none need be
/// important. It is what this model uses, and not all that the signal holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Importance {
    /// What was shuffled at a time.
    pub by: By,
    /// What a part is called: `channel`, `feature`, `lag` (in bins from the one that is decoded), `step` or `group`.
    pub thing: String,
    /// The score that falls.
    pub measure: Measure,
    /// The model's score on the samples as they are.
    #[serde(with = "finite")]
    pub score: f64,
    /// Its mean loss there.
    #[serde(with = "finite")]
    pub loss: f64,
    /// How many samples were shuffled.
    pub samples: usize,
    /// How often each part was.
    pub repeats: usize,
    /// What the orders were drawn from.
    pub seed: u64,
    /// Ridge or Poisson regression on the same, where it can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<LinearScore>,
    /// The parts in their order: channels and lags rising.
    pub parts: Vec<PartImportance>,
}

/// The regression beside the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearScore {
    /// Such as `ridge, whole window`.
    pub name: String,
    /// λ, chosen by cross-validation in the training part.
    pub penalty: f64,
    /// Its score on the samples as they are.
    #[serde(with = "finite")]
    pub score: f64,
}

/// What one part is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartImportance {
    /// A channel by its number from 0, as the recording has it; a lag with its sign; a step from 0; the channels of a group.
    pub name: String,
    /// Whether it is the same in all samples, so that it is worth nothing and was not shuffled.
    pub constant: bool,
    /// The score less the score where the part is shuffled.
    pub drop: Spread,
    /// How much the mean loss rises.
    pub loss_rise: Spread,
    /// As `drop`, of the regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_drop: Option<Spread>,
    /// Of a lag: the score of a regression that sees it alone.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub alone: Option<f64>,
}

/// A number over repeats or runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Its mean.
    #[serde(with = "finite")]
    pub mean: f64,
    /// Its standard deviation, with n − 1; none of one repeat.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of these numbers; NaN of none.
    pub fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
        Self {
            mean,
            deviation: (numbers.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        }
    }
}

impl Importance {
    /// The parts, the one without which the model is worst first.
    pub fn ranked(&self) -> Vec<&PartImportance> {
        let mut parts: Vec<&PartImportance> = self.parts.iter().collect();
        parts.sort_by(|a, b| b.drop.mean.total_cmp(&a.drop.mean));
        parts
    }

    /// How many parts are the same in all samples.
    pub fn constant(&self) -> usize {
        self.parts.iter().filter(|part| part.constant).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_a_sample() {
        let found = Spread::of(&[1.0, 2.0, 6.0]);
        assert_eq!(found.mean, 3.0);
        assert_eq!(found.deviation, Some(7.0_f64.sqrt()));
        assert_eq!(Spread::of(&[2.5]).deviation, None);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let with = |change: fn(&mut ImportanceConfig)| {
            let mut config = ImportanceConfig::default();
            change(&mut config);
            config.validate().map_err(|error| error.field)
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|config| config.repeats = 0), Err("repeats".to_owned()));
        assert_eq!(
            with(|config| config.repeats = 1001),
            Err("repeats".to_owned())
        );
        let groups = Err("groups".to_owned());
        assert_eq!(with(|config| config.groups = vec![vec![[0, 2]]]), groups);
        let empty = |config: &mut ImportanceConfig| {
            config.by = By::Group;
            config.groups = vec![vec![[2, 2]]];
        };
        assert_eq!(with(empty), groups);
    }
}
