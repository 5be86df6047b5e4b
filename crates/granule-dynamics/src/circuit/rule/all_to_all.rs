use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site};
use crate::DynamicsError;

/// Every cell to every cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllToAll {}

impl ConnectionRule for AllToAll {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        Ok(site.pre.saturating_mul(site.post))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        for pre in 0..site.pre {
            for post in (0..site.post).filter(|post| site.allows(pre, *post)) {
                connect(pre, post);
            }
        }
    }
}
