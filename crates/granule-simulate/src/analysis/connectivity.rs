//! Functional connectivity of an experiment, by name.

use granule_dynamics::DynamicsError;
use serde::{Deserialize, Serialize};

use super::findings::{Array, Findings, Table};
use super::registry::Request;
use crate::outcome::Trace;

/// Of what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The recorded variable whose columns are the nodes. Default: `bold` where it is recorded, else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The length of the windows whose connectivities are compared with each other, ms. Default: a tenth of the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
    /// How far apart they begin, ms. Default: half of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<f64>,
}

/// Pearson's correlations of the columns of `rows`, row-major; NaN for a column that does not vary.
pub(super) fn correlations(rows: &[f64], width: usize) -> Vec<f64> {
    let count = rows.len() / width.max(1);
    let mut mean = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(m, x)| *m += x / count as f64);
    }
    let mut products = vec![0.0; width * width];
    for row in rows.chunks_exact(width) {
        let own: Vec<f64> = row.iter().zip(&mean).map(|(x, m)| x - m).collect();
        for (out, x) in products.chunks_exact_mut(width).zip(&own) {
            out.iter_mut().zip(&own).for_each(|(p, y)| *p += x * y);
        }
    }
    let sizes: Vec<f64> = (0..width)
        .map(|i| products[i * (width + 1)].sqrt())
        .collect();
    let pairs = (0..width).flat_map(|i| (0..width).map(move |j| (i, j)));
    pairs
        .map(|(i, j)| {
            if i == j && sizes[i] > 0.0 {
                1.0
            } else {
                products[i * width + j] / (sizes[i] * sizes[j])
            }
        })
        .collect()
}

/// The numbers above the diagonal.
fn upper(matrix: &[f64], width: usize) -> Vec<f64> {
    let pairs = (0..width).flat_map(|i| (i + 1..width).map(move |j| (i, j)));
    pairs.map(|(i, j)| matrix[i * width + j]).collect()
}

/// The most windows whose connectivities are compared, and the most nodes.
const MOST: usize = 2000;
const MOST_NODES: usize = 4000;

/// Checks that the columns of a variable can be compared with each other.
pub(super) fn check_nodes(trace: &Trace) -> Result<(), DynamicsError> {
    if trace.width < 2 {
        let allowed = "a recorded variable with two columns at least";
        return Err(DynamicsError::config("variable", &trace.name, allowed));
    }
    if trace.width > MOST_NODES {
        let found = format!("{} columns", trace.width);
        let allowed = format!("at most {MOST_NODES} columns: record.columns keeps the first");
        return Err(DynamicsError::config("variable", found, allowed));
    }
    Ok(())
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let outcome = request.run(request.config)?;
    let kept = outcome.later(settings.from)?;
    let trace = match &settings.variable {
        Some(name) => kept.trace(name)?,
        None => kept.trace("bold").or_else(|_| {
            let none = || DynamicsError::config("record.variables", "none", "one at least");
            kept.traces.first().ok_or_else(none)
        })?,
    };
    let width = trace.width;
    check_nodes(trace)?;
    let samples = kept.times.len();
    let interval = request.config.dt * request.config.record.every as f64;
    let length = match settings.window {
        None => samples / 10,
        Some(window) => (window / interval).round() as usize,
    };
    if !(3..=samples).contains(&length) {
        let window = length as f64 * interval;
        let allowed = format!("{} to {} ms", 3.0 * interval, samples as f64 * interval);
        return Err(DynamicsError::config("window", window, allowed));
    }
    let stride = match settings.stride {
        None => (length / 2).max(1),
        Some(stride) if stride > 0.0 => ((stride / interval).round() as usize).max(1),
        Some(stride) => return Err(DynamicsError::config("stride", stride, "above 0 ms")),
    };
    let matrix = correlations(&trace.values, width);
    // Of a correlation of 1 it is infinite.
    let z: Vec<f64> = matrix.iter().map(|r| r.atanh()).collect();
    let starts: Vec<usize> = (0..=samples - length).step_by(stride).collect();
    if starts.len() > MOST {
        let allowed = format!("so long that there are at most {MOST} windows");
        return Err(DynamicsError::config(
            "stride",
            stride as f64 * interval,
            allowed,
        ));
    }
    granule_io::budget::ask_for_numbers("the connectivities", &[starts.len(), width, width])?;
    let mut windows = Vec::new();
    for start in &starts {
        let rows = &trace.values[start * width..(start + length) * width];
        windows.push(upper(&correlations(rows, width), width));
    }
    let each = windows.first().map_or(0, Vec::len);
    // One row for each pair of nodes, one column for each window; a pair without a correlation somewhere says nothing.
    let whole = |pair: &usize| windows.iter().all(|own| own[*pair].is_finite());
    let by_pair: Vec<f64> = (0..each)
        .filter(whole)
        .flat_map(|pair| windows.iter().map(move |own| own[pair]))
        .collect();
    let dynamics = correlations(&by_pair, windows.len());
    let pairs = upper(&matrix, width);
    let mean = |values: &[f64]| {
        let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        finite.iter().sum::<f64>() / finite.len() as f64
    };
    let deviation = |values: &[f64]| {
        let middle = mean(values);
        let squares: Vec<f64> = values.iter().map(|x| (x - middle) * (x - middle)).collect();
        mean(&squares).sqrt()
    };
    let mut table = Table::new("functional connectivity", [("what", "1"), ("value", "1")]);
    let z_of_pairs: Vec<f64> = pairs.iter().map(|r| r.atanh()).collect();
    let between = upper(&dynamics, windows.len());
    let lowest = pairs.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = pairs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for (name, value) in [
        ("mean correlation", mean(&pairs)),
        ("lowest correlation", lowest),
        ("highest correlation", highest),
        ("mean of Fisher's z", mean(&z_of_pairs)),
        ("standard deviation of Fisher's z", deviation(&z_of_pairs)),
        ("windows", windows.len() as f64),
        ("mean correlation between windows (FCD)", mean(&between)),
        ("standard deviation of it", deviation(&between)),
    ] {
        table.rows.push(vec![name.into(), value.into()]);
    }
    let constant = (0..width)
        .filter(|i| !(matrix[i * (width + 1)].is_finite()))
        .count();
    let note =
        (constant > 0).then(|| format!("{constant} nodes do not vary and have no correlations"));
    let findings = Findings {
        tables: vec![table],
        arrays: vec![
            Array::new("fc", vec![width, width], matrix.clone()),
            Array::new("z", vec![width, width], z),
            Array::new("fcd", vec![windows.len(), windows.len()], dynamics),
        ],
        notes: note.into_iter().collect(),
        ..Findings::default()
    };
    #[cfg(feature = "plot")]
    let findings = Findings {
        figure: Some(figure(request, trace, &matrix)),
        ..findings
    };
    Ok(findings)
}

/// Of each node its correlations with the others.
#[cfg(feature = "plot")]
fn figure(request: &Request<'_>, trace: &Trace, matrix: &[f64]) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let width = trace.width;
    let rows = (0..width).map(|i| {
        let others = (0..width).filter(|j| *j != i);
        let points = others.map(|j| (j as f64, matrix[i * width + j]));
        Mark::points("", points.collect())
    });
    let panel = rows.fold(
        Panel::new("correlation").with(Mark::Level { y: 0.0 }),
        Panel::with,
    );
    let title = format!("{}: {}", request.title, trace.name);
    Figure::new(title, "node").with(panel)
}
