use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site, at_most};
use crate::DynamicsError;

/// Every pair is connected with the same probability, by itself (Erdős and Rényi 1959).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FixedProbability {
    /// From 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub probability: f64,
}

impl ConnectionRule for FixedProbability {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        let p = self.probability;
        if !(0.0..=1.0).contains(&p) {
            return Err(site.refused("probability", p, "0 to 1"));
        }
        Ok(at_most(p * site.pre as f64 * site.post as f64))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        let p = self.probability;
        if p <= 0.0 {
            return;
        }
        let log = (-p).ln_1p();
        for pre in 0..site.pre {
            let mut random = site.random(pre);
            // How many are left out before the next one has a geometric distribution.
            let mut skip = || {
                if p < 1.0 {
                    (random().ln() / log).floor()
                } else {
                    0.0
                }
            };
            let mut post = skip();
            while post < site.post as f64 {
                let to = post as usize;
                if site.allows(pre, to) {
                    connect(pre, to);
                }
                post += 1.0 + skip();
            }
        }
    }
}
