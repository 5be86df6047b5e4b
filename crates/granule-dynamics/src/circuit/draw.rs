//! Numbers of a configuration that may be drawn.

use granule_ops::random::uniform;
use serde::{Deserialize, Serialize};

use crate::setting::Range;
use crate::{DynamicsError, Values};

/// A number for all, a list with one for each, or a distribution from which each is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "must be a number, a list of numbers, or a table of one distribution"
)]
pub enum Draw {
    /// The same for all.
    One(f64),
    /// One for each.
    Each(Vec<f64>),
    /// Each drawn by itself.
    From(Distribution),
}

impl From<f64> for Draw {
    fn from(value: f64) -> Self {
        Self::One(value)
    }
}

/// What a number is drawn from. What is not from `low` to `high` is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distribution {
    /// Every number between two is as likely.
    Uniform {
        /// The lowest.
        low: f64,
        /// The highest, at least `low`.
        high: f64,
    },
    /// The normal distribution.
    Normal {
        /// The mean without limits.
        mean: f64,
        /// The standard deviation without limits.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
        deviation: f64,
        /// The lowest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<f64>,
        /// The highest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<f64>,
    },
    /// e to the power of a normal number of mean ln `median`.
    LogNormal {
        /// The median.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        median: f64,
        /// The standard deviation of the logarithm.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
        deviation: f64,
        /// The lowest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<f64>,
        /// The highest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<f64>,
    },
    /// The exponential distribution.
    Exponential {
        /// The mean without limits.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        mean: f64,
        /// The lowest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<f64>,
        /// The highest. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<f64>,
    },
}

impl Distribution {
    /// What it is called, and the lowest and the highest number that it has.
    fn limits(&self) -> (&'static str, [f64; 2]) {
        let above = |least: f64, low: Option<f64>| low.map_or(least, |low| low.max(least));
        let below = |high: Option<f64>| high.unwrap_or(f64::INFINITY);
        match *self {
            Self::Uniform { low, high } => ("uniform", [low, high]),
            Self::Normal { low, high, .. } => {
                ("normal", [above(f64::NEG_INFINITY, low), below(high)])
            }
            Self::LogNormal { low, high, .. } => ("log-normal", [above(0.0, low), below(high)]),
            Self::Exponential { low, high, .. } => ("exponential", [above(0.0, low), below(high)]),
        }
    }

    /// The lowest number that it has.
    pub(super) fn lowest(&self) -> f64 {
        self.limits().1[0]
    }

    fn check(&self, field: &str) -> Result<(), DynamicsError> {
        let (kind, [lowest, highest]) = self.limits();
        let at = |name: &str| format!("{field}.{kind}.{name}");
        let given = |name: &str, value: Option<f64>| match value {
            Some(value) => Range::Any.check(at(name), value),
            None => Ok(()),
        };
        // Within five deviations of the mean there is something to draw.
        let around = |mean: f64, deviation: f64, ends: [f64; 2]| {
            let reach = 5.0 * deviation;
            if ends[0] > mean + reach || ends[1] < mean - reach {
                let found = format!("{lowest} to {highest}");
                let allowed = "limits that meet the five deviations around the middle";
                return Err(DynamicsError::config(at("low"), found, allowed));
            }
            Ok(())
        };
        let ends = match *self {
            Self::Uniform { low, high } => [Some(low), Some(high)],
            Self::Normal {
                mean,
                deviation,
                low,
                high,
            } => {
                Range::Any.check(at("mean"), mean)?;
                Range::NonNegative.check(at("deviation"), deviation)?;
                around(mean, deviation, [lowest, highest])?;
                [low, high]
            }
            Self::LogNormal {
                median,
                deviation,
                low,
                high,
            } => {
                Range::Positive.check(at("median"), median)?;
                Range::NonNegative.check(at("deviation"), deviation)?;
                let logarithms = [lowest, highest.max(0.0)].map(f64::ln);
                around(median.ln(), deviation, logarithms)?;
                [low, high]
            }
            Self::Exponential { mean, low, high } => {
                Range::Positive.check(at("mean"), mean)?;
                [low, high]
            }
        };
        given("low", ends[0])?;
        given("high", ends[1])?;
        if lowest <= highest {
            return Ok(());
        }
        let allowed = format!("at least low = {lowest}");
        Err(DynamicsError::config(at("high"), highest, allowed))
    }

    /// The next number by uniform ones in (0, 1].
    fn next(&self, random: &mut impl FnMut() -> f64) -> f64 {
        let (_, [lowest, highest]) = self.limits();
        let drawn = match *self {
            Self::Uniform { low, high } => high - (high - low) * random(),
            Self::Normal {
                mean, deviation, ..
            } => normal_within([mean, deviation], [lowest, highest], random),
            Self::LogNormal {
                median, deviation, ..
            } => {
                let ends = [lowest, highest].map(f64::ln);
                normal_within([median.ln(), deviation], ends, random).exp()
            }
            Self::Exponential { mean, .. } => {
                // The share of the numbers above the lowest that are not above the highest.
                let share = -(-(highest - lowest) / mean).exp_m1();
                lowest - mean * (share * (random() - 1.0)).ln_1p()
            }
        };
        drawn.clamp(lowest, highest)
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut impl FnMut() -> f64) -> f64 {
    let radius = (-2.0 * random().ln()).sqrt();
    radius * (std::f64::consts::TAU * random()).cos()
}

/// A normal number of this mean and deviation within limits.
fn normal_within(
    [mean, deviation]: [f64; 2],
    [low, high]: [f64; 2],
    random: &mut impl FnMut() -> f64,
) -> f64 {
    if deviation == 0.0 {
        return mean;
    }
    let [low, high] = [low, high].map(|end| (end - mean) / deviation);
    mean + deviation * standard_within([low, high], random)
}

/// A standard normal number within limits (Robert 1995, doi:10.1007/BF00143942). However far out the limits are and however
/// narrow, a good part of what is proposed is taken.
fn standard_within([low, high]: [f64; 2], random: &mut impl FnMut() -> f64) -> f64 {
    if high < 0.0 {
        return -standard_within([-high, -low], random);
    }
    let nearest = low.max(0.0);
    loop {
        if nearest == 0.0 && high - low >= 1.0 {
            let drawn = normal(random);
            if (low..=high).contains(&drawn) {
                return drawn;
            }
        } else if (high - low) * nearest <= 1.0 && high - low <= 2.0 {
            let drawn = high - (high - low) * random();
            if random() <= (0.5 * (nearest * nearest - drawn * drawn)).exp() {
                return drawn;
            }
        } else {
            let rate = 0.5 * (low + (low * low + 4.0).sqrt());
            let drawn = low - random().ln() / rate;
            if drawn <= high && random() <= (-0.5 * (drawn - rate).powi(2)).exp() {
                return drawn;
            }
        }
    }
}

impl Draw {
    /// Checks every number by itself.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the number that is none.
    pub(super) fn check(&self, field: &str) -> Result<(), DynamicsError> {
        match self {
            Self::One(value) => Range::Any.check(field, *value),
            Self::Each(values) => {
                let mut all = values.iter().enumerate();
                all.try_for_each(|(at, value)| Range::Any.check(format!("{field}.{at}"), *value))
            }
            Self::From(distribution) => distribution.check(field),
        }
    }

    /// One for all of `count` cells, or one for each; each cell draws from a generator of its own.
    pub(super) fn of_cells(&self, count: usize, [seed, stream]: [u64; 2]) -> Values {
        match self {
            Self::One(value) => (*value).into(),
            Self::Each(values) => values.clone().into(),
            Self::From(distribution) => {
                let drawn = (0..count).map(|cell| {
                    let mut random = uniform(seed, stream, cell);
                    distribution.next(&mut random)
                });
                drawn.collect::<Vec<_>>().into()
            }
        }
    }

    /// Those of the connections of one cell, one after the other without end, where they are drawn.
    pub(super) fn of_connections(
        &self,
        cell: usize,
        [seed, stream]: [u64; 2],
    ) -> Option<impl Iterator<Item = f64>> {
        let Self::From(distribution) = *self else {
            return None;
        };
        let mut random = uniform(seed, stream, cell);
        Some(std::iter::repeat_with(move || {
            distribution.next(&mut random)
        }))
    }
}

/// The stream of what is drawn at a place in the configuration (Fowler, Noll and Vo, FNV-1a).
pub(super) fn stream(place: &str) -> u64 {
    place.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
