//! Fixed points of an experiment, by name.

use granule_dynamics::{DynamicsError, NormalNoise};
use serde::{Deserialize, Serialize};

use super::findings::{Array, Cell, Findings, Table};
use super::fixed_points::{FixedPoint, FixedPointSearch, Stability, fixed_points};
use super::registry::Request;
use super::vector_field::VectorField;
use crate::config::ExperimentConfig;

/// How fixed points are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The time whose stimulus is held, ms. Default: the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// How many states they are looked for from: those of a run, and others within the ranges of its variables and as far again
    /// around them. Default 64.
    pub starts: usize,
    /// The seed of these. Default 0.
    pub seed: u64,
    /// Arrows along each side of the picture of two variables; 0: none. Default 21.
    pub arrows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            at: None,
            starts: 64,
            seed: 0,
            arrows: 21,
        }
    }
}

/// The most states that can be asked for.
const MOST: usize = 100_000;

/// Slopes are differences of states here: good to about ten digits.
pub(super) fn search() -> FixedPointSearch {
    FixedPointSearch {
        fixed_below: 1e-16,
        slow_below: 1e-16,
        ..FixedPointSearch::default()
    }
}

/// The states of a run, the initial one last, and the lowest and the highest value of each of their numbers.
pub(super) type Visited = (Vec<Vec<f64>>, Vec<(f64, f64)>);

pub(super) fn visited(
    request: &Request<'_>,
    config: &ExperimentConfig,
    field: &VectorField,
) -> Result<Visited, DynamicsError> {
    let outcome = request.run(&config.of_all_variables())?;
    let columns = outcome.all_columns();
    let initial = field.initial()?;
    let whole = columns.len() == initial.len();
    let ranges = initial.iter().enumerate().map(|(index, initial)| {
        let own = columns.get(index).filter(|_| whole).into_iter().flatten();
        own.fold((*initial, *initial), |(low, high), x| {
            (low.min(*x), high.max(*x))
        })
    });
    let ranges = ranges.collect();
    let samples = outcome.times.len();
    let states = (0..if whole { samples } else { 0 })
        .map(|sample| columns.iter().map(|column| column[sample]).collect());
    let mut states: Vec<Vec<f64>> = states.collect();
    states.push(initial);
    Ok((states, ranges))
}

/// States from which fixed points are looked for.
pub(super) fn starts((states, ranges): &Visited, count: usize, seed: u64) -> Vec<Vec<f64>> {
    // The last state, and others of the run evenly.
    let visited = count.div_ceil(3);
    let every = states.len().div_ceil(visited).max(1);
    let mut starts: Vec<Vec<f64>> = states.iter().rev().step_by(every).cloned().collect();
    let noise = NormalNoise::new(seed, 2);
    for index in starts.len()..count {
        let drawn = noise.values(index, ranges.len());
        let own = ranges.iter().zip(drawn).map(|((low, high), xi)| {
            let middle = 0.5 * (low + high);
            middle + xi * (high - low).max(1e-3 * middle.abs().max(0.1))
        });
        starts.push(own.collect());
    }
    starts
}

/// What it is called: a node, a focus, a saddle.
pub(super) fn kind(point: &FixedPoint) -> String {
    let rotates = point.eigenvalues.iter().any(|z| z.im != 0.0);
    match point.stability() {
        Stability::Attractor if rotates => "stable focus".into(),
        Stability::Attractor => "stable node".into(),
        Stability::Repeller if rotates => "unstable focus".into(),
        Stability::Repeller => "unstable node".into(),
        Stability::Saddle => format!("saddle, {} unstable", point.unstable()),
    }
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    if !(1..=MOST).contains(&settings.starts) {
        let allowed = format!("1 to {MOST}");
        return Err(DynamicsError::config("starts", settings.starts, allowed));
    }
    let field = VectorField::new(request.config, settings.at, request.place)?;
    let visited = visited(request, request.config, &field)?;
    let starts = starts(&visited, settings.starts, settings.seed);
    let mut found: Vec<FixedPoint> = fixed_points(&field, &starts, &search())?;
    found.sort_by(|a, b| {
        let pairs = a.state.iter().zip(&b.state);
        let mut orders = pairs.map(|(a, b)| a.total_cmp(b));
        orders
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let names = field.names();
    let columns = names
        .iter()
        .map(|(name, unit)| (name.clone(), (*unit).to_owned()));
    let more = [("kind", "1"), ("slowest", "1/ms"), ("frequency", "Hz")];
    let more = more.map(|(name, unit)| (name.to_owned(), unit.to_owned()));
    let mut table = Table::new("fixed points", columns.chain(more));
    for point in &found {
        let mut row: Vec<Cell> = point.state.iter().map(|x| Cell::from(*x)).collect();
        row.push(kind(point).into());
        let slowest = point.eigenvalues.first().copied().unwrap_or_default();
        row.push(slowest.re.into());
        let rotating = point.eigenvalues.iter().find(|z| z.im > 0.0);
        let frequency = rotating.map_or(f64::NAN, |z| 1000.0 * z.im / std::f64::consts::TAU);
        row.push(frequency.into());
        table.rows.push(row);
    }
    let eigenvalues = found.iter().flat_map(|point| &point.eigenvalues);
    let values: Vec<f64> = eigenvalues.flat_map(|z| [z.re, z.im]).collect();
    let mut findings = Findings {
        tables: vec![table],
        arrays: vec![Array::new(
            "eigenvalues",
            vec![found.len(), names.len(), 2],
            values,
        )],
        ..Findings::default()
    };
    if found.is_empty() {
        findings
            .notes
            .push("none was found: the model may have none, or more `starts` may find one".into());
    }
    #[cfg(feature = "plot")]
    {
        findings.figure = Some(if names.len() == 2 {
            plane(request, &settings, (&field, &found), visited)?
        } else {
            spectra(request, &found)
        });
    }
    Ok(findings)
}

#[cfg(feature = "plot")]
use granule_chart::{Figure, Mark, Panel};

/// The eigenvalues of each point.
#[cfg(feature = "plot")]
fn spectra(request: &Request<'_>, found: &[FixedPoint]) -> Figure {
    let mut panel = Panel::new("imaginary part (1/ms)").with(Mark::Level { y: 0.0 });
    for (index, point) in found.iter().take(7).enumerate() {
        let own = point.eigenvalues.iter().map(|z| (z.re, z.im)).collect();
        panel = panel.with(Mark::points(format!("{index}: {}", kind(point)), own));
    }
    let title = format!("{}: eigenvalues of its fixed points", request.title);
    Figure::new(title, "real part (1/ms)").with(panel)
}

/// Along each side of the grid on which nullclines are found.
#[cfg(feature = "plot")]
const GRID: usize = 161;

/// Nullclines, arrows, a trajectory and the points.
#[cfg(feature = "plot")]
fn plane(
    request: &Request<'_>,
    settings: &Settings,
    (field, found): (&VectorField, &[FixedPoint]),
    (states, mut ranges): Visited,
) -> Result<Figure, DynamicsError> {
    for (index, range) in ranges.iter_mut().enumerate() {
        for point in found {
            let x = point.state[index];
            *range = (range.0.min(x), range.1.max(x));
        }
        let margin = 0.15 * (range.1 - range.0).max(1e-6 * range.0.abs().max(1.0));
        *range = (range.0 - margin, range.1 + margin);
    }
    let at = |count: usize, index: usize, axis: usize| {
        let (low, high) = ranges[axis];
        low + (high - low) * index as f64 / (count - 1).max(1) as f64
    };
    let grid = |count: usize| -> Vec<Vec<f64>> {
        let places =
            (0..count * count).map(|k| vec![at(count, k % count, 0), at(count, k / count, 1)]);
        places.collect()
    };
    let slopes = field.velocities(&grid(GRID))?;
    let names = field.names();
    let label = |index: usize| crate::figure::label(&names[index].0, names[index].1);
    let mut panel = Panel::new(label(1)).y_range(ranges[1].0, ranges[1].1);
    let count = settings.arrows.min(101);
    if count > 1 {
        let places = grid(count);
        let slopes = field.velocities(&places)?;
        let spans = [0, 1].map(|axis| (ranges[axis].1 - ranges[axis].0) / count as f64);
        let mut arrows = Vec::new();
        for (place, slope) in places.iter().zip(&slopes) {
            let scaled = [slope[0] / spans[0], slope[1] / spans[1]];
            let length = scaled[0].hypot(scaled[1]);
            if length == 0.0 {
                continue;
            }
            let tip = |share: f64, aside: f64| {
                let (dx, dy) = (scaled[0] / length, scaled[1] / length);
                (
                    place[0] + spans[0] * (share * dx - aside * dy),
                    place[1] + spans[1] * (share * dy + aside * dx),
                )
            };
            let gap = (f64::NAN, f64::NAN);
            arrows.extend([tip(-0.35, 0.0), tip(0.35, 0.0), tip(0.15, 0.12), gap]);
            arrows.extend([tip(0.35, 0.0), tip(0.15, -0.12), gap]);
        }
        panel = panel.with(Mark::line("", arrows));
    }
    for axis in [0, 1] {
        let name = format!("d{}/dt = 0", names[axis].0);
        panel = panel.with(Mark::line(
            name,
            contour(&slopes, axis, |i, j| (at(GRID, i, 0), at(GRID, j, 1))),
        ));
    }
    let run = states[..states.len() - 1].iter().map(|x| (x[0], x[1]));
    panel = panel.with(Mark::line("run", run.collect()));
    for (stable, name) in [(true, "stable"), (false, "unstable")] {
        let own = found
            .iter()
            .filter(|point| (point.unstable() == 0) == stable);
        let points: Vec<(f64, f64)> = own.map(|p| (p.state[0], p.state[1])).collect();
        if !points.is_empty() {
            panel = panel.with(Mark::points(name, points));
        }
    }
    Ok(Figure::new(request.title, label(0))
        .x_range(ranges[0].0, ranges[0].1)
        .with(panel))
}

/// The places where a component of the field is 0: in each square of the grid a line between the sides that it crosses.
#[cfg(feature = "plot")]
fn contour(
    slopes: &[Vec<f64>],
    axis: usize,
    at: impl Fn(usize, usize) -> (f64, f64),
) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    let value = |i: usize, j: usize| slopes[j * GRID + i][axis];
    for j in 0..GRID - 1 {
        for i in 0..GRID - 1 {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let mut crossed = Vec::new();
            for (k, from) in corners.iter().enumerate() {
                let to = corners[(k + 1) % 4];
                let (a, b) = (value(from.0, from.1), value(to.0, to.1));
                if (a < 0.0) != (b < 0.0) && a.is_finite() && b.is_finite() {
                    let share = a / (a - b);
                    let ((x, y), (u, v)) = (at(from.0, from.1), at(to.0, to.1));
                    crossed.push((x + share * (u - x), y + share * (v - y)));
                }
            }
            for pair in crossed.chunks_exact(2) {
                line.extend([pair[0], pair[1], (f64::NAN, f64::NAN)]);
            }
        }
    }
    line
}
