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

/// What a number is drawn from.
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
    /// The normal distribution; what is not from `low` to `high` is drawn again.
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
    },
    /// The exponential distribution.
    Exponential {
        /// The mean.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        mean: f64,
    },
}

/// How often a number is drawn that has to be within limits.
const TRIES: usize = 1000;

impl Distribution {
    fn check(&self, field: &str) -> Result<(), DynamicsError> {
        let at = |name: &str| format!("{field}.{name}");
        let any = |name: &str, value: f64| Range::Any.check(at(name), value);
        let ordered = |name: &str, low: f64, high: f64| {
            if low <= high {
                return Ok(());
            }
            let allowed = format!("at least low = {low}");
            Err(DynamicsError::config(at(name), high, allowed))
        };
        match *self {
            Self::Uniform { low, high } => {
                any("uniform.low", low)?;
                any("uniform.high", high)?;
                ordered("uniform.high", low, high)
            }
            Self::Normal {
                mean,
                deviation,
                low,
                high,
            } => {
                any("normal.mean", mean)?;
                Range::NonNegative.check(at("normal.deviation"), deviation)?;
                let low = low.unwrap_or(f64::NEG_INFINITY);
                let high = high.unwrap_or(f64::INFINITY);
                if low.is_nan() || high.is_nan() {
                    let allowed = "limits that are numbers";
                    return Err(DynamicsError::config(at("normal"), "NaN", allowed));
                }
                ordered("normal.high", low, high)?;
                // Within five deviations of the mean there is something to draw.
                let reach = 5.0 * deviation;
                if low > mean + reach || high < mean - reach {
                    let found = format!("{low} to {high}");
                    let allowed = format!(
                        "limits that a number of mean {mean} and deviation {deviation} can meet"
                    );
                    return Err(DynamicsError::config(at("normal"), found, allowed));
                }
                Ok(())
            }
            Self::LogNormal { median, deviation } => {
                Range::Positive.check(at("log-normal.median"), median)?;
                Range::NonNegative.check(at("log-normal.deviation"), deviation)
            }
            Self::Exponential { mean } => Range::Positive.check(at("exponential.mean"), mean),
        }
    }

    /// The next number by uniform ones in (0, 1].
    fn next(&self, random: &mut impl FnMut() -> f64) -> f64 {
        match *self {
            Self::Uniform { low, high } => high - (high - low) * random(),
            Self::Normal {
                mean,
                deviation,
                low,
                high,
            } => {
                let low = low.unwrap_or(f64::NEG_INFINITY);
                let high = high.unwrap_or(f64::INFINITY);
                let mut drawn = mean;
                for _ in 0..TRIES {
                    drawn = mean + deviation * normal(random);
                    if (low..=high).contains(&drawn) {
                        return drawn;
                    }
                }
                drawn.clamp(low, high)
            }
            Self::LogNormal { median, deviation } => median * (deviation * normal(random)).exp(),
            Self::Exponential { mean } => -mean * random().ln(),
        }
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut impl FnMut() -> f64) -> f64 {
    let radius = (-2.0 * random().ln()).sqrt();
    radius * (std::f64::consts::TAU * random()).cos()
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
