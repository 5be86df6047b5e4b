//! Principal components of an experiment, by name.

use granule_dynamics::DynamicsError;
use serde::{Deserialize, Serialize};

use super::connectivity::check_nodes;
use super::findings::{Array, Findings, Table};
use super::pca::Pca;
use super::registry::Request;
#[cfg(feature = "plot")]
use crate::outcome::Trace;

/// Of what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The recorded variable whose columns span the space. Default: the one with the most columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// How many components. Default 3, or all where there are fewer.
    pub components: usize,
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variable: None,
            components: 3,
            from: None,
        }
    }
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let outcome = request.run(request.config)?;
    let kept = outcome.later(settings.from)?;
    let trace = match &settings.variable {
        Some(name) => kept.trace(name)?,
        None => kept
            .traces
            .iter()
            .rev()
            .max_by_key(|trace| trace.width)
            .ok_or_else(|| {
                DynamicsError::config("record.variables", "none", "one variable at least")
            })?,
    };
    check_nodes(trace)?;
    let count = settings.components.min(trace.width);
    let pca = Pca::fit(&trace.values, trace.width, count)?;
    let explained = pca.explained();
    let columns = [
        ("component", "1"),
        ("share of the variance", "1"),
        ("of all so far", "1"),
    ];
    let mut table = Table::new("principal components", columns);
    let mut sum = 0.0;
    for (index, share) in explained.iter().take(count).enumerate() {
        sum += share;
        table
            .rows
            .push(vec![(index + 1).into(), (*share).into(), sum.into()]);
    }
    // (Σλ)² / Σλ²
    let (total, squares) = pca
        .variances
        .iter()
        .fold((0.0, 0.0), |(a, b), v| (a + v, b + v * v));
    let dimension = if squares > 0.0 {
        total * total / squares
    } else {
        0.0
    };
    let projected = pca.project(&trace.values)?;
    let samples = kept.times.len();
    let findings = Findings {
        tables: vec![table],
        arrays: vec![
            Array::new(
                "components",
                vec![count, trace.width],
                pca.components.concat(),
            ),
            Array::new("projection", vec![samples, count], projected.clone()),
            Array::new("time", vec![samples], kept.times.clone()),
        ],
        notes: vec![format!(
            "{} of {} columns: the participation ratio of the variances is {dimension:.2}",
            trace.name, trace.width
        )],
        ..Findings::default()
    };
    #[cfg(feature = "plot")]
    let findings = Findings {
        figure: Some(figure(request, trace, &projected, count)),
        ..findings
    };
    Ok(findings)
}

/// The second component over the first.
#[cfg(feature = "plot")]
fn figure(
    request: &Request<'_>,
    trace: &Trace,
    projected: &[f64],
    count: usize,
) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let points = projected.chunks_exact(count);
    let points = points.map(|row| (row[0], row.get(1).copied().unwrap_or(0.0)));
    let panel = Panel::new("second component").with(Mark::line("", points.collect()));
    let title = format!("{}: {}", request.title, trace.name);
    Figure::new(title, "first component").with(panel)
}
