//! Where cells are.

use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::setting::Range;

/// Where the cells of a population are, in any one unit of length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Positions {
    /// On a line at equal distances, the first at 0, the last at `length`.
    Line {
        /// The length.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        length: f64,
    },
    /// On a ring at equal distances, which are taken along it.
    Ring {
        /// The length of the ring.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        length: f64,
    },
    /// Row after row in a square of as many rows as columns, the last of which may be short.
    Grid {
        /// The length of a side.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        side: f64,
    },
    /// Anywhere: of each cell its coordinates, one to three.
    At(Vec<Vec<f64>>),
}

impl Positions {
    pub(super) fn check(&self, field: &str, cells: usize) -> Result<(), DynamicsError> {
        match self {
            Self::Line { length } => Range::Positive.check(format!("{field}.line.length"), *length),
            Self::Ring { length } => Range::Positive.check(format!("{field}.ring.length"), *length),
            Self::Grid { side } => Range::Positive.check(format!("{field}.grid.side"), *side),
            Self::At(all) => {
                let first = all.first().map_or(0, Vec::len);
                let alike = |at: &Vec<f64>| at.len() == first && at.iter().all(|x| x.is_finite());
                if all.len() == cells && (1..=3).contains(&first) && all.iter().all(alike) {
                    return Ok(());
                }
                let found = format!("[{} rows]", all.len());
                let allowed = format!("{cells} rows of one to three finite numbers");
                Err(DynamicsError::config(format!("{field}.at"), found, allowed))
            }
        }
    }

    /// The coordinates of every cell.
    fn coordinates(&self, cells: usize) -> Vec<[f64; 3]> {
        let of = |at: usize| match self {
            Self::Line { length } => [length * at as f64 / (cells.max(2) - 1) as f64, 0.0, 0.0],
            Self::Ring { length } => [length * at as f64 / cells as f64, 0.0, 0.0],
            Self::Grid { side } => {
                let columns = (cells as f64).sqrt().ceil() as usize;
                let apart = side / (columns.max(2) - 1) as f64;
                [
                    (at % columns) as f64 * apart,
                    (at / columns) as f64 * apart,
                    0.0,
                ]
            }
            Self::At(all) => {
                let own = all.get(at).map_or(&[][..], Vec::as_slice);
                std::array::from_fn(|axis| own.get(axis).copied().unwrap_or_default())
            }
        };
        (0..cells).map(of).collect()
    }
}

/// How far the cells of two populations are from each other.
pub(super) struct Space {
    from: Vec<[f64; 3]>,
    to: Vec<[f64; 3]>,
    /// The length of a ring on which both are.
    ring: Option<f64>,
}

impl Space {
    /// Of two populations with their numbers of cells; none where a position is missing, or of a ring and what is not on
    /// one of its length.
    pub(super) fn between(
        (from, pre): (Option<&Positions>, usize),
        (to, post): (Option<&Positions>, usize),
    ) -> Option<Self> {
        let (Some(from), Some(to)) = (from, to) else {
            return None;
        };
        let ring = match (from, to) {
            (Positions::Ring { length }, Positions::Ring { length: other }) if length == other => {
                Some(*length)
            }
            (Positions::Ring { .. }, _) | (_, Positions::Ring { .. }) => return None,
            _ => None,
        };
        Some(Self {
            from: from.coordinates(pre),
            to: to.coordinates(post),
            ring,
        })
    }

    pub(super) fn distance(&self, pre: usize, post: usize) -> f64 {
        let (a, b) = (self.from[pre], self.to[post]);
        match self.ring {
            Some(length) => {
                let apart = (a[0] - b[0]).abs();
                apart.min(length - apart)
            }
            None => {
                let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
                squares.sum::<f64>().sqrt()
            }
        }
    }
}
