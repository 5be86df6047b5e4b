//! Where currents enter a cell and where it is recorded.

use std::collections::BTreeMap;

use super::Sites;
use super::config::CableCellConfig;
use super::discretise::Discretised;
use super::model::Places;
use super::section::Branch;
use super::site::{self, Names, SiteDistances};
use crate::DynamicsError;

/// The most sites of which the distances between all are known.
const MOST_DISTANT: usize = 256;

impl CableCellConfig {
    /// How far the record sites that are named are from each other along the cell, µm, and which of them lie one behind the
    /// other; `spikes` tells which of them do so by themselves.
    fn distances(
        &self,
        branches: &[Branch],
        names: &Names<'_>,
        spikes: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<SiteDistances>, DynamicsError> {
        let found = |field: &str, sites: &Sites| -> Result<Vec<(usize, f64)>, DynamicsError> {
            let given = sites.as_slice().iter();
            let given = given.map(|text| site::find(field, text, names, 0.5));
            given.collect()
        };
        let sites = found("unit.record_sites", &self.record_sites)?;
        let mut entered = found("unit.stimulus_sites", &self.stimulus_sites)?;
        if entered.is_empty() {
            entered.push((0, 0.5));
        }
        // Of many sites the distances from the first one.
        let rows = if sites.len() > MOST_DISTANT {
            1
        } else {
            sites.len()
        };
        let from_entry = |entry: &(usize, f64)| -> Vec<f64> {
            let ways = Ways::of(branches, *entry);
            sites.iter().map(|site| ways.to(*site)).collect()
        };
        // Of each entry how far all sites are.
        let entries: Vec<Vec<f64>> = entered.iter().map(from_entry).collect();
        let row = |(index, site): (usize, &(usize, f64))| {
            let own = Ways::of(branches, *site);
            let to: Vec<f64> = sites.iter().map(|site| own.to(*site)).collect();
            let in_line = sites
                .iter()
                .zip(&to)
                .enumerate()
                .map(|(other, (place, apart))| {
                    let near = 1e-6 * apart;
                    other != index
                        && (is_above(branches, *site, *place) || is_above(branches, *place, *site))
                        && entries.iter().all(|to_site| {
                            // Where the way from the entry meets that between the two, from here.
                            let met = 0.5 * (to_site[index] + apart - to_site[other]);
                            met <= near || met >= apart - near
                        })
                });
            SiteDistances {
                spikes: spikes(index),
                in_line: in_line.collect(),
                to,
            }
        };
        Ok(sites.iter().enumerate().take(rows).map(row).collect())
    }

    /// Where currents enter and the cells are recorded.
    pub(super) fn places(
        &self,
        branches: &[Branch],
        compartments: &Discretised,
        excitable: &[bool],
    ) -> Result<Places, DynamicsError> {
        let names: Names<'_> = branches.iter().map(|own| own.name.as_str()).collect();
        let of_cell = compartments.regions.len();
        let resolved = |field: &str, sites: &Sites| -> Result<Vec<usize>, DynamicsError> {
            let sites = sites.as_slice().iter().enumerate();
            let found = sites.map(|(index, text)| {
                let (branch, at) = site::find(&format!("{field}[{index}]"), text, &names, 0.5)?;
                Ok(compartments.compartment(branch, at))
            });
            found.collect()
        };
        let mut entered = resolved("unit.stimulus_sites", &self.stimulus_sites)?;
        for (index, compartment) in entered.iter().enumerate() {
            if entered[..index].contains(compartment) {
                let found = format!("{:?}", self.stimulus_sites.as_slice()[index]);
                let allowed = "a site in another compartment than those before it";
                let field = format!("unit.stimulus_sites[{index}]");
                return Err(DynamicsError::config(field, found, allowed));
            }
        }
        if entered.is_empty() {
            entered.push(compartments.compartment(0, 0.5));
        }
        let (mut recorded, mut labels) = if self.record_sites.is_empty() {
            let middles = 0..branches.len();
            let middles = middles.map(|branch| compartments.compartment(branch, 0.5));
            let labels = branches.iter().map(|branch| branch.name.clone());
            (middles.collect(), labels.collect())
        } else {
            let labels = self.record_sites.as_slice().iter();
            let labels: Vec<String> = labels.map(|text| site::label(text)).collect();
            (resolved("unit.record_sites", &self.record_sites)?, labels)
        };
        let spikes = |site: usize| {
            let compartment = recorded[site];
            excitable[compartments.regions[compartment]] && !entered.contains(&compartment)
        };
        let distances = match self.cells {
            1 => self.distances(branches, &names, &spikes)?,
            _ => Vec::new(),
        };
        if self.cells > 1 {
            let copied = |own: &[usize]| -> Vec<usize> {
                let cells = 0..self.cells;
                let all = cells.flat_map(|cell| own.iter().map(move |at| cell * of_cell + at));
                all.collect()
            };
            (entered, recorded) = (copied(&entered), copied(&recorded));
            let cells = 0..self.cells;
            let all = cells.flat_map(|cell| labels.iter().map(move |own| format!("{cell}: {own}")));
            labels = all.collect();
        }
        Ok(Places {
            entered,
            recorded,
            labels: labels.into(),
            distances,
        })
    }
}

/// The way from a place to the root, from which those to all others are found.
struct Ways<'a> {
    branches: &'a [Branch],
    /// Of each branch on the way where it leaves it, and how far that is.
    left: BTreeMap<usize, (f64, f64)>,
}

impl<'a> Ways<'a> {
    fn of(branches: &'a [Branch], site: (usize, f64)) -> Self {
        let left = way(branches, site);
        Self {
            branches,
            left: left
                .map(|(branch, at, walked)| (branch, (at, walked)))
                .collect(),
        }
    }

    /// How far another place is, µm.
    fn to(&self, site: (usize, f64)) -> f64 {
        let mut all = way(self.branches, site);
        let meeting = all.find_map(|(branch, at, walked)| {
            let (other, before) = self.left.get(&branch)?;
            Some(walked + before + (at - other).abs() * self.branches[branch].length())
        });
        meeting.unwrap_or(0.0)
    }
}

/// Whether a place is on the way from the root to another one.
fn is_above(branches: &[Branch], (branch, place): (usize, f64), other: (usize, f64)) -> bool {
    let mut all = way(branches, other);
    all.any(|(passed, at, _)| passed == branch && at >= place)
}

/// How a place is reached from the root: the branches on the way, its own first, where the way leaves each of them, and how
/// far from the place that is, µm.
fn way(
    branches: &[Branch],
    (branch, place): (usize, f64),
) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
    std::iter::successors(Some((branch, place, 0.0)), |(branch, place, walked)| {
        let (parent, at) = branches[*branch].parent?;
        Some((parent, at, walked + place * branches[*branch].length()))
    })
}
