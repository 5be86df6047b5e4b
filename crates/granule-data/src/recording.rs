//! Recordings: quantities over time, of one trial or of several trials of the same length.
//!
//! An `.npz` archive with the array `time`, `[samples]` in ms at equal distances, and one array for each quantity:
//! `[samples]`, `[samples, columns]` or `[trials, samples, columns]`. It is what `granule simulate --out` writes.

use std::path::{Path, PathBuf};

use granule_io::words::counted;

use crate::arrays::{Floats, read_npz};
use crate::{DataError, fingerprint};

/// The name of the array of instants.
pub const TIME: &str = "time";

/// Quantities over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// The number of trials.
    pub trials: usize,
    /// The instants of a trial; the first one is its beginning.
    pub samples: usize,
    /// From one instant to the next, ms.
    pub interval: f64,
    /// In the order asked for.
    pub quantities: Vec<Quantity>,
    /// The other arrays of numbers in the file.
    pub unread: Vec<String>,
    /// Equal for equal content.
    pub fingerprint: String,
}

/// One quantity of a [`Recording`].
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The array's name.
    pub name: String,
    /// Cells, units or nodes.
    pub columns: usize,
    /// `[trials, samples, columns]`
    pub values: Vec<f32>,
}

impl Quantity {
    /// The values of one trial at one instant.
    pub fn row(&self, samples: usize, trial: usize, sample: usize) -> &[f32] {
        let start = (trial * samples + sample) * self.columns;
        self.values
            .get(start..start + self.columns)
            .unwrap_or_default()
    }
}

impl Recording {
    /// Reads the named quantities.
    ///
    /// # Errors
    /// A [`DataError`] that names the file, the array and what is wrong: one that is missing, trials or instants that do
    /// not agree, instants at unequal distances, a number that is not finite.
    pub fn read(path: &Path, names: &[&str]) -> Result<Self, DataError> {
        let (time, arrays, unread) = read_npz(path, TIME, names)?;
        let fingerprint = fingerprint::of_recording(
            &time,
            names
                .iter()
                .zip(&arrays)
                .map(|(name, array)| (*name, &array.shape[..], &array.values[..])),
        );
        let interval = interval(path, &time)?;
        let samples = time.len();
        let mut trials = None;
        let mut quantities = Vec::with_capacity(names.len());
        for (name, array) in names.iter().zip(arrays) {
            let (own, columns) = extents(path, name, &array, samples)?;
            if *trials.get_or_insert(own) != own {
                let others = trials.unwrap_or(own);
                let reason = format!(
                    "{name} has {}, the arrays before it {others}",
                    counted(own, "trial")
                );
                return Err(DataError::format(path, reason));
            }
            if let Some(far) = array.values.iter().find(|value| value.abs() > FARTHEST) {
                let reason = format!(
                    "{name} holds {far:e}, whose square does not fit into the 32 bits of an error; save it in another unit, \
                     so that its numbers are near 1"
                );
                return Err(DataError::format(path, reason));
            }
            quantities.push(Quantity {
                name: (*name).to_owned(),
                columns,
                values: array.values,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            trials: trials.unwrap_or(1),
            samples,
            unread,
            interval,
            quantities,
            fingerprint,
        })
    }
}

/// The square of a number, summed over a recording, still fits into single precision.
const FARTHEST: f32 = 1e15;

/// Trials and columns.
fn extents(
    path: &Path,
    name: &str,
    array: &Floats,
    samples: usize,
) -> Result<(usize, usize), DataError> {
    match *array.shape.as_slice() {
        [own] if own == samples => Ok((1, 1)),
        [own, columns] if own == samples => Ok((1, columns)),
        [trials, own, columns] if own == samples => Ok((trials, columns)),
        _ => Err(DataError::ArrayShape {
            path: PathBuf::from(format!("{}!{name}", path.display())),
            found: array.shape.iter().map(|&extent| extent as u64).collect(),
            allowed: format!(
                "[samples], [samples, columns] or [trials, samples, columns] with the {samples} samples of {TIME}"
            ),
        }),
    }
}

/// The distance of the instants, to a thousandth of it and what single precision leaves of an instant.
fn interval(path: &Path, time: &[f64]) -> Result<f64, DataError> {
    let bad = |reason: String| Err(DataError::format(path, format!("{TIME} {reason}")));
    let [first, .., last] = *time else {
        return bad(format!(
            "has {}; at least 2 are needed",
            counted(time.len(), "instant")
        ));
    };
    let falls = |(_, pair): &(usize, &[f64])| matches!(pair, [a, b] if b <= a);
    if let Some((index, _)) = time.windows(2).enumerate().find(falls) {
        return bad(format!("does not rise after instant {index}"));
    }
    let interval = (last - first) / (time.len() - 1) as f64;
    let rounding = 2.0 * f64::from(f32::EPSILON) * last.abs().max(first.abs());
    let uneven = time.iter().enumerate().find(|(index, instant)| {
        let expected = first + *index as f64 * interval;
        (**instant - expected).abs() > 1e-3 * interval + rounding.min(0.1 * interval)
    });
    match uneven {
        None => Ok(interval),
        Some((index, instant)) => bad(format!(
            "is not at equal distances: instant {index} is {instant} ms, {interval:.6} ms from one to the next would make it \
             {:.6}",
            first + index as f64 * interval
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::arrays::{NpzArray, write_npz};

    fn file(arrays: &[(&str, &[usize], Vec<f64>)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let arrays: Vec<NpzArray> = arrays
            .iter()
            .map(|(name, shape, values)| NpzArray::new(*name, shape.to_vec(), values.clone()))
            .collect();
        write_npz(&mut File::create(&path).unwrap(), &arrays).unwrap();
        (dir, path)
    }

    fn refused(arrays: &[(&str, &[usize], Vec<f64>)], names: &[&str]) -> String {
        let (_dir, path) = file(arrays);
        let error = Recording::read(&path, names).unwrap_err().to_string();
        assert!(error.contains("recording.npz"), "{error}");
        error
    }

    fn times(n: usize) -> Vec<f64> {
        (0..n).map(|k| 0.5 * k as f64).collect()
    }

    #[test]
    fn one_trial_or_several() {
        let (_dir, path) = file(&[
            ("time", &[3], times(3)),
            ("a", &[3], vec![0.0, 1.0, 2.0]),
            ("b", &[3, 2], (0..6).map(f64::from).collect()),
        ]);
        let recording = Recording::read(&path, &["b", "a"]).unwrap();
        assert_eq!((recording.trials, recording.samples), (1, 3));
        assert_eq!(recording.interval, 0.5);
        let [b, a] = &recording.quantities[..] else {
            unreachable!()
        };
        assert_eq!((b.columns, a.columns), (2, 1));
        assert_eq!(b.row(3, 0, 2), [4.0, 5.0]);

        let (_dir, path) = file(&[
            ("time", &[2], times(2)),
            ("a", &[3, 2, 1], (0..6).map(f64::from).collect()),
        ]);
        let several = Recording::read(&path, &["a"]).unwrap();
        assert_eq!(several.trials, 3);
        assert_eq!(several.quantities[0].row(2, 2, 1), [5.0]);
        assert_ne!(several.fingerprint, recording.fingerprint);
    }

    #[test]
    fn long_recordings_keep_their_interval() {
        let n = 400_001;
        let time: Vec<f64> = (0..n).map(|k| 0.025 * k as f64).collect();
        let (_dir, path) = file(&[("time", &[n], time.clone()), ("a", &[n], time)]);
        let recording = Recording::read(&path, &["a"]).unwrap();
        assert!((recording.interval - 0.025).abs() < 1e-9);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let ones = |n| vec![1.0; n];
        let missing = refused(&[("time", &[2], times(2)), ("a", &[2], ones(2))], &["b"]);
        assert!(
            missing.contains("no array \"b\"") && missing.contains("[time, a]"),
            "{missing}"
        );
        let no_time = refused(&[("a", &[2], ones(2))], &["a"]);
        assert!(no_time.contains("no array \"time\""), "{no_time}");
        let shape = refused(&[("time", &[2], times(2)), ("a", &[3], ones(3))], &["a"]);
        assert!(
            shape.contains("!a") && shape.contains("2 samples of time"),
            "{shape}"
        );
        let trials = refused(
            &[
                ("time", &[2], times(2)),
                ("a", &[2], ones(2)),
                ("b", &[2, 2, 1], ones(4)),
            ],
            &["a", "b"],
        );
        assert!(trials.contains("b has 2 trials"), "{trials}");
        let uneven = refused(
            &[("time", &[3], vec![0.0, 1.0, 3.0]), ("a", &[3], ones(3))],
            &["a"],
        );
        assert!(uneven.contains("instant 1 is 1 ms"), "{uneven}");
        let back = refused(
            &[("time", &[2], vec![1.0, 0.0]), ("a", &[2], ones(2))],
            &["a"],
        );
        assert!(back.contains("does not rise after instant 0"), "{back}");
        let nan = refused(
            &[("time", &[2], times(2)), ("a", &[2], vec![0.0, f64::NAN])],
            &["a"],
        );
        assert!(nan.contains("!a.npy: row 1 holds NaN"), "{nan}");
    }
}
