//! From branches to compartments.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};
use std::ops::Range;
use std::path::Path;

use super::geometry::{Geometry, MOST, Node};
use super::section::{Branch, Frustum};
use crate::DynamicsError;
use granule_io::words::Number;
use granule_io::words::short;

/// At which d_lambda is meant, Hz.
const FREQUENCY: f64 = 100.0;

/// What says how fine a region is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fineness {
    /// The section of the configuration that the region has settings from.
    pub(super) section: Option<usize>,
    /// A number that was given.
    pub(super) compartments: Option<usize>,
    /// The longest compartment, in length constants at 100 Hz.
    pub(super) d_lambda: f64,
    /// Whether it is that of the section, and not of the whole cell; and likewise of the next two.
    pub(super) own: bool,
    pub(super) own_resistivity: bool,
    pub(super) own_capacitance: bool,
    /// Ωcm
    pub(super) axial_resistivity: f64,
    /// µF/cm²
    pub(super) capacitance: f64,
}

impl Frustum {
    /// The part between two shares of its length.
    fn part(&self, from: f64, to: f64) -> Self {
        let [first, last] = self.diameters;
        let at = |share: f64| first + share * (last - first);
        Self {
            length: self.length * (to - from),
            diameters: [at(from), at(to)],
        }
    }

    /// Of its side, cm².
    fn area(&self) -> f64 {
        let [first, last] = self.diameters;
        if first == last {
            return PI * first * self.length * 1e-8;
        }
        let slant = self.length.hypot(0.5 * (first - last));
        FRAC_PI_2 * (first + last) * slant * 1e-8
    }

    /// Length over cross-section, 1/cm.
    fn way(&self) -> f64 {
        let [first, last] = self.diameters;
        self.length / (FRAC_PI_4 * first * last) * 1e4
    }
}

impl Branch {
    /// In length constants at 100 Hz, λ = ½√(d/(π f R_i C)).
    fn electrotonic_length(&self, fineness: &Fineness) -> f64 {
        let Fineness {
            axial_resistivity,
            capacitance,
            ..
        } = fineness;
        // µm by the square root of the diameter in µm: R_i in Ωcm, C in µF/cm².
        let scale = 0.5e5 / (PI * FREQUENCY * axial_resistivity * capacitance).sqrt();
        let parts = self.frusta.iter().map(|frustum| {
            let diameter = 0.5 * (frustum.diameters[0] + frustum.diameters[1]);
            frustum.length / (scale * diameter.sqrt())
        });
        parts.sum()
    }

    /// An odd number, so that one has the middle of the branch in its own; unless it is given.
    fn compartments(&self, fineness: &Fineness) -> f64 {
        match fineness.compartments {
            Some(given) => given as f64,
            None => {
                let length = self.electrotonic_length(fineness) / fineness.d_lambda;
                2.0 * ((length + 0.9) / 2.0).floor() + 1.0
            }
        }
    }

    /// Area and way of each of as many pieces of the same length.
    fn pieces(&self, count: usize) -> Vec<(f64, f64)> {
        let length = self.length();
        let mut pieces = Vec::with_capacity(count);
        let mut frusta = self.frusta.iter().peekable();
        let mut begin = 0.0;
        for piece in 0..count {
            let from = length * piece as f64 / count as f64;
            let to = length * (piece + 1) as f64 / count as f64;
            let (mut area, mut way) = (0.0, 0.0);
            while let Some(frustum) = frusta.peek() {
                let end = begin + frustum.length;
                let (low, high) = (from.max(begin), to.min(end));
                if high > low {
                    let share = |at: f64| ((at - begin) / frustum.length).clamp(0.0, 1.0);
                    let part = frustum.part(share(low), share(high));
                    area += part.area();
                    way += part.way();
                }
                if end > to {
                    break;
                }
                begin = end;
                frusta.next();
            }
            pieces.push((area, way));
        }
        pieces
    }
}

/// That one cell has too many compartments, by the setting that is furthest from what is usual for the branch with the most.
fn too_fine(
    branches: &[Branch],
    fineness: &dyn Fn(usize) -> Fineness,
    counts: &[f64],
    file: Option<&Path>,
) -> DynamicsError {
    let all = branches.iter().zip(counts);
    let Some((branch, count)) = all.max_by(|a, b| a.1.total_cmp(b.1)) else {
        return DynamicsError::config("unit.section", "[]", "one or more");
    };
    let of = fineness(branch.region);
    let of_section = |key: &str| match of.section {
        Some(index) => format!("unit.section[{index}].{key}"),
        None => format!("unit.{key}"),
    };
    let total = short(counts.iter().sum());
    let most = format!(
        "at most {MOST} compartments of all cells, but {} has {} and a cell {total}",
        branch.name,
        short(*count)
    );
    if let Some(given) = of.compartments {
        let field = of_section("compartments");
        return DynamicsError::config(field, given, format!("fewer: {most}"));
    }
    let length = branch.length();
    let diameter = branch.frusta.iter().map(|frustum| {
        let [first, last] = frustum.diameters;
        0.5 * (first + last) * frustum.length / length
    });
    let diameter: f64 = diameter.sum();
    // By how much more compartments each makes than 1 mm of 1 µm with 100 Ωcm and 1 µF/cm², divided at 0.1.
    let [resistivity, capacitance] = [of.axial_resistivity, of.capacitance];
    let place = |own: bool, in_section: &str, key: &str| {
        if own {
            of_section(&format!("{in_section}{key}"))
        } else {
            format!("unit.{key}")
        }
    };
    let causes = [
        (
            0.1 / of.d_lambda,
            place(of.own, "", "d_lambda"),
            of.d_lambda,
            "larger",
        ),
        (length / 1e3, of_section("length"), length, "shorter"),
        (
            diameter.sqrt().recip(),
            of_section("diameter"),
            diameter,
            "thicker",
        ),
        (
            (resistivity / 100.0).sqrt(),
            place(of.own_resistivity, "parameters.", "axial_resistivity"),
            resistivity,
            "lower",
        ),
        (
            capacitance.sqrt(),
            place(of.own_capacitance, "parameters.", "capacitance"),
            capacitance,
            "lower",
        ),
    ];
    let geometry = 1..3;
    let [(finest, ..), ..] = &causes;
    // What is within a hundred of the usual is no mistake, but wants a larger d_lambda.
    let usual = finest.max(100.0);
    let absurd = causes
        .iter()
        .enumerate()
        .filter(|(_, (factor, ..))| *factor > usual);
    let cause = absurd.max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let (index, (_, field, found, less)) = cause.unwrap_or((0, &causes[0]));
    match file {
        Some(file) if geometry.contains(&index) => {
            let found = format!(
                "{}: {} of {} µm",
                file.display(),
                branch.name,
                short(length)
            );
            let allowed = format!("points of a shorter or thicker one, in µm: {most}");
            DynamicsError::config("unit.morphology", found, allowed)
        }
        _ => DynamicsError::config(field.as_str(), Number(*found), format!("{less}: {most}")),
    }
}

/// Where branches meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Joint {
    /// The beginning of the root.
    Root,
    /// The end of a branch.
    End(usize),
    /// Inside a branch, the middle of a compartment.
    Middle(usize),
}

/// The compartments of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Discretised {
    pub(super) geometry: Geometry,
    /// The compartments of each branch.
    pub(super) ranges: Vec<Range<usize>>,
    /// The region of each compartment.
    pub(super) regions: Vec<usize>,
}

impl Discretised {
    /// The compartment in which a place on a branch, from 0 to 1, is.
    pub(super) fn compartment(&self, branch: usize, place: f64) -> usize {
        let range = &self.ranges[branch];
        let own = (place * range.len() as f64) as usize;
        range.start + own.min(range.len() - 1)
    }

    /// Divides branches, of whose region `fineness` says how finely, for `cells` such cells; the file that they are from, if
    /// it is one.
    pub(super) fn new(
        branches: &[Branch],
        fineness: &dyn Fn(usize) -> Fineness,
        (cells, file): (usize, Option<&Path>),
    ) -> Result<Self, DynamicsError> {
        let counts: Vec<f64> = branches
            .iter()
            .map(|branch| branch.compartments(&fineness(branch.region)))
            .collect();
        let total = counts.iter().sum::<f64>();
        // Also where it is not a number.
        if !(0.0..=MOST as f64).contains(&total) {
            return Err(too_fine(branches, fineness, &counts, file));
        }
        if !(0.0..=MOST as f64).contains(&(total * cells as f64)) {
            let allowed = format!(
                "fewer cells, or fewer compartments by a larger d_lambda: at most {MOST} compartments of all cells"
            );
            let found = format!("{cells} of {} compartments", short(total));
            return Err(DynamicsError::config("unit.cells", found, allowed));
        }
        let mut ranges = Vec::with_capacity(branches.len());
        let (mut areas, mut regions) = (Vec::new(), Vec::new());
        // From the beginning of each compartment to its middle, and from there to its end.
        let mut halves = Vec::new();
        for (branch, count) in branches.iter().zip(counts) {
            let first = areas.len();
            for halves_of in branch.pieces(2 * count as usize).chunks_exact(2) {
                let [before, after] = [halves_of[0], halves_of[1]];
                areas.push(before.0 + after.0);
                halves.push((before.1, after.1));
                regions.push(branch.region);
            }
            ranges.push(first..areas.len());
        }
        let mut nodes = vec![Node::ROOT; areas.len()];
        for range in &ranges {
            for index in range.clone().skip(1) {
                nodes[index] = Node {
                    parent: Some(index - 1),
                    own: halves[index].0,
                    beyond: halves[index - 1].1,
                };
            }
        }
        let mut all = Self {
            geometry: Geometry { areas, nodes },
            ranges,
            regions,
        };
        all.join(branches, &halves);
        Ok(all)
    }

    /// Joins every branch to its parent: in a point of its own where several meet at an end.
    fn join(&mut self, branches: &[Branch], halves: &[(f64, f64)]) {
        let mut joints: Vec<Option<Joint>> = Vec::with_capacity(branches.len());
        let mut meeting: BTreeMap<Joint, usize> = BTreeMap::new();
        for branch in branches {
            let joint = branch.parent.map(|(parent, place)| match place {
                0.0 => joints[parent].unwrap_or(Joint::Root),
                1.0 => Joint::End(parent),
                inside => Joint::Middle(self.compartment(parent, inside)),
            });
            joints.push(joint);
            *meeting.entry(joint.unwrap_or(Joint::Root)).or_default() +=
                usize::from(joint.is_some());
        }
        // The compartment on the other side of a joint, and the way to its middle.
        let beyond = |joint: Joint| match joint {
            Joint::Root => (self.ranges[0].start, halves[self.ranges[0].start].0),
            Joint::End(branch) => {
                let last = self.ranges[branch].end - 1;
                (last, halves[last].1)
            }
            Joint::Middle(compartment) => (compartment, 0.0),
        };
        let mut points: BTreeMap<Joint, usize> = BTreeMap::new();
        let mut nodes = self.geometry.nodes.clone();
        for (joint, count) in meeting {
            if count > 1 && !matches!(joint, Joint::Middle(_)) {
                let (parent, way) = beyond(joint);
                points.insert(joint, nodes.len());
                nodes.push(Node {
                    parent: Some(parent),
                    own: 0.0,
                    beyond: way,
                });
            }
        }
        for (range, joint) in self.ranges.iter().zip(&joints) {
            let Some(joint) = joint else { continue };
            let (parent, way) = match points.get(joint) {
                Some(point) => (*point, 0.0),
                None => beyond(*joint),
            };
            nodes[range.start] = Node {
                parent: Some(parent),
                own: halves[range.start].0,
                beyond: way,
            };
        }
        self.geometry.nodes = nodes;
    }
}
