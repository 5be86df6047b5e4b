//! What electrodes see of the sources of an experiment, by name.

use std::path::PathBuf;

use granule_dynamics::DynamicsError;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::findings::{Array, Findings, Table};
use super::power_spectrum;
use super::registry::Request;
use crate::outcome::Trace;
use crate::samples::{ReadError, Samples};

/// Of what it is, and by which lead field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What each electrode gets of each source: an .npy, .npz or .csv file with a row for each electrode and a column for each
    /// source.
    pub lead_field: PathBuf,
    /// The array of an .npz archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<String>,
    /// The recorded variables whose sum is the activity of a source, each column a source; with `-` before the name it is taken away.
    /// Default: `y1` and `-y2` where both are recorded, which is the potential of the pyramidal cells of Jansen and Rit (1995), else
    /// the first that is recorded.
    pub variables: Vec<String>,
    /// Whether the mean of all electrodes is taken away, which then is their reference. Default false.
    pub average_reference: bool,
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
}

/// The most electrodes.
const MOST: usize = 10_000;
/// The most that are drawn.
#[cfg(feature = "plot")]
const DRAWN: usize = 12;

/// A row for each electrode, a column for each of `sources`.
fn lead_field(
    settings: &Settings,
    request: &Request<'_>,
    sources: usize,
) -> Result<Vec<f64>, DynamicsError> {
    let shown = settings.lead_field.display().to_string();
    let refused = |allowed: String| DynamicsError::config("lead_field", &shown, allowed);
    if shown.is_empty() {
        return Err(refused("an .npy, .npz or .csv file".to_owned()));
    }
    let read = request
        .reader
        .read(&settings.lead_field, settings.array.as_deref());
    let Samples { width, values, .. } = read.map_err(|error| match error {
        ReadError::File(reason) => refused(reason),
        ReadError::Content(reason) => DynamicsError::Content {
            field: "lead_field".to_owned(),
            reason,
        },
        ReadError::Memory(error) => error.into(),
    })?;
    if width != sources {
        let allowed = format!(
            "{}, one for each source, not {width}",
            counted(sources, "column")
        );
        return Err(refused(allowed));
    }
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        let allowed = format!(
            "finite numbers, not that of row {}, column {}",
            place / width,
            place % width
        );
        return Err(refused(allowed));
    }
    let electrodes = values.len() / width.max(1);
    if !(1..=MOST).contains(&electrodes) {
        return Err(refused(format!("1 to {MOST} rows, not {electrodes}")));
    }
    Ok(values)
}

/// The names of variables with what each is multiplied by.
fn signed(settings: &Settings, recorded: &[Trace]) -> Result<Vec<(String, f64)>, DynamicsError> {
    let one = |name: &String| match name.strip_prefix('-') {
        Some(name) => (name.to_owned(), -1.0),
        None => (name.clone(), 1.0),
    };
    if !settings.variables.is_empty() {
        return Ok(settings.variables.iter().map(one).collect());
    }
    let is_there = |name: &str| recorded.iter().any(|trace| trace.name == name);
    if is_there("y1") && is_there("y2") {
        return Ok(vec![("y1".to_owned(), 1.0), ("y2".to_owned(), -1.0)]);
    }
    let none = || DynamicsError::config("record.variables", "none", "one at least");
    let first = recorded.first().ok_or_else(none)?;
    Ok(vec![(first.name.clone(), 1.0)])
}

/// `rows · fieldᵀ`: of rows of sources, row-major, those of electrodes.
fn seen(rows: &[f64], field: &[f64], sources: usize, average: bool) -> Vec<f64> {
    let of_row = |row: &[f64]| {
        let of_electrode = |gains: &[f64]| gains.iter().zip(row).map(|(gain, x)| gain * x).sum();
        let mut all: Vec<f64> = field.chunks_exact(sources).map(of_electrode).collect();
        if average {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            all.iter_mut().for_each(|value| *value -= mean);
        }
        all
    };
    rows.chunks_exact(sources).flat_map(of_row).collect()
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let outcome = request.run(request.config)?;
    let kept = outcome.later(settings.from)?;
    let mut sources: Option<(usize, String, Vec<f64>)> = None;
    for (name, sign) in signed(&settings, &kept.traces)? {
        let trace = kept.trace(&name)?;
        let (width, unit, sum) = sources.get_or_insert_with(|| {
            let nothing = vec![0.0; trace.values.len()];
            (trace.width, trace.unit.clone(), nothing)
        });
        if (*width, unit.as_str()) != (trace.width, &*trace.unit) {
            let found = format!(
                "{name}, {} in {}",
                counted(trace.width, "column"),
                trace.unit
            );
            let allowed = format!("variables of {} in {unit}", counted(*width, "column"));
            return Err(DynamicsError::config("variables", found, allowed));
        }
        sum.iter_mut()
            .zip(&trace.values)
            .for_each(|(sum, x)| *sum += sign * x);
    }
    let none = || DynamicsError::config("variables", "none", "one at least");
    let (width, unit, activity) = sources.ok_or_else(none)?;
    let field = lead_field(&settings, request, width)?;
    let (electrodes, samples) = (field.len() / width, kept.times.len());
    granule_io::budget::ask_for_numbers("what the electrodes see", &[samples, electrodes])?;
    let values = seen(&activity, &field, width, settings.average_reference);
    let interval = request.config.dt * request.config.record.every as f64;
    let mut table = Table::new(
        "electrodes",
        [
            ("electrode", "1".to_owned()),
            ("mean", unit.clone()),
            ("standard deviation", unit.clone()),
            ("peak", "Hz".to_owned()),
        ],
    );
    for electrode in 0..electrodes {
        let own = values.iter().skip(electrode).step_by(electrodes);
        let own: Vec<f64> = own.copied().collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let squares = own.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        let deviation = (squares / own.len() as f64).sqrt();
        // Of fewer samples there is no spectrum, and none of what does not vary.
        let peak = match power_spectrum(&own, interval, samples / 4) {
            Ok(spectrum) if deviation > 0.0 => spectrum.peak(),
            _ => f64::NAN,
        };
        table.rows.push(vec![
            electrode.into(),
            mean.into(),
            deviation.into(),
            peak.into(),
        ]);
    }
    let findings = Findings {
        tables: vec![table],
        notes: vec![format!("in {unit} times the unit of the lead field")],
        ..Findings::default()
    };
    #[cfg(feature = "plot")]
    let findings = Findings {
        figure: Some(figure(request, (&kept.times, &values), electrodes)),
        ..findings
    };
    Ok(Findings {
        arrays: vec![
            Array::new("time", vec![samples], kept.times),
            Array::new("eeg", vec![samples, electrodes], values),
        ],
        ..findings
    })
}

/// A panel for each of the first electrodes.
#[cfg(feature = "plot")]
fn figure(
    request: &Request<'_>,
    (times, values): (&[f64], &[f64]),
    electrodes: usize,
) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let figure = Figure::new(request.title, "time (ms)");
    (0..electrodes.min(DRAWN)).fold(figure, |figure, electrode| {
        let own = values.iter().skip(electrode).step_by(electrodes);
        let points = times.iter().copied().zip(own.copied()).collect();
        figure.with(Panel::new(format!("electrode {electrode}")).with(Mark::line("", points)))
    })
}
