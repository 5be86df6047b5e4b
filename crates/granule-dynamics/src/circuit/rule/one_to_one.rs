use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site};
use crate::DynamicsError;

/// Cell i to cell i.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OneToOne {}

impl ConnectionRule for OneToOne {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        site.check_pair("kind", 0, 0)?;
        if site.pre == site.post {
            return Ok(site.pre);
        }
        let allowed = format!(
            "between populations of one size, which these of {} and {} cells are not",
            site.pre, site.post
        );
        Err(site.refused("kind", "one-to-one", allowed))
    }

    fn connect(&self, site: &Site, connect: &mut Connect<'_>) {
        (0..site.pre).for_each(|cell| connect(cell, cell));
    }

    fn is_one_to_one(&self) -> bool {
        true
    }
}
