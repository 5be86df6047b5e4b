//! Sweeps of patch clamp in NWB files: `CurrentClampSeries` are what came out, `CurrentClampStimulusSeries` what went in, and those of
//! one `sweep_number` belong together.

use std::path::Path;

use granule_io::budget;
use granule_io::words::counted;
use hdf5_pure::AttrValue;

use super::hdf5::Hdf5;
use super::nwb::number;
use crate::DataError;
use crate::patch_clamp::{CURRENT, VOLTAGE};

/// The most sweeps.
const MOST: usize = 1 << 16;
/// By what share of itself the distance of timestamps may differ.
const UNEVEN: f64 = 1e-2;

/// Sweeps of one length.
pub(crate) struct Sweeps {
    /// From one sample to the next, ms.
    pub interval: f64,
    pub sweeps: usize,
    /// `[samples, sweeps]`
    pub values: Vec<f64>,
    pub unit: &'static str,
}

/// A series of one kind, with the number of its sweep.
#[derive(Clone)]
struct Series {
    /// Its group, which ends in `/`.
    group: String,
    sweep: Option<u64>,
}

/// Reads the sweeps of the voltage or of the current, all or, as `voltage/3`, that of one number.
///
/// # Errors
/// A [`DataError`] that names the file and the series at fault.
pub(crate) fn read_sweeps(path: &Path, array: &str) -> Result<Sweeps, DataError> {
    let hdf5 = Hdf5::open(path)?;
    let (kind, one) = match array.split_once('/') {
        None => (array, None),
        Some((kind, number)) => (kind, number.parse::<u64>().ok()),
    };
    let unit = match kind {
        VOLTAGE => "V",
        CURRENT => "A",
        _ => "",
    };
    if unit.is_empty() || (array.contains('/') && one.is_none()) {
        let reason = format!(
            "it has no {array}; of patch clamp {VOLTAGE} and {CURRENT} are read, and {VOLTAGE}/3 is that of sweep 3"
        );
        return Err(DataError::asked(path, reason));
    }
    let out = of_kind(&hdf5, "CurrentClampSeries")?;
    let given = of_kind(&hdf5, "CurrentClampStimulusSeries")?;
    let (own, other) = if kind == VOLTAGE {
        (out, given)
    } else {
        (given, out)
    };
    let mut own = paired(path, own, &other)?;
    if let Some(one) = one {
        own.retain(|series| series.sweep == Some(one));
    }
    if own.is_empty() {
        let reason = format!("it has no {array} of patch clamp: no series of it in current clamp");
        return Err(DataError::asked(path, reason));
    }
    joined(&hdf5, &own, unit)
}

/// The series of a type, by their sweeps.
fn of_kind(hdf5: &Hdf5<'_>, kind: &str) -> Result<Vec<Series>, DataError> {
    let mut all = Vec::new();
    for group in hdf5.groups.iter().filter(|group| !group.is_empty()) {
        if !hdf5.has(&format!("{group}data")) {
            continue;
        }
        let mut attributes = hdf5.group_attributes(group)?;
        let own = attributes.remove("neurodata_type");
        let own = own.as_ref().and_then(AttrValue::as_str);
        if own.map(|own| own.trim_end_matches('\0')) != Some(kind) {
            continue;
        }
        let sweep = attributes.remove("sweep_number");
        let sweep = sweep.as_ref().and_then(number).map(|x| x.max(0.0) as u64);
        all.push(Series {
            group: group.clone(),
            sweep,
        });
        if all.len() > MOST {
            let reason = format!("it has more than {MOST} sweeps");
            return Err(DataError::format(hdf5.path, reason));
        }
    }
    all.sort_by(|a, b| (a.sweep, &a.group).cmp(&(b.sweep, &b.group)));
    Ok(all)
}

/// Those sweeps that have both, where both are there at all.
fn paired(path: &Path, own: Vec<Series>, other: &[Series]) -> Result<Vec<Series>, DataError> {
    if own.is_empty() || other.is_empty() {
        return Ok(own);
    }
    let numbered = |all: &[Series]| all.iter().all(|series| series.sweep.is_some());
    if numbered(&own) && numbered(other) {
        let there = |series: &Series| other.iter().any(|other| other.sweep == series.sweep);
        return Ok(own.into_iter().filter(there).collect());
    }
    if own.len() == other.len() {
        return Ok(own);
    }
    let reason = format!(
        "{} of one kind and {} of the other have no sweep_number that says which belong together",
        counted(own.len(), "series"),
        other.len()
    );
    Err(DataError::format(path, reason))
}

/// From one sample to the next, ms.
fn interval(hdf5: &Hdf5<'_>, group: &str) -> Result<f64, DataError> {
    let bad = |reason: &str| DataError::format(&hdf5.place(group), reason);
    let start = format!("{group}starting_time");
    if hdf5.has(&start) {
        let rate = hdf5.attribute(&start, "rate")?;
        let rate = rate.as_ref().and_then(number).unwrap_or(f64::NAN);
        if rate.is_finite() && rate > 0.0 {
            return Ok(1e3 / rate);
        }
        return Err(bad("the rate of its starting_time is no rate"));
    }
    let stamps = format!("{group}timestamps");
    if !hdf5.has(&stamps) {
        return Err(bad("it has neither a starting_time nor timestamps"));
    }
    let stamps = hdf5.doubles(&stamps)?;
    let [first, .., last] = stamps[..] else {
        return Err(bad("it has no two timestamps"));
    };
    let interval = (last - first) / (stamps.len() - 1) as f64;
    let even = |pair: &[f64]| (pair[1] - pair[0] - interval).abs() <= UNEVEN * interval;
    if interval > 0.0 && stamps.windows(2).all(even) {
        Ok(1e3 * interval)
    } else {
        Err(bad("its timestamps are not at equal distances"))
    }
}

fn joined(hdf5: &Hdf5<'_>, own: &[Series], unit: &'static str) -> Result<Sweeps, DataError> {
    let sweeps = own.len();
    let mut all: Option<(f64, usize, Vec<f64>)> = None;
    for (sweep, series) in own.iter().enumerate() {
        let data = format!("{}data", series.group);
        let place = hdf5.place(&data);
        let said = hdf5.attribute(&data, "unit")?;
        let said = said
            .as_ref()
            .and_then(AttrValue::as_str)
            .unwrap_or_default();
        let said = said.trim_end_matches('\0').to_lowercase();
        let named = if unit == "V" { "volt" } else { "amp" };
        if !(said.is_empty() || said.starts_with(named) || said == unit.to_lowercase()) {
            let reason = format!("it is in {said}, not in {named}s");
            return Err(DataError::format(&place, reason));
        }
        let [scale, shift] = super::nwb::scale(hdf5, &data)?;
        let step = interval(hdf5, &series.group)?;
        let values = hdf5.doubles(&data)?;
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let reason = format!("sample {at} is {}", values[at]);
            return Err(DataError::format(&place, reason));
        }
        let (usual, samples, joined) = match &mut all {
            Some(known) => known,
            None => {
                let count = values.len().saturating_mul(sweeps);
                let joined = budget::filled(0.0, count, hdf5.path.display())?;
                all.insert((step, values.len(), joined))
            }
        };
        if values.len() != *samples || (step - *usual).abs() > 1e-6 * *usual {
            let sweep = series
                .sweep
                .map_or("it".into(), |own| format!("sweep {own}"));
            let reason = format!(
                "{sweep} has {} {step} ms apart, the first {samples} {usual} ms apart; {VOLTAGE}/N and {CURRENT}/N are those of \
                 sweep N",
                counted(values.len(), "sample")
            );
            return Err(DataError::format(&place, reason));
        }
        let column = joined.iter_mut().skip(sweep).step_by(sweeps);
        column
            .zip(values)
            .for_each(|(to, x)| *to = x * scale + shift);
    }
    let (interval, _, values) = all.unwrap_or_default();
    Ok(Sweeps {
        interval,
        sweeps,
        values,
        unit,
    })
}
