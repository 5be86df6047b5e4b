use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site};
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
        // The least that is known without the distances.
        Ok((self.peak * site.pre as f64 * site.post as f64).ceil() as usize)
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        let Some(space) = &site.space else { return };
        for pre in 0..site.pre {
            let mut random = site.random(pre);
            for post in 0..site.post {
                let p = self.peak * self.profile.at(space.distance(pre, post));
                if random() <= p && site.allows(pre, post) {
                    connect(pre, post);
                }
            }
        }
    }
}
