use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site, at_most};
use crate::DynamicsError;
use crate::setting::Range;

/// How something falls with the distance d.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Profile {
    /// exp(−d²/(2 width²))
    Gaussian {
        /// In the unit of the positions.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        width: f64,
    },
    /// exp(−d/width)
    Exponential {
        /// In the unit of the positions.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        width: f64,
    },
    /// 1 up to the distance `width`, 0 beyond.
    Within {
        /// In the unit of the positions.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        width: f64,
    },
}

impl Profile {
    pub(in super::super) fn check(&self, field: &str) -> Result<(), DynamicsError> {
        let (name, width) = match self {
            Self::Gaussian { width } => ("gaussian", width),
            Self::Exponential { width } => ("exponential", width),
            Self::Within { width } => ("within", width),
        };
        Range::Positive.check(format!("{field}.{name}.width"), *width)
    }

    /// From 0 to 1.
    pub(in super::super) fn at(&self, d: f64) -> f64 {
        match self {
            Self::Gaussian { width } => (-0.5 * (d / width).powi(2)).exp(),
            Self::Exponential { width } => (-d / width).exp(),
            Self::Within { width } => f64::from(u8::from(d <= *width)),
        }
    }
}

/// Every pair is connected with the probability `peak`·profile(d) at the distance d.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DistanceDependent {
    /// The probability at no distance, from 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub peak: f64,
    /// How it falls with the distance.
    pub profile: Profile,
}

/// The most pairs of cells between which distances are taken: minutes of them.
const MOST_PAIRS: usize = 10_000_000_000;

/// The cells of which connections are counted beforehand.
const SAMPLES: usize = 64;

impl DistanceDependent {
    /// That of the connection to each of the other cells; none without positions.
    fn probabilities(&self, site: &Site, pre: usize) -> impl Iterator<Item = f64> {
        let space = site.space.iter();
        space.flat_map(move |space| {
            let distances = (0..site.post).map(move |post| space.distance(pre, post));
            distances.map(|d| self.peak * self.profile.at(d))
        })
    }
}

impl ConnectionRule for DistanceDependent {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        if !(0.0..=1.0).contains(&self.peak) {
            return Err(site.refused("peak", self.peak, "0 to 1"));
        }
        self.profile.check(&format!("{}.profile", site.field))?;
        if site.space.is_none() {
            let allowed =
                "between populations that both have `positions`, on rings of one length or on none";
            return Err(site.refused("kind", "distance-dependent", allowed));
        }
        let pairs = site.pre.saturating_mul(site.post);
        if pairs > MOST_PAIRS {
            let found = format!("distance-dependent over {pairs} pairs of cells");
            return Err(site.refused("kind", found, format!("at most {MOST_PAIRS} pairs")));
        }
        // From some of the cells.
        let apart = site.pre.div_ceil(SAMPLES);
        let all = (0..site.pre).step_by(apart);
        let sum: f64 = all
            .clone()
            .map(|pre| self.probabilities(site, pre).sum::<f64>())
            .sum();
        Ok(at_most(sum / all.len() as f64 * site.pre as f64))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        for pre in 0..site.pre {
            let mut random = site.random(pre);
            for (post, p) in self.probabilities(site, pre).enumerate() {
                if random() <= p && site.allows(pre, post) {
                    connect(pre, post);
                }
            }
        }
    }
}
