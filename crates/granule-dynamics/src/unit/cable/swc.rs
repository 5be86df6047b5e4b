//! Traced cells as SWC files hold them: one point a line with its number, type, place, radius and parent.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use granule_io::{Bound, ByteSize, read_text};
use serde::{Deserialize, Serialize};

use super::section::{Branch, FARTHEST, Frustum};
use crate::DynamicsError;
use crate::setting::Range;

/// The most points of a cell.
const MOST: usize = 100_000;

const SOMA: u8 = 1;

/// How far from the radius of a sphere its three points may be, of the radius.
const SPHERICAL: f64 = 0.05;

/// A traced cell: an SWC file, from the folder of the configuration, or its points once it is read.
///
/// A file has a point on each line: number, type, x, y, z, radius in µm, and the number of the point that it is joined to, −1
/// for the root; `#` begins a comment. The types 1 to 4 are the groups `soma`, `axon`, `basal` and `apical`; others `type5` and
/// so on. An unbranched run of points of a type is a section, called by its group, or `basal[0]`, `basal[1]`, … in the order
/// of the file where a group has several.
///
/// A soma of one point is a cylinder as long as it is thick, which has the area of the sphere; so is one of three points that
/// are written for a sphere: two that have the first as their parent and no others on them, as thick as it and its radius
/// away from it, to 5 %. Branches leave its middle and begin at their own first point. Any other soma is a run of cones like
/// the others; outlines are not known.
///
/// Of several points that grow from the root, the first of its type goes on with its section, and the others grow from the
/// beginning of that. A root that is no soma and has no other point of its type on it counts as of the type of the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be the name of a file, or { points = [[…], …] }"
)]
pub enum Morphology {
    /// A file that is not read yet.
    File(PathBuf),
    /// What was read.
    Read(MorphologyPoints),
}

/// The points of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("form" = "{ file = \"FILE\", points = [[…], …] }")))]
#[serde(deny_unknown_fields)]
pub struct MorphologyPoints {
    /// The file that they are from.
    pub file: PathBuf,
    /// Number, type, x, y, z, radius, parent of each.
    pub points: Vec<[f64; 7]>,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Morphology {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Morphology".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let read = generator.subschema_for::<MorphologyPoints>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, read] })
    }
}

/// A point that was checked.
#[derive(Clone, Copy, Debug)]
struct Point {
    kind: u8,
    at: [f64; 3],
    radius: f64,
    /// Its place among the points.
    parent: Option<usize>,
    /// Where it stands in the file.
    line: usize,
}

/// A traced cell that makes sense.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    file: PathBuf,
    points: Vec<Point>,
    children: Vec<Vec<usize>>,
    root: usize,
}

/// What is wrong with a file in a line.
fn refused(file: &Path, line: usize, found: String, allowed: impl Into<String>) -> DynamicsError {
    let found = format!("{}, line {line}: {found}", file.display());
    DynamicsError::config("unit.morphology", found, allowed)
}

impl Morphology {
    /// Where it was read from, or is to be.
    pub(super) fn file(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::Read(points) => &points.file,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::File`] where it cannot be read, [`DynamicsError::Memory`] where it does not fit, and
    /// [`DynamicsError::Config`] with the file and the line of what is wrong in it.
    pub fn read(file: &Path) -> Result<Self, DynamicsError> {
        let bound = Bound {
            what: "a morphology",
            limit: ByteSize(64 << 20),
        };
        let text = read_text(file, bound)
            .map_err(|error| DynamicsError::file("unit.morphology", error))?;
        Self::parse(file, &text)
    }

    /// Takes the points of an SWC file from its text.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] with the file and the line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, DynamicsError> {
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let (mut points, mut places) = (Vec::new(), Vec::new());
        for (index, line) in lines {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if points.len() == MOST {
                let found = format!("more than {MOST} points");
                let allowed = format!("at most {MOST}");
                return Err(refused(file, index + 1, found, allowed));
            }
            points.push(numbers(file, index + 1, line)?);
            places.push(index + 1);
        }
        Traced::new(file, &points, &|index| places[index])?;
        Ok(Self::Read(MorphologyPoints {
            file: file.to_path_buf(),
            points,
        }))
    }

    /// The cell, whose file is read where it is not read yet.
    pub(super) fn traced(&self) -> Result<Traced, DynamicsError> {
        match self {
            Self::Read(read) => Traced::new(&read.file, &read.points, &|index| index + 1),
            Self::File(file) => Self::read(file)?.traced(),
        }
    }
}

/// The seven numbers of a line.
fn numbers(file: &Path, line: usize, text: &str) -> Result<[f64; 7], DynamicsError> {
    const WHAT: [&str; 7] = ["number", "type", "x", "y", "z", "radius", "parent"];
    let allowed =
        "seven numbers: number, type, x, y, z, radius and parent; what else there is, behind a #";
    let mut numbers = [0.0; 7];
    let mut words = text.split_whitespace();
    for (number, what) in numbers.iter_mut().zip(WHAT) {
        let Some(word) = words.next() else {
            let count = text.split_whitespace().count();
            return Err(refused(file, line, format!("{count} of them"), allowed));
        };
        *number = word.parse().map_err(|_| {
            let shown: String = word.chars().take(40).collect();
            refused(file, line, format!("{what} {shown:?}"), "a number")
        })?;
    }
    if words.next().is_some() {
        let count = text.split_whitespace().count();
        return Err(refused(file, line, format!("{count} of them"), allowed));
    }
    Ok(numbers)
}

impl Traced {
    fn new(
        file: &Path,
        rows: &[[f64; 7]],
        line: &dyn Fn(usize) -> usize,
    ) -> Result<Self, DynamicsError> {
        if rows.is_empty() || rows.len() > MOST {
            let found = format!("{} with {} points", file.display(), rows.len());
            let allowed = format!("1 to {MOST} points");
            return Err(DynamicsError::config("unit.morphology", found, allowed));
        }
        let at =
            |index: usize, found: String, allowed: &str| refused(file, line(index), found, allowed);
        let mut places = HashMap::with_capacity(rows.len());
        for (index, [number, ..]) in rows.iter().enumerate() {
            if !(0.0..=1e15).contains(number) || number.fract() != 0.0 {
                let allowed = "a whole number, at least 0";
                return Err(at(index, format!("number {number}"), allowed));
            }
            if let Some(first) = places.insert(*number as u64, index) {
                let found = format!("number {number} again");
                let allowed = format!("another: line {} has it", line(first));
                return Err(at(index, found, &allowed));
            }
        }
        let mut points: Vec<Point> = Vec::with_capacity(rows.len());
        let mut root = None;
        for (index, [_, kind, x, y, z, radius, parent]) in rows.iter().enumerate() {
            if !(0.0..=255.0).contains(kind) || kind.fract() != 0.0 {
                let allowed =
                    "a whole number up to 255: 1 soma, 2 axon, 3 basal and 4 apical dendrite";
                return Err(at(index, format!("type {kind}"), allowed));
            }
            for (what, value) in [("x", x), ("y", y), ("z", z)] {
                if !(-FARTHEST..=FARTHEST).contains(value) {
                    let allowed = "a finite number, µm, not above 1e7";
                    return Err(at(index, format!("{what} {value}"), allowed));
                }
            }
            if !Range::Diameter.contains(2.0 * radius) {
                let allowed = "from 0.001 to 1e4 µm";
                return Err(at(index, format!("radius {radius}"), allowed));
            }
            let parent = if *parent == -1.0 {
                if let Some(first) = root.replace(index) {
                    let allowed = format!(
                        "one root, and that in line {} has no parent either",
                        line(first)
                    );
                    return Err(at(index, "parent -1 of a second root".to_owned(), &allowed));
                }
                None
            } else {
                let known = (parent.fract() == 0.0 && *parent >= 0.0)
                    .then(|| places.get(&(*parent as u64)).copied())
                    .flatten();
                let Some(known) = known else {
                    let allowed = "the number of a point of the file, or -1 of the root";
                    return Err(at(index, format!("parent {parent}"), allowed));
                };
                Some(known)
            };
            points.push(Point {
                kind: *kind as u8,
                at: [*x, *y, *z],
                radius: *radius,
                parent,
                line: line(index),
            });
        }
        let mut children = vec![Vec::new(); points.len()];
        for (index, point) in points.iter().enumerate() {
            if let Some(parent) = point.parent {
                children[parent].push(index);
            }
        }
        let mut reached = vec![false; points.len()];
        let mut waiting: Vec<usize> = root.into_iter().collect();
        while let Some(point) = waiting.pop() {
            reached[point] = true;
            waiting.extend(&children[point]);
        }
        let Some(root) = root.filter(|_| reached.iter().all(|reached| *reached)) else {
            // Whoever is not reached from the root has ancestors that go round.
            let mut point = reached.iter().position(|reached| !reached).unwrap_or(0);
            let mut seen = vec![false; points.len()];
            while !std::mem::replace(&mut seen[point], true) {
                point = points[point].parent.unwrap_or(point);
            }
            let found = format!("point {} as its own ancestor", rows[point][0]);
            return Err(at(point, found, "a tree: parents lead to the root"));
        };
        let kind = points[root].kind;
        if kind != SOMA
            && let Some(first) = children[root].first()
            && !children[root].iter().any(|at| points[*at].kind == kind)
        {
            points[root].kind = points[*first].kind;
        }
        Ok(Self {
            file: file.to_path_buf(),
            points,
            children,
            root,
        })
    }

    /// The groups that there are, in the order of the file.
    pub(super) fn groups(&self) -> Vec<String> {
        let mut kinds = Vec::new();
        for point in &self.points {
            if !kinds.contains(&point.kind) {
                kinds.push(point.kind);
            }
        }
        kinds.into_iter().map(group).collect()
    }

    /// Whether the root is a soma that is written as three points for a sphere.
    fn sphere_of_three(&self) -> bool {
        let root = self.points[self.root];
        let is_radius = |value: f64| (value - root.radius).abs() <= SPHERICAL * root.radius;
        let somata = self.points.iter().filter(|point| point.kind == SOMA);
        let children = &self.children[self.root];
        let own = children.iter().filter(|at| {
            let (point, leaf) = (self.points[**at], self.children[**at].is_empty());
            let away = distance(root.at, point.at);
            point.kind == SOMA && leaf && is_radius(point.radius) && is_radius(away)
        });
        root.kind == SOMA && somata.count() == 3 && own.count() == 2
    }

    /// Whether a point on the root is of its type.
    fn goes_on(&self, at: usize) -> bool {
        self.points[at].kind == self.points[self.root].kind
    }

    /// Its unbranched runs, each after the one that it grows from.
    pub(super) fn branches(&self) -> Result<Vec<Branch>, DynamicsError> {
        let sphere = self.sphere_of_three();
        let points = &self.points;
        let mut branches: Vec<Branch> = Vec::new();
        let mut of_kind: BTreeMap<u8, usize> = BTreeMap::new();
        // The first point of a run, and the run and place that it grows from.
        let mut waiting = vec![(self.root, None)];
        while let Some((first, parent)) = waiting.pop() {
            let kind = points[first].kind;
            let mut run = vec![first];
            let mut last = first;
            let next = |point: usize| match self.children[point][..] {
                _ if point == self.root => {
                    let mut all = self.children[point].iter().copied();
                    all.find(|at| !sphere && self.goes_on(*at))
                }
                [only] if points[only].kind == kind => Some(only),
                _ => None,
            };
            while let Some(only) = next(last) {
                run.push(only);
                last = only;
            }
            // The root of a soma without another point, or with those that are written for a sphere.
            let alone = parent.is_none() && run.len() == 1 && kind == SOMA;
            let frusta = if alone {
                let diameter = 2.0 * points[first].radius;
                vec![Frustum {
                    length: diameter,
                    diameters: [diameter; 2],
                }]
            } else {
                self.cones(&run, kind)?
            };
            let index = branches.len();
            let count = of_kind.entry(kind).or_default();
            branches.push(Branch {
                name: format!("{}[{count}]", group(kind)),
                region: kind.into(),
                parent,
                frusta,
            });
            *count += 1;
            let end = Some((index, if alone { 0.5 } else { 1.0 }));
            if parent.is_none() && !alone {
                let others = self.children[first].iter().rev();
                let others = others.filter(|child| run.get(1) != Some(child));
                waiting.extend(others.map(|child| (*child, Some((index, 0.0)))));
            }
            for child in self.children[last].iter().rev() {
                if !(sphere && alone && points[*child].kind == SOMA) {
                    waiting.push((*child, end));
                }
            }
        }
        let groups = self.groups();
        for branch in &mut branches {
            let kind = branch.region as u8;
            let name = group(kind);
            branch.region = groups.iter().position(|own| *own == name).unwrap_or(0);
            if of_kind.get(&kind) == Some(&1) {
                branch.name = name;
            }
        }
        Ok(branches)
    }

    /// The cones of a run, which begin at the point that it grows from, unless that is of the soma and the run is not.
    fn cones(&self, run: &[usize], kind: u8) -> Result<Vec<Frustum>, DynamicsError> {
        let points = &self.points;
        let first = points[run[0]];
        let mut rings: Vec<([f64; 3], f64)> = Vec::with_capacity(run.len() + 1);
        if let Some(from) = first.parent.map(|from| points[from]) {
            let leaves_soma = from.kind == SOMA && kind != SOMA;
            if !leaves_soma || run.len() == 1 {
                let radius = if from.kind == kind {
                    from.radius
                } else {
                    first.radius
                };
                rings.push((from.at, radius));
            }
        }
        rings.extend(run.iter().map(|at| (points[*at].at, points[*at].radius)));
        let cones = rings.windows(2).map(|pair| {
            let [(from, before), (to, after)] = [pair[0], pair[1]];
            Frustum {
                length: distance(from, to),
                diameters: [2.0 * before, 2.0 * after],
            }
        });
        let cones: Vec<Frustum> = cones.filter(|cone| cone.length > 0.0).collect();
        if cones.is_empty() {
            let line = points[run[run.len() - 1]].line;
            let found = "a branch without a length".to_owned();
            let allowed = "points at different places";
            return Err(refused(&self.file, line, found, allowed));
        }
        Ok(cones)
    }
}

/// Between two places, µm.
fn distance(from: [f64; 3], to: [f64; 3]) -> f64 {
    let squares = from.iter().zip(to).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// What points of a type are called.
fn group(kind: u8) -> String {
    match kind {
        SOMA => "soma".into(),
        2 => "axon".into(),
        3 => "basal".into(),
        4 => "apical".into(),
        other => format!("type{other}"),
    }
}
