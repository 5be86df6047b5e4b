//! Fixed points and cycles over a parameter.

use std::ops::ControlFlow;

use granule_dynamics::linalg::{Complex, eigenvalues};
use granule_dynamics::{DynamicsError, HostField, Place};
use serde::{Deserialize, Serialize};

use super::findings::{Array, Findings, Table};
use super::fixed_points::FixedPoint;
use super::points;
use super::registry::Request;
use super::vector_field::VectorField;
use crate::config::ExperimentConfig;

/// Vector fields that a number tells apart.
pub trait Family {
    /// The field at this value of the parameter.
    ///
    /// # Errors
    ///
    /// Those of making it.
    fn at(&self, parameter: f64) -> Result<Box<dyn HostField + '_>, DynamicsError>;
}

/// How a branch is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// The lowest value of the parameter.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// The longest step along the branch, as a share of the range and of the variables' `scale`.
    pub step: f64,
    /// A size of each variable; empty: that where the branch begins, or 0.1 where it is less.
    pub scale: Vec<f64>,
    /// The most points.
    pub points: usize,
}

/// What happens at a point of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The branch turns back: a saddle and a node meet.
    Fold,
    /// A pair of eigenvalues crosses the imaginary axis: cycles begin or end.
    Hopf,
    /// A real eigenvalue crosses 0 and the branch goes on: another one crosses.
    BranchPoint,
}

impl Special {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fold => "fold",
            Self::Hopf => "Hopf",
            Self::BranchPoint => "branch point",
        }
    }
}

/// A fixed point at a value of the parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchPoint {
    /// The parameter.
    pub parameter: f64,
    /// The state.
    pub state: Vec<f64>,
    /// Of the Jacobian there, by falling real part.
    pub eigenvalues: Vec<Complex>,
    /// What happens there.
    pub special: Option<Special>,
}

impl BranchPoint {
    /// The number of eigenvalues whose real part is above 0.
    pub fn unstable(&self) -> usize {
        self.eigenvalues.iter().filter(|z| z.re > 0.0).count()
    }

    /// The rate of cycles that begin at a Hopf point.
    fn rotation(&self) -> Option<f64> {
        let pairs = self.eigenvalues.iter().filter(|z| z.im > 0.0);
        let nearest = pairs.min_by(|a, b| a.re.abs().total_cmp(&b.re.abs()));
        nearest.map(|z| z.im)
    }
}

/// Fixed points that follow from one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// From its beginning on.
    pub points: Vec<BranchPoint>,
    /// Whether it went on where it was left: the most points were reached, or no next one was found.
    pub cut: bool,
}

/// What Newton's method may take.
const ITERATIONS: usize = 10;
/// A step is halved down to this share of the longest.
const SHORTEST: f64 = 1e-5;
/// The tangent may turn by so much in a step: the cosine.
const TURN: f64 = 0.97;

/// A point in scaled coordinates: the state, and the parameter last.
type Point = Vec<f64>;

struct Follower<'a> {
    family: &'a dyn Family,
    /// Of the coordinates.
    scale: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn along(from: &[f64], direction: &[f64], length: f64) -> Point {
    let pairs = from.iter().zip(direction);
    pairs.map(|(x, d)| x + length * d).collect()
}

/// The solution of a dense system with the rows `a`, by elimination with the largest pivot of a row's own size; `None` where
/// it is singular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for (row, b) in a.iter_mut().zip(&mut b) {
        let size = row.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        if !(size.is_finite() && size > 0.0) {
            return None;
        }
        row.iter_mut().for_each(|x| *x /= size);
        *b /= size;
    }
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs()))?;
        a.swap(k, pivot);
        b.swap(k, pivot);
        if a[k][k].abs() < 1e-14 {
            return None;
        }
        for i in k + 1..n {
            let factor = a[i][k] / a[k][k];
            if factor == 0.0 {
                continue;
            }
            let (above, below) = a.split_at_mut(i);
            let pairs = below[0][k..].iter_mut().zip(&above[k][k..]);
            pairs.for_each(|(x, y)| *x -= factor * y);
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest = dot(&a[k][k + 1..], &b[k + 1..]);
        b[k] = (b[k] - rest) / a[k][k];
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}

impl Follower<'_> {
    fn parameter(&self, at: &[f64]) -> f64 {
        at[at.len() - 1] * self.scale[at.len() - 1]
    }

    fn state(&self, at: &[f64]) -> Vec<f64> {
        let own = at[..at.len() - 1].iter().zip(&self.scale);
        own.map(|(x, scale)| x * scale).collect()
    }

    /// f, and its derivatives by the scaled coordinates, a row for each component of f.
    fn linear(&self, at: &[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>), DynamicsError> {
        let n = at.len() - 1;
        let (x, p) = (self.state(at), self.parameter(at));
        let field = self.family.at(p)?;
        let f = field.velocity(&x)?;
        let jacobian = field.jacobian(&x)?;
        let h = f64::EPSILON.cbrt() * self.scale[n];
        // At the end of what the parameter may be, from one side.
        let beside = |p: f64| match self.family.at(p) {
            Err(DynamicsError::Config(_)) => Ok(None),
            field => field?.velocity(&x).map(Some),
        };
        let (above, below) = (beside(p + h)?, beside(p - h)?);
        let apart = match (&above, &below) {
            (Some(_), Some(_)) => 2.0 * h,
            _ => h,
        };
        let (above, below) = (
            above.unwrap_or_else(|| f.clone()),
            below.unwrap_or_else(|| f.clone()),
        );
        let rows = (0..n).map(|i| {
            let own = jacobian[i * n..(i + 1) * n].iter().zip(&self.scale);
            let mut row: Vec<f64> = own.map(|(j, scale)| j * scale).collect();
            row.push((above[i] - below[i]) / apart * self.scale[n]);
            row
        });
        Ok((f, rows.collect()))
    }

    /// The direction of the branch that has a part of `before` in it.
    fn tangent(&self, at: &[f64], before: &[f64]) -> Result<Option<Point>, DynamicsError> {
        let (_, mut rows) = self.linear(at)?;
        rows.push(before.to_vec());
        let mut right = vec![0.0; at.len()];
        right[at.len() - 1] = 1.0;
        Ok(solve(rows, right).map(|t| {
            let length = dot(&t, &t).sqrt();
            t.iter().map(|t| t / length).collect()
        }))
    }

    /// The point of the branch in the plane through `guess` across `normal`, and the iterations that it took.
    fn correct(
        &self,
        guess: Point,
        normal: &[f64],
    ) -> Result<Option<(Point, usize)>, DynamicsError> {
        let mut at = guess.clone();
        for iteration in 1..=ITERATIONS {
            let (f, mut rows) = self.linear(&at)?;
            if f.iter().any(|f| !f.is_finite()) {
                return Ok(None);
            }
            let mut right: Vec<f64> = f.iter().map(|f| -f).collect();
            right.push(dot(normal, &guess) - dot(normal, &at));
            rows.push(normal.to_vec());
            let Some(step) = solve(rows, right) else {
                return Ok(None);
            };
            at = along(&at, &step, 1.0);
            let size = step.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            if size < 1e-9 {
                return Ok(Some((at, iteration)));
            }
            if size > 10.0 {
                break;
            }
        }
        Ok(None)
    }

    fn point(&self, at: &[f64], special: Option<Special>) -> Result<BranchPoint, DynamicsError> {
        let (state, parameter) = (self.state(at), self.parameter(at));
        let jacobian = self.family.at(parameter)?.jacobian(&state)?;
        Ok(BranchPoint {
            eigenvalues: eigenvalues(&jacobian, state.len())?,
            parameter,
            state,
            special,
        })
    }

    /// Where between two points a number that follows from a point, and the direction of the branch there, is 0.
    fn root(
        &self,
        (from, to): (&[f64], &[f64]),
        test: &dyn Fn(&BranchPoint, &[f64]) -> Option<f64>,
        special: Special,
    ) -> Result<Option<BranchPoint>, DynamicsError> {
        let across: Point = to.iter().zip(from).map(|(b, a)| b - a).collect();
        let at = |share: f64| -> Result<Option<(BranchPoint, f64)>, DynamicsError> {
            let Some((place, _)) = self.correct(along(from, &across, share), &across)? else {
                return Ok(None);
            };
            let Some(tangent) = self.tangent(&place, &across)? else {
                return Ok(None);
            };
            let point = self.point(&place, Some(special))?;
            Ok(test(&point, &tangent).map(|value| (point, value)))
        };
        let (Some((_, mut low_value)), Some((_, mut high_value))) = (at(0.0)?, at(1.0)?) else {
            return Ok(None);
        };
        let (mut low, mut high) = (0.0, 1.0);
        let size = low_value.abs().max(high_value.abs());
        let mut found: Option<(BranchPoint, f64)> = None;
        // Regula falsi, as in Illinois.
        let mut side = 0;
        for _ in 0..40 {
            if low_value * high_value > 0.0 {
                return Ok(None);
            }
            let share = (low * high_value - high * low_value) / (high_value - low_value);
            let Some((point, value)) = at(share)? else {
                return Ok(None);
            };
            found = Some((point, value));
            if value == 0.0 || high - low < 1e-10 || value.abs() < 1e-10 {
                break;
            }
            if value * high_value > 0.0 {
                (high, high_value) = (share, value);
                if side == -1 {
                    low_value /= 2.0;
                }
                side = -1;
            } else {
                (low, low_value) = (share, value);
                if side == 1 {
                    high_value /= 2.0;
                }
                side = 1;
            }
        }
        // Where the sign changes by a jump nothing is 0.
        let is_zero = |(_, value): &(BranchPoint, f64)| value.abs() <= 1e-4 * size;
        Ok(found.filter(is_zero).map(|(point, _)| point))
    }

    /// What happens between two points of the branch, with the directions there.
    fn between(
        &self,
        (from, to): (&[f64], &[f64]),
        (before, after): (&BranchPoint, &BranchPoint),
        turns: bool,
    ) -> Result<Option<BranchPoint>, DynamicsError> {
        let places = (from, to);
        if turns {
            let test = |_: &BranchPoint, tangent: &[f64]| tangent.last().copied();
            return self.root(places, &test, Special::Fold);
        }
        let (few, many) = (before.unstable(), after.unstable());
        if few == many {
            return Ok(None);
        }
        // Ordered by their real parts, which change without a jump, this one changes its sign.
        let crossing = few.min(many);
        let test = |point: &BranchPoint, _: &[f64]| point.eigenvalues.get(crossing).map(|z| z.re);
        let found = self.root(places, &test, Special::BranchPoint)?;
        Ok(found.map(|point| {
            let rotates = point.eigenvalues.get(crossing).is_some_and(|z| z.im != 0.0);
            let special = if rotates {
                Special::Hopf
            } else {
                Special::BranchPoint
            };
            BranchPoint {
                special: Some(special),
                ..point
            }
        }))
    }
}

/// Follows the branch of fixed points through `state` at `start`, to higher values of the parameter at first or to lower ones, by
/// pseudo-arclength (Keller 1977): each next point is looked for across the direction of the branch, which turns at a fold. Folds,
/// Hopf points and branch points are located between the points where the eigenvalues say that they are. `progress` hears of the
/// points found.
///
/// # Errors
///
/// Those of the fields, of eigenvalues that cannot be found, and [`DynamicsError::Stopped`] where `progress` breaks.
pub fn continue_branch(
    family: &dyn Family,
    (start, state): (f64, &[f64]),
    upwards: bool,
    settings: &Continuation,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Branch, DynamicsError> {
    let range = settings.high - settings.low;
    let mut scale = settings.scale.clone();
    if scale.len() != state.len() || scale.iter().any(|own| !(own.is_finite() && *own > 0.0)) {
        scale = state.iter().map(|x| x.abs().max(0.1)).collect();
    }
    scale.push(range);
    let own = Follower { family, scale };
    let n = state.len();
    let mut at: Point = state.iter().zip(&own.scale).map(|(x, s)| x / s).collect();
    at.push(start / range);
    let mut branch = Branch {
        points: Vec::new(),
        cut: false,
    };
    // At a fixed parameter.
    let mut direction = vec![0.0; n + 1];
    direction[n] = if upwards { 1.0 } else { -1.0 };
    let Some((first, _)) = own.correct(at, &direction)? else {
        branch.cut = true;
        return Ok(branch);
    };
    at = first;
    branch.points.push(own.point(&at, None)?);
    if let Some(tangent) = own.tangent(&at, &direction)? {
        direction = tangent;
    }
    let outside = |p: f64| p < settings.low || p > settings.high;
    let mut step = settings.step / 4.0;
    while branch.points.len() < settings.points {
        if progress(branch.points.len()).is_break() {
            return Err(DynamicsError::Stopped);
        }
        let mut guess = along(&at, &direction, step);
        let mut normal = direction.clone();
        // A step that would leave the range goes to its end.
        let end = [settings.low, settings.high].into_iter().find(|end| {
            (guess[n] * range - end) * direction[n] > 0.0
                && (end / range - at[n]) * direction[n] > 1e-12
        });
        if let Some(end) = end {
            let share = (end / range - at[n]) / (guess[n] - at[n]);
            guess = along(&at, &direction, share * step);
            guess[n] = end / range;
            normal.fill(0.0);
            normal[n] = 1.0;
        }
        let next = match own.correct(guess, &normal)? {
            // A branch that bends out of the range meets its end by a shorter step.
            Some((next, _)) if end.is_none() && outside(own.parameter(&next)) => None,
            Some((next, iterations)) => own
                .tangent(&next, &direction)?
                .filter(|tangent| dot(tangent, &direction) > TURN)
                .map(|tangent| (next, tangent, iterations)),
            None => None,
        };
        let Some((next, tangent, iterations)) = next else {
            step /= 2.0;
            if step < SHORTEST * settings.step {
                branch.cut = true;
                return Ok(branch);
            }
            continue;
        };
        let mut after = own.point(&next, None)?;
        let turns = direction[n] * tangent[n] < 0.0;
        if let Some(before) = branch.points.last()
            && let Some(special) = own.between((&at, &next), (before, &after), turns)?
            && !outside(special.parameter)
        {
            branch.points.push(special);
        }
        if let Some(end) = end {
            after.parameter = end;
            branch.points.push(after);
            return Ok(branch);
        }
        branch.points.push(after);
        (at, direction) = (next, tangent);
        if iterations <= 4 {
            step = (1.4 * step).min(settings.step);
        }
    }
    branch.cut = true;
    Ok(branch)
}

/// How fixed points and cycles are followed over a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The key of the configuration that is changed, as `unit.current` or `stimulus.amplitude.0`. Has to be given.
    pub parameter: String,
    /// Its first value. Has to be given.
    pub from: f64,
    /// Its last value. Has to be given.
    pub to: f64,
    /// The time whose stimulus is held, ms. Default: the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The longest step along a branch, as a share of the range and of the variables' sizes. Default 0.01.
    pub step: f64,
    /// The most points of a branch. Default 1000.
    pub points: usize,
    /// Values of the parameter at which runs look for cycles, upwards and downwards; 0: none. Default 25.
    pub cycles: usize,
    /// The variable that is drawn. Default: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// How many states fixed points are looked for from, at the first, the middle and the last value. Default 24.
    pub starts: usize,
    /// The seed of these. Default 0.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameter: String::new(),
            from: 0.0,
            to: 0.0,
            at: None,
            step: 0.01,
            points: 1000,
            cycles: 25,
            variable: None,
            starts: 24,
            seed: 0,
        }
    }
}

/// The most points of a branch, and the most runs, that can be asked for.
const MOST: usize = 100_000;

impl Settings {
    fn validate(&self) -> Result<(), DynamicsError> {
        if self.parameter.is_empty() {
            return Err(DynamicsError::config(
                "parameter",
                "nothing",
                "the key of a number, as unit.current",
            ));
        }
        let range = self.to - self.from;
        if !(range.is_finite() && range != 0.0) {
            let allowed = format!("a finite number other than from = {}", self.from);
            return Err(DynamicsError::config("to", self.to, allowed));
        }
        if !(self.step > 0.0 && self.step <= 0.5) {
            return Err(DynamicsError::config(
                "step",
                self.step,
                "above 0, at most 0.5",
            ));
        }
        for (field, value, least) in [
            ("points", self.points, 2),
            ("cycles", self.cycles, 0),
            ("starts", self.starts, 1),
        ] {
            if !(least..=MOST).contains(&value) {
                let allowed = format!("{least} to {MOST}");
                return Err(DynamicsError::config(field, value, allowed));
            }
        }
        Ok(())
    }
}

/// An experiment over one of its numbers.
struct Over<'a> {
    config: &'a ExperimentConfig,
    settings: &'a Settings,
    place: &'a Place,
}

impl Over<'_> {
    fn config(&self, parameter: f64) -> Result<ExperimentConfig, DynamicsError> {
        self.config.with_number(&self.settings.parameter, parameter)
    }

    fn field(&self, parameter: f64) -> Result<VectorField, DynamicsError> {
        VectorField::new(&self.config(parameter)?, self.settings.at, self.place)
    }
}

impl Family for Over<'_> {
    fn at(&self, parameter: f64) -> Result<Box<dyn HostField + '_>, DynamicsError> {
        Ok(Box::new(self.field(parameter)?))
    }
}

/// Whether a branch passes through a fixed point at a value of the parameter: what Newton's method makes of the places in between
/// two of its points.
fn passes(
    family: &dyn Family,
    branch: &Branch,
    parameter: f64,
    point: &FixedPoint,
) -> Result<bool, DynamicsError> {
    let scale: Vec<f64> = point.state.iter().map(|x| x.abs().max(0.1)).collect();
    let is_there = |state: &[f64]| {
        let pairs = state.iter().zip(&point.state).zip(&scale);
        pairs.fold(0.0_f64, |far, ((a, b), scale)| {
            far.max((a - b).abs() / scale)
        }) < 1e-4
    };
    let own = Follower {
        family,
        scale: scale.iter().copied().chain([1.0]).collect(),
    };
    let n = scale.len();
    let mut flat = vec![0.0; n + 1];
    flat[n] = 1.0;
    for pair in branch.points.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let (low, high) = (a.parameter.min(b.parameter), a.parameter.max(b.parameter));
        if !(low..=high).contains(&parameter) {
            continue;
        }
        let share = if high > low {
            (parameter - a.parameter) / (b.parameter - a.parameter)
        } else {
            0.0
        };
        let places = a.state.iter().zip(&b.state).zip(&scale);
        let mut guess: Point = places
            .map(|((a, b), scale)| (a + share * (b - a)) / scale)
            .collect();
        guess.push(parameter);
        if let Some((found, _)) = own.correct(guess, &flat)?
            && is_there(&own.state(&found))
        {
            return Ok(true);
        }
    }
    // A branch that ends there.
    let ends = [branch.points.first(), branch.points.last()];
    let near =
        |end: &BranchPoint| (end.parameter - parameter).abs() < 1e-9 * parameter.abs().max(1.0);
    Ok(ends
        .into_iter()
        .flatten()
        .any(|end| near(end) && is_there(&end.state)))
}

/// A cycle that a run came to.
struct Cycle {
    parameter: f64,
    period: f64,
    /// The lowest and the highest value of each number of the state.
    extrema: Vec<(f64, f64)>,
}

/// The times at which numbers rise through a level, between samples.
fn rises(times: &[f64], values: &[f64], level: f64) -> Vec<f64> {
    let pairs = times.windows(2).zip(values.windows(2));
    let crossing = pairs.filter(|(_, x)| x[0] < level && x[1] >= level);
    crossing
        .map(|(t, x)| t[0] + (t[1] - t[0]) * (level - x[0]) / (x[1] - x[0]))
        .collect()
}

/// Periods of a cycle may differ by this share.
const REGULAR: f64 = 0.05;

/// The cycle of the second half of a run, where there is one.
fn cycle(parameter: f64, times: &[f64], columns: &[Vec<f64>], variable: usize) -> Option<Cycle> {
    let half = times.len() / 2;
    let own: Vec<&[f64]> = columns.iter().map(|x| &x[half..]).collect();
    let extrema = own.iter().map(|x| {
        let low = x.iter().copied().fold(f64::INFINITY, f64::min);
        (low, x.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    });
    let extrema: Vec<(f64, f64)> = extrema.collect();
    let (first, (low, high)) = (own.get(variable)?, *extrema.get(variable)?);
    if high - low <= 1e-3 * high.abs().max(low.abs()).max(0.1) {
        return None;
    }
    let rises = rises(&times[half..], first, 0.5 * (low + high));
    let periods: Vec<f64> = rises.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = periods.iter().sum::<f64>() / periods.len().max(1) as f64;
    let is_regular = periods
        .iter()
        .all(|period| (period - mean).abs() <= REGULAR * mean);
    (periods.len() >= 2 && is_regular).then_some(Cycle {
        parameter,
        period: mean,
        extrema,
    })
}

/// Runs at values of the parameter, each from where the one before ended.
fn cycles(
    request: &Request<'_>,
    over: &Over<'_>,
    variable: usize,
) -> Result<Vec<Cycle>, DynamicsError> {
    let settings = over.settings;
    let count = settings.cycles;
    let value = |index: usize| {
        let share = index as f64 / (count - 1).max(1) as f64;
        settings.from + share * (settings.to - settings.from)
    };
    let order: Vec<usize> = (0..count).chain((0..count).rev()).collect();
    let mut found = Vec::new();
    let mut last: Option<Vec<Vec<f64>>> = None;
    for (done, index) in order.iter().enumerate() {
        request.done(0.5 + 0.5 * done as f64 / order.len() as f64)?;
        let parameter = value(*index);
        let config = over.config(parameter)?.of_all_variables();
        let mut experiment = config.init(request.place)?;
        if let Some(last) = &last {
            // A little aside, for on a fixed point that has become unstable a run stays.
            let aside = |x: &f64| x + 1e-3 * x.abs().max(0.1);
            experiment.begin_at(
                0,
                last.iter().map(|x| x.iter().map(aside).collect()).collect(),
            )?;
        }
        let outcome = experiment.run(|_, _| (request.progress)(0.5))?;
        if !outcome.complete {
            return Err(DynamicsError::Stopped);
        }
        let columns = outcome.all_columns();
        found.extend(cycle(parameter, &outcome.times, &columns, variable));
        last = Some(
            outcome
                .last
                .iter()
                .map(|trace| trace.values.clone())
                .collect(),
        );
    }
    Ok(found)
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    settings.validate()?;
    let over = Over {
        config: request.config,
        settings: &settings,
        place: request.place,
    };
    let (low, high) = (
        settings.from.min(settings.to),
        settings.from.max(settings.to),
    );
    let mut how = Continuation {
        low,
        high,
        step: settings.step,
        scale: Vec::new(),
        points: settings.points,
    };
    let names = over.field(settings.from)?.names();
    let variable = match &settings.variable {
        None => 0,
        Some(name) => names
            .iter()
            .position(|(own, _)| own == name)
            .ok_or_else(|| {
                let all: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                DynamicsError::config("variable", name, all.join(", "))
            })?,
    };
    let places = [
        settings.from,
        0.5 * (settings.from + settings.to),
        settings.to,
    ];
    let mut found = Vec::new();
    for (place, parameter) in places.into_iter().enumerate() {
        request.done(place as f64 / 30.0)?;
        let field = over.field(parameter)?;
        let config = over.config(parameter)?;
        let visited = points::visited(request, &config, &field)?;
        let starts = points::starts(&visited, settings.starts, settings.seed);
        let own = super::fixed_points(&field, &starts, &points::search())?;
        found.extend(own.into_iter().map(|point| (parameter, point)));
    }
    // How large each variable is where it is known.
    let largest = |index: usize| {
        let own = found.iter().map(|(_, point)| point.state[index].abs());
        own.fold(0.0, f64::max)
    };
    let sizes = (0..names.len()).map(largest);
    how.scale = sizes
        .map(|size| if size > 1e-9 { size } else { 0.1 })
        .collect();
    let mut branches: Vec<Branch> = Vec::new();
    let count = found.len().max(1) as f64;
    for (place, (parameter, point)) in found.into_iter().enumerate() {
        let share = |points: usize| {
            let within = points as f64 / (points as f64 + 200.0);
            (request.progress)(0.1 + 0.4 * (place as f64 + within) / count)
        };
        let mut known = branches
            .iter()
            .map(|branch| passes(&over, branch, parameter, &point));
        if known.try_fold(false, |any, own| Ok::<_, DynamicsError>(any || own?))? {
            continue;
        }
        let start = (parameter, &point.state[..]);
        let mut both = [true, false].map(|upwards| {
            if parameter == if upwards { high } else { low } {
                return Ok(None);
            }
            continue_branch(&over, start, upwards, &how, &mut |points| share(points)).map(Some)
        });
        let mut branch: Option<Branch> = None;
        for half in &mut both {
            let Some(half) = std::mem::replace(half, Ok(None))? else {
                continue;
            };
            branch = Some(match branch {
                None => half,
                Some(mut whole) => {
                    whole.points.reverse();
                    whole.points.extend(half.points.into_iter().skip(1));
                    whole.cut |= half.cut;
                    whole
                }
            });
        }
        branches.extend(branch.filter(|branch| !branch.points.is_empty()));
    }
    let found = match settings.cycles {
        0 => Vec::new(),
        _ => cycles(request, &over, variable)?,
    };
    Ok(findings(
        request,
        &settings,
        (&branches, &found),
        &names,
        variable,
    ))
}

fn findings(
    request: &Request<'_>,
    settings: &Settings,
    (branches, cycles): (&[Branch], &[Cycle]),
    names: &[(String, &'static str)],
    variable: usize,
) -> Findings {
    let mut findings = Findings::default();
    let parameter = || (settings.parameter.clone(), "1".to_owned());
    let all = || {
        names
            .iter()
            .map(|(name, unit)| (name.clone(), (*unit).to_owned()))
    };
    let columns = [("what".to_owned(), "1".to_owned()), parameter()]
        .into_iter()
        .chain(all());
    let rotates = ("frequency".to_owned(), "Hz".to_owned());
    let mut special = Table::new("special points", columns.chain([rotates]));
    for point in branches.iter().flat_map(|branch| &branch.points) {
        let Some(kind) = point.special else {
            continue;
        };
        let mut row = vec![kind.name().into(), point.parameter.into()];
        row.extend(point.state.iter().map(|x| super::Cell::from(*x)));
        let frequency = match kind {
            // Of cycles that are still small; times are in ms.
            Special::Hopf => point
                .rotation()
                .map(|im| 1000.0 * im / std::f64::consts::TAU),
            _ => None,
        };
        row.push(frequency.unwrap_or(f64::NAN).into());
        special.rows.push(row);
    }
    findings.tables.push(special);
    let columns = [
        ("branch", "1"),
        ("points", "1"),
        ("from", "1"),
        ("to", "1"),
        ("stable", "1"),
    ];
    let mut table = Table::new("branches", columns);
    for (index, branch) in branches.iter().enumerate() {
        let values = || branch.points.iter().map(|point| point.parameter);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let stable = branch
            .points
            .iter()
            .filter(|point| point.unstable() == 0)
            .count();
        table.rows.push(vec![
            index.into(),
            branch.points.len().into(),
            low.into(),
            high.into(),
            stable.into(),
        ]);
        if branch.cut {
            findings.notes.push(format!(
                "branch {index} goes on: more `points`, or a shorter `step`, would follow it"
            ));
        }
        let width = names.len() + 2;
        let rows = branch.points.iter().flat_map(|point| {
            let own = [point.parameter]
                .into_iter()
                .chain(point.state.iter().copied());
            own.chain([point.unstable() as f64])
        });
        let shape = vec![branch.points.len(), width];
        findings
            .arrays
            .push(Array::new(format!("branch_{index}"), shape, rows.collect()));
    }
    findings.tables.push(table);
    if settings.cycles > 0 {
        let (name, unit) = &names[variable];
        let columns = [
            parameter(),
            ("period".to_owned(), "ms".to_owned()),
            (format!("lowest {name}"), (*unit).to_owned()),
            (format!("highest {name}"), (*unit).to_owned()),
        ];
        let mut table = Table::new("cycles", columns);
        for cycle in cycles {
            if let Some((low, high)) = cycle.extrema.get(variable) {
                table.rows.push(vec![
                    cycle.parameter.into(),
                    cycle.period.into(),
                    (*low).into(),
                    (*high).into(),
                ]);
            }
        }
        findings.tables.push(table);
    }
    if branches.is_empty() {
        findings.notes.push(
            "no fixed point was found at the first, the middle or the last value: more `starts` may find one".into(),
        );
    }
    #[cfg(feature = "plot")]
    {
        findings.figure = Some(figure(
            request,
            settings,
            (branches, cycles),
            &names[variable],
            variable,
        ));
    }
    #[cfg(not(feature = "plot"))]
    let _ = request;
    findings
}

#[cfg(feature = "plot")]
fn figure(
    request: &Request<'_>,
    settings: &Settings,
    (branches, cycles): (&[Branch], &[Cycle]),
    (name, unit): &(String, &'static str),
    variable: usize,
) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let mut panel = Panel::new(crate::figure::label(name, unit));
    for (named, stable) in [("stable", true), ("unstable", false)] {
        let mut points = Vec::new();
        for branch in branches {
            let mut before: Option<(f64, f64)> = None;
            for point in &branch.points {
                let at = (point.parameter, point.state[variable]);
                if (point.unstable() == 0) == stable {
                    // From the point where it became so.
                    points.extend(before.take());
                    points.push(at);
                } else {
                    points.push((f64::NAN, f64::NAN));
                    before = Some(at);
                }
            }
            points.push((f64::NAN, f64::NAN));
        }
        if points.iter().any(|(x, _)| x.is_finite()) {
            panel = panel.with(Mark::line(named, points));
        }
    }
    for special in [Special::Fold, Special::Hopf, Special::BranchPoint] {
        let all = branches.iter().flat_map(|branch| &branch.points);
        let own = all.filter(|point| point.special == Some(special));
        let points: Vec<(f64, f64)> = own.map(|p| (p.parameter, p.state[variable])).collect();
        if !points.is_empty() {
            panel = panel.with(Mark::points(special.name(), points));
        }
    }
    let extrema = cycles.iter().filter_map(|cycle| {
        let (low, high) = cycle.extrema.get(variable)?;
        Some([(cycle.parameter, *low), (cycle.parameter, *high)])
    });
    let extrema: Vec<(f64, f64)> = extrema.flatten().collect();
    if !extrema.is_empty() {
        panel = panel.with(Mark::points("cycle", extrema));
    }
    Figure::new(request.title, settings.parameter.clone()).with(panel)
}
