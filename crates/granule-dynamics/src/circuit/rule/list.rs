use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::{Connect, ConnectionRule, Site};
use crate::DynamicsError;

/// The pairs (`pre[k]`, `post[k]`), cells from 0; `weight` and `delay` of the projection may be lists in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListOfPairs {
    /// The presynaptic cell of each connection.
    pub pre: Vec<f64>,
    /// The postsynaptic cell of each connection.
    pub post: Vec<f64>,
}

fn check(site: &Site, (name, cells): (&str, &[f64]), count: usize) -> Result<(), DynamicsError> {
    let fits = |cell: &f64| (0.0..count as f64).contains(cell) && cell.fract() == 0.0;
    match cells.iter().enumerate().find(|(_, cell)| !fits(cell)) {
        Some((at, cell)) => {
            let allowed = format!("a whole number from 0 to {}, a cell", count - 1);
            Err(site.refused(&format!("{name}.{at}"), cell, allowed))
        }
        None => Ok(()),
    }
}

impl ConnectionRule for ListOfPairs {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        if self.pre.len() != self.post.len() {
            let found = format!("[{}]", counted(self.post.len(), "cell"));
            let allowed = format!("as many as `pre` has, {}", self.pre.len());
            return Err(site.refused("post", found, allowed));
        }
        check(site, ("pre", &self.pre), site.pre)?;
        check(site, ("post", &self.post), site.post)?;
        let mut pairs = self.pre.iter().zip(&self.post);
        let itself = pairs.position(|(pre, post)| !site.allows(*pre as usize, *post as usize));
        if let Some(at) = itself {
            let cell = self.pre[at] as usize;
            site.check_pair(&format!("post.{at}"), cell, cell)?;
        }
        Ok(self.pre.len())
    }

    fn connect(&self, _: &Site, connect: &mut Connect<'_>) {
        let pairs = self.pre.iter().zip(&self.post);
        pairs.for_each(|(pre, post)| connect(*pre as usize, *post as usize));
    }
}

/// A matrix of weights, one row for each presynaptic cell; a weight of 0 is no connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The weights, in the place of `weight` of the projection.
    pub weights: Vec<Vec<f64>>,
}

impl ConnectionRule for Matrix {
    fn count(&self, site: &Site) -> Result<usize, DynamicsError> {
        if self.weights.len() != site.pre {
            let found = format!("[{}]", counted(self.weights.len(), "row"));
            let allowed = format!("{}, one for each cell of `from`", counted(site.pre, "row"));
            return Err(site.refused("weights", found, allowed));
        }
        for (row, weights) in self.weights.iter().enumerate() {
            if weights.len() != site.post {
                let found = format!("[{}]", counted(weights.len(), "value"));
                let allowed = format!("{}, one for each cell of `to`", site.post);
                return Err(site.refused(&format!("weights.{row}"), found, allowed));
            }
            if let Some(column) = weights.iter().position(|w| !w.is_finite()) {
                let name = format!("weights.{row}.{column}");
                return Err(site.refused(&name, weights[column], "a finite number"));
            }
            if weights.get(row).is_some_and(|w| *w != 0.0) {
                site.check_pair(&format!("weights.{row}.{row}"), row, row)?;
            }
        }
        let all = self.weights.iter().flatten();
        Ok(all.filter(|w| **w != 0.0).count())
    }

    fn connect(&self, _: &Site, connect: &mut Connect<'_>) {
        for (pre, row) in self.weights.iter().enumerate() {
            let there = row.iter().enumerate().filter(|(_, w)| **w != 0.0);
            there.for_each(|(post, _)| connect(pre, post));
        }
    }

    fn has_weights(&self) -> bool {
        true
    }

    fn weights(&self) -> Option<Vec<f64>> {
        let all = self.weights.iter().flatten();
        Some(all.copied().filter(|w| *w != 0.0).collect())
    }
}
