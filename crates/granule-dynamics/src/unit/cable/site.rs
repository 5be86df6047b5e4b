//! Places on a cell by name: `soma`, `dendrite(0.3)`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::setting::meant;

/// The most sites of a cell.
const MOST: usize = 4096;

/// The most sites of all cells: as many as they may have compartments.
const MOST_OF_ALL: usize = super::geometry::MOST;

/// The letters of a section's name.
const LONGEST: usize = 64;

/// The names that an error lists.
const LISTED: usize = 12;

/// One place on a cell, or several: `NAME`, the middle of a section, or `NAME(x)`, with x from 0 to 1 along it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "must be a site, or a list of sites")]
pub enum Sites {
    /// `"soma"`
    One(String),
    /// `["soma", "axon(0.9)"]`
    Each(Vec<String>),
}

impl Default for Sites {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Sites {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The places as they are written.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(site) => std::slice::from_ref(site),
            Self::Each(sites) => sites,
        }
    }

    /// Checks how many there are, of one cell and of all.
    pub(super) fn check(&self, field: &str, cells: usize) -> Result<(), DynamicsError> {
        let count = self.as_slice().len();
        let allowed = if count > MOST {
            format!("at most {MOST} sites")
        } else if count.saturating_mul(cells) > MOST_OF_ALL {
            format!("at most {MOST_OF_ALL} sites of all cells, and unit.cells = {cells}")
        } else {
            return Ok(());
        };
        Err(DynamicsError::config(
            field,
            format!("[{count} sites]"),
            allowed,
        ))
    }
}

/// How far a record site is from all record sites of its cell, along the cell.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteDistances {
    /// Whether it spikes by itself: it has a channel, and no current enters there.
    pub spikes: bool,
    /// µm.
    pub to: Vec<f64>,
    /// Whether what comes from where the currents enter passes one of the two on its way to the other: one lies between the
    /// root and the other, and no current reaches the way between them from its side.
    pub in_line: Vec<bool>,
}

/// Whether a section may be called so: what is in parentheses is a place on it.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "_-.[]".contains(c);
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(allowed)
}

/// A section's name and the place on it, where one is said.
pub(super) fn parse(text: &str) -> Option<(&str, Option<f64>)> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else {
        return Some((text, None));
    };
    let place: f64 = rest.strip_suffix(')')?.trim().parse().ok()?;
    (0.0..=1.0)
        .contains(&place)
        .then_some((name.trim_end(), Some(place)))
}

/// A place as results name it, `NAME` or `NAME(x)`, however it was written.
pub(super) fn label(text: &str) -> String {
    match parse(text) {
        Some((name, Some(place))) => format!("{name}({place})"),
        Some((name, None)) => name.to_owned(),
        None => text.to_owned(),
    }
}

/// The section that a place is on, and where it is; `otherwise` where that is not said.
pub(super) fn find(
    field: &str,
    text: &str,
    names: &Names<'_>,
    otherwise: f64,
) -> Result<(usize, f64), DynamicsError> {
    let refused = |allowed: String| DynamicsError::config(field, format!("{text:?}"), allowed);
    let Some((name, place)) = parse(text) else {
        let allowed = "NAME or NAME(x) with x from 0 to 1, such as \"soma\" or \"axon(0.9)\"";
        return Err(refused(allowed.into()));
    };
    match names.places.get(name) {
        Some(section) => Ok((*section, place.unwrap_or(otherwise))),
        None => Err(refused(match names.order.as_slice() {
            [] => "there is no section".to_owned(),
            [_] => format!("the only section is {}", names.listed_for(name)),
            _ => format!("the sections are {}", names.listed_for(name)),
        })),
    }
}

/// The names of sections, each with its place among them.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    order: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    /// Adds a name; none where it is there already.
    pub(super) fn add(&mut self, name: &'a str) -> Option<()> {
        let place = self.order.len();
        if self.places.contains_key(name) {
            return None;
        }
        self.places.insert(name, place);
        self.order.push(name);
        Some(())
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// For an error about an unknown name.
    pub(super) fn listed_for(&self, found: &str) -> String {
        match meant(found, self.order.iter().copied()) {
            Some(name) => format!("{}; did you mean `{name}`?", self.listed()),
            None => self.listed(),
        }
    }

    /// For an error.
    pub(super) fn listed(&self) -> String {
        let shown = self.order[..self.order.len().min(LISTED)].join(", ");
        match self.order.len().saturating_sub(LISTED) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

impl<'a> FromIterator<&'a str> for Names<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut all = Self::default();
        for name in names {
            all.add(name);
        }
        all
    }
}
