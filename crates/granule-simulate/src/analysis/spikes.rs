//! Statistics of spikes of an experiment, by name.

use granule_dynamics::DynamicsError;
use granule_dynamics::unit::Spikes;
use serde::{Deserialize, Serialize};

use super::connectivity::correlations;
use super::findings::{Array, Findings, Table};
use super::registry::Request;
use super::spectrum::power_spectrum;

/// How they are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The bins of the rate of all cells together, ms. Default 1.
    pub bin: f64,
    /// The windows of counts, of which Fano factor and correlations are, ms. Default 100.
    pub window: f64,
    /// The cells of each group whose counts are correlated, evenly spread. Default 200.
    pub cells: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            from: None,
            bin: 1.0,
            window: 100.0,
            cells: 200,
        }
    }
}

/// The most cells whose counts are correlated, and the most bins and windows.
const MOST: usize = 5000;
const MOST_BINS: f64 = 1e7;
const MOST_WINDOWS: f64 = 1e5;

/// Of some cells from `from` to `to`, ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) rate: f64,
    /// The mean coefficient of variation of the intervals, of cells with at least three.
    pub(super) variation: f64,
    /// The mean of variance over mean of the counts in windows, of cells that fire.
    pub(super) fano: f64,
    /// The mean correlation of the counts of two cells.
    pub(super) correlation: f64,
    /// The variance of the summed rate over what independent cells of that rate have: 1 is independent, more is synchronous.
    pub(super) synchrony: f64,
}

/// How many spikes each cell has in each of so many windows.
fn counts(cells: &[&Spikes], [from, width]: [f64; 2], windows: usize) -> Vec<Vec<f64>> {
    let of = |cell: &&Spikes| {
        let mut own = vec![0.0; windows];
        for time in &cell.times {
            let window = ((time - from) / width).floor();
            if *time >= from && (window as usize) < windows {
                own[window as usize] += 1.0;
            }
        }
        own
    };
    cells.iter().map(of).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let middle = mean(values);
    values
        .iter()
        .map(|x| (x - middle) * (x - middle))
        .sum::<f64>()
        / values.len() as f64
}

/// The rate of all cells together in bins, spikes a cell and second.
fn summed(cells: &[&Spikes], [from, to]: [f64; 2], bin: f64) -> Vec<f64> {
    let mut all = vec![0.0; ((to - from) / bin).floor() as usize];
    let scale = 1000.0 / (bin * cells.len().max(1) as f64);
    for time in cells.iter().flat_map(|cell| &cell.times) {
        let place = ((time - from) / bin).floor();
        if *time >= from
            && let Some(sum) = all.get_mut(place as usize)
        {
            *sum += scale;
        }
    }
    all
}

/// The mean rate of some cells, Hz.
pub(super) fn rate(cells: &[&Spikes], [from, to]: [f64; 2]) -> f64 {
    let own = cells.iter().map(|cell| cell.mean_rate_hz(from, to));
    own.sum::<f64>() / cells.len().max(1) as f64
}

/// The mean coefficient of variation of the intervals, of cells with at least three spikes.
pub(super) fn variation(cells: &[&Spikes], [from, to]: [f64; 2]) -> f64 {
    let within = |cell: &&Spikes| -> Vec<f64> {
        let own = cell.times.iter().copied();
        own.filter(|time| (from..=to).contains(time)).collect()
    };
    let times = cells.iter().map(within).filter(|own| own.len() >= 3);
    let variations = times.map(|own| {
        let intervals: Vec<f64> = own.windows(2).map(|pair| pair[1] - pair[0]).collect();
        variance(&intervals).sqrt() / mean(&intervals)
    });
    mean(&variations.collect::<Vec<_>>())
}

/// What can be said of some cells.
pub(super) fn statistics(
    cells: &[&Spikes],
    [from, to]: [f64; 2],
    settings: &Settings,
) -> Statistics {
    let windows = ((to - from) / settings.window).floor() as usize;
    let every = cells.len().div_ceil(settings.cells).max(1);
    let some: Vec<&Spikes> = cells.iter().step_by(every).copied().collect();
    let counted = counts(&some, [from, settings.window], windows);
    let firing: Vec<&Vec<f64>> = counted
        .iter()
        .filter(|own| own.iter().any(|x| *x > 0.0))
        .collect();
    let fanos: Vec<f64> = firing.iter().map(|own| variance(own) / mean(own)).collect();
    let varying: Vec<&&Vec<f64>> = firing.iter().filter(|own| variance(own) > 0.0).collect();
    let rows: Vec<f64> = (0..windows)
        .flat_map(|w| varying.iter().map(move |own| own[w]))
        .collect();
    let correlation = if varying.len() > 1 && windows > 1 {
        let matrix = correlations(&rows, varying.len());
        let n = varying.len() as f64;
        (matrix.iter().sum::<f64>() - n) / (n * (n - 1.0))
    } else {
        f64::NAN
    };
    let summed = summed(cells, [from, to], settings.bin);
    let middle = mean(&summed);
    // Counts in a bin of independent cells have as much variance as mean.
    let independent = middle * 1000.0 / (settings.bin * cells.len().max(1) as f64);
    Statistics {
        rate: rate(cells, [from, to]),
        variation: variation(cells, [from, to]),
        fano: mean(&fanos),
        correlation,
        synchrony: variance(&summed) / independent,
    }
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    if !(2..=MOST).contains(&settings.cells) {
        let allowed = format!("2 to {MOST}");
        return Err(DynamicsError::config("cells", settings.cells, allowed));
    }
    let outcome = request.run(request.config)?;
    if outcome.spikes.is_empty() {
        let allowed = "a model with cells that spike";
        return Err(DynamicsError::config(
            "model",
            "one without spikes",
            allowed,
        ));
    }
    let from = outcome.transient(settings.from)?;
    let to = outcome.reached;
    for (field, value, most) in [
        ("bin", settings.bin, MOST_BINS),
        ("window", settings.window, MOST_WINDOWS),
    ] {
        let (least, half) = ((to - from) / most, 0.5 * (to - from));
        if !(value >= least && value <= half) {
            let allowed = format!("{least:e} to {half} ms, half of what is analysed");
            return Err(DynamicsError::config(field, value, allowed));
        }
    }
    let columns = [
        ("group", "1"),
        ("cells", "1"),
        ("rate", "Hz"),
        ("CV of intervals", "1"),
        ("Fano factor", "1"),
        ("correlation", "1"),
        ("synchrony", "1"),
        ("peak", "Hz"),
    ];
    let mut table = Table::new("spikes", columns);
    let mut findings = Findings::default();
    let mut spectra = Vec::new();
    for group in &outcome.groups {
        let cells: Vec<&Spikes> = outcome
            .spikes
            .get(group.cells.clone())
            .unwrap_or_default()
            .iter()
            .collect();
        if cells.is_empty() {
            continue;
        }
        let own = statistics(&cells, [from, to], &settings);
        let rate = summed(&cells, [from, to], settings.bin);
        let length = (rate.len() / 4).max(8);
        let spectrum = if rate.len() >= 8 {
            Some(power_spectrum(&rate, settings.bin, length)?)
        } else {
            None
        };
        let peak = spectrum
            .iter()
            .flat_map(|own| own.frequencies.iter().zip(&own.density).skip(1));
        let peak = peak
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or(f64::NAN, |(f, _)| *f);
        table.rows.push(vec![
            group.name.clone().into(),
            cells.len().into(),
            own.rate.into(),
            own.variation.into(),
            own.fano.into(),
            own.correlation.into(),
            own.synchrony.into(),
            peak.into(),
        ]);
        let name = format!("rate of {}", group.name);
        findings
            .arrays
            .push(Array::new(name, vec![rate.len()], rate));
        spectra.extend(spectrum.map(|own| (group.name.clone(), own)));
    }
    findings.tables.push(table);
    findings.notes.push(format!(
        "from {from} to {to} ms; counts in windows of {} ms, the rate in bins of {} ms",
        settings.window, settings.bin
    ));
    #[cfg(feature = "plot")]
    {
        use granule_chart::{Figure, Mark, Panel};

        let panel = Panel::new("power of the rate (Hz²/Hz)").logarithmic();
        let panel = spectra.into_iter().fold(panel, |panel, (name, own)| {
            let points = own.frequencies.into_iter().zip(own.density).skip(1);
            panel.with(Mark::line(name, points.collect()))
        });
        findings.figure = Some(Figure::new(request.title, "frequency (Hz)").with(panel));
    }
    #[cfg(not(feature = "plot"))]
    let _ = spectra;
    Ok(findings)
}
