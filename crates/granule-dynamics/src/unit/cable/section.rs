//! Unbranched pieces of a cell, as a configuration has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::site::{self, Names};
use crate::setting::Range;
use crate::{DynamicsError, Values};

/// The most sections of a cell.
const MOST: usize = 100_000;

/// Nothing is further out, µm.
pub(super) const FARTHEST: f64 = 1e7;

/// A section: an unbranched piece of a cell, as long and thick as is said here. With a `morphology` it is a group of the points
/// of the file, `soma`, `axon`, `basal`, `apical` or `type5` and the like, whose settings differ from those of the cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SectionConfig {
    /// Its name, by which sites and other sections know it.
    pub name: String,
    /// The earlier section that it grows from, at its end, or at `NAME(x)` with x from 0 to 1; the first section has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its length, µm.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Length))]
    pub length: Option<f64>,
    /// Its diameter, µm; of a section that tapers, that at its beginning and that at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Diameter))]
    pub diameter: Option<Values>,
    /// How many compartments it is divided into. Default: by `d_lambda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub compartments: Option<usize>,
    /// The longest compartment, in length constants at 100 Hz. Default: that of the cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = Range::Positive))]
    pub d_lambda: Option<f64>,
    /// Parameters that differ from those of the cell, by name: `g_NAME` of a channel in mS/cm², `g_l`, `e_l`, `capacitance`,
    /// `axial_resistivity` and the others of the channels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
}

/// A truncated cone, µm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frustum {
    pub(super) length: f64,
    /// At its beginning and at its end.
    pub(super) diameters: [f64; 2],
}

/// An unbranched piece of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) name: String,
    /// The region whose settings it has.
    pub(super) region: usize,
    /// The earlier branch that it grows from, and where on it; the first one has none.
    pub(super) parent: Option<(usize, f64)>,
    /// One at least, and not all of no length.
    pub(super) frusta: Vec<Frustum>,
}

impl Branch {
    /// µm
    pub(super) fn length(&self) -> f64 {
        self.frusta.iter().map(|frustum| frustum.length).sum()
    }
}

/// Checks how many sections there are.
pub(super) fn check_count(sections: &[SectionConfig]) -> Result<(), DynamicsError> {
    match sections.len() {
        count if count > MOST => Err(DynamicsError::config(
            "unit.section",
            format!("[{count} sections]"),
            format!("at most {MOST}"),
        )),
        _ => Ok(()),
    }
}

/// The branches of sections with their geometry, each a region of its own.
pub(super) fn branches(sections: &[SectionConfig]) -> Result<Vec<Branch>, DynamicsError> {
    let mut branches = Vec::with_capacity(sections.len());
    let mut names = Names::default();
    for (index, section) in sections.iter().enumerate() {
        let at = |field: &str| format!("unit.section[{index}].{field}");
        let name = || format!("{:?}", section.name);
        if !site::is_name(&section.name) {
            let allowed = "letters, digits, _, -, . and [], at most 64";
            return Err(DynamicsError::config(at("name"), name(), allowed));
        }
        let parent = match (&section.parent, index) {
            (None, 0) => None,
            (Some(parent), 0) => {
                let allowed = "none: the first section is the root";
                let found = format!("{parent:?}");
                return Err(DynamicsError::config(at("parent"), found, allowed));
            }
            (None, _) => {
                let allowed = format!(
                    "an earlier section, for a cell has one root: {}",
                    names.listed()
                );
                return Err(DynamicsError::config(at("parent"), "missing", allowed));
            }
            (Some(parent), _) => {
                let found = site::find(&at("parent"), parent, &names, 1.0);
                Some(found.map_err(|error| earlier(error, parent, sections))?)
            }
        };
        if names.add(&section.name).is_none() {
            let allowed = "a name that no other section has";
            return Err(DynamicsError::config(at("name"), name(), allowed));
        }
        let missing = |field: &str| DynamicsError::config(at(field), "missing", "a number, µm");
        let length = section.length.ok_or_else(|| missing("length"))?;
        Range::Length.check(at("length"), length)?;
        let diameter = section
            .diameter
            .as_ref()
            .ok_or_else(|| missing("diameter"))?;
        let diameters = match *diameter.as_slice() {
            [one] => [one; 2],
            [first, last] => [first, last],
            ref many => {
                let allowed = "one diameter, or that at the beginning and that at the end";
                let found = format!("[{} values]", many.len());
                return Err(DynamicsError::config(at("diameter"), found, allowed));
            }
        };
        for diameter in diameters {
            Range::Diameter.check(at("diameter"), diameter)?;
        }
        branches.push(Branch {
            name: section.name.clone(),
            region: index,
            parent,
            frusta: vec![Frustum { length, diameters }],
        });
    }
    Ok(branches)
}

/// Says of a parent that comes later that it is to come earlier.
fn earlier(error: DynamicsError, parent: &str, sections: &[SectionConfig]) -> DynamicsError {
    let later = |name: &str| sections.iter().any(|section| section.name == name);
    match (error, site::parse(parent)) {
        (DynamicsError::Config(mut error), Some((name, _))) if later(name) => {
            error.allowed = format!("an earlier section; before it {}", error.allowed);
            error.into()
        }
        (error, _) => error,
    }
}
