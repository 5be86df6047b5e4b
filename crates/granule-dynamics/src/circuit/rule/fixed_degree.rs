use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site, Taken};
use crate::DynamicsError;

/// Every postsynaptic cell hears the same number of cells, drawn by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FixedInDegree {
    /// How many.
    pub degree: usize,
}

impl ConnectionRule for FixedInDegree {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        site.check_degree("degree", self.degree, (site.pre, "`from`"))?;
        Ok(self.degree.saturating_mul(site.post))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        let mut taken = Taken::default();
        for post in 0..site.post {
            site.chosen(
                post,
                site.pre,
                self.degree,
                |pre| connect(pre, post),
                &mut taken,
            );
        }
    }
}

/// Every presynaptic cell reaches the same number of cells, drawn by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FixedOutDegree {
    /// How many.
    pub degree: usize,
}

impl ConnectionRule for FixedOutDegree {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        site.check_degree("degree", self.degree, (site.post, "`to`"))?;
        Ok(self.degree.saturating_mul(site.pre))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        let mut taken = Taken::default();
        for pre in 0..site.pre {
            site.chosen(
                pre,
                site.post,
                self.degree,
                |post| connect(pre, post),
                &mut taken,
            );
        }
    }
}
