//! Recordings of patch clamp: sweeps of a current that goes in and the voltage that comes out.

mod abf;

use std::path::Path;

use crate::DataError;
use crate::decoding::store::sweeps::read_sweeps;
use crate::numbers::Course;

/// The array of what the amplifier measured in V.
pub const VOLTAGE: &str = "voltage";
/// The array of what it injected in A, recorded or by its protocol.
pub const CURRENT: &str = "current";

/// Reads [`CURRENT`], which is the default, [`VOLTAGE`] or a recorded channel by its name, of an `.abf` file: a column for each sweep, all from 0 ms.
///
/// # Errors
/// A [`DataError`] that names the file and what is wrong with it.
pub(crate) fn read_abf(path: &Path, array: Option<&str>) -> Result<Course, DataError> {
    abf::read(path, array.unwrap_or(CURRENT))
}

/// Reads [`CURRENT`], which is the default, or [`VOLTAGE`] of an `.nwb` file, or, as `voltage/3`, those of one sweep.
///
/// # Errors
/// A [`DataError`] that names the file and what is wrong with it.
pub(crate) fn read_nwb(path: &Path, array: Option<&str>) -> Result<Course, DataError> {
    let own = read_sweeps(path, array.unwrap_or(CURRENT))?;
    Ok(course(
        own.interval,
        own.sweeps,
        own.values,
        own.unit.to_owned(),
    ))
}

/// Sweeps, `[samples, sweeps]`, with their instants.
fn course(interval: f64, sweeps: usize, values: Vec<f64>, unit: String) -> Course {
    let samples = values.len() / sweeps.max(1);
    Course {
        times: Some((0..samples).map(|k| k as f64 * interval).collect()),
        width: sweeps,
        values,
        unit: Some(unit),
        times_have_unit: true,
    }
}
