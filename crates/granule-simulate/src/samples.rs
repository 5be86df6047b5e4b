//! A stimulus from a file.

use std::path::{Path, PathBuf};

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use granule_dynamics::model::Clock;
use granule_dynamics::{DynamicsError, Values};
use granule_io::words::Number;

/// Settings of [`StimulusConfig::File`](super::StimulusConfig::File). A step of the run gets the mean over its length, so that no charge is
/// lost where samples and steps differ; before the first sample and after the end of the last one there is no stimulus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// An .npz, .npy or .csv file of one column for each channel, or one for all, or sweeps of patch clamp in an .abf or .nwb file;
    /// relative to the configuration.
    pub file: PathBuf,
    /// The array of an .npz archive, the columns of a table, or `current` of patch clamp. Default: all beside the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<String>,
    /// What the numbers are multiplied by: one for all channels, or one for each. Default 1.
    pub amplitude: Values,
    /// When the first sample begins, ms, from −1e9 to 1e9; the others keep their distance from it. Default: when the file's
    /// times say, or 0 in a file without times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<f64>,
    /// From one sample to the next, ms, in a file without times. Default: by the file's times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// The unit of the numbers, such as nA/cm², which is converted. Default: that of the table's header, else the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What is between two samples. Default hold.
    pub interpolation: Interpolation,
    /// What was read, by [`ExperimentConfig::read`](super::ExperimentConfig::read) or put there by a program.
    #[serde(skip)]
    pub samples: Option<Samples>,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            array: None,
            amplitude: 1.0.into(),
            onset: None,
            interval: None,
            unit: None,
            interpolation: Interpolation::Hold,
            samples: None,
        }
    }
}

/// What a stimulus from a file is between two of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// The first of them, as an amplifier holds it; the last sample holds as long as the one before it.
    #[default]
    Hold,
    /// A straight line.
    Linear,
}

/// Columns over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// The instants, ms, rising; `None` where [`FileConfig::interval`] says them.
    pub times: Option<Vec<f64>>,
    /// Columns.
    pub width: usize,
    /// `[samples, width]`
    pub values: Vec<f64>,
    /// The unit that the file names.
    pub unit: Option<String>,
    /// Whether the file says in which unit its times are.
    pub times_have_unit: bool,
}

/// Why columns over time could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is asked for is not there, or not in the file: which, by name.
    #[error("{0}")]
    File(String),
    /// The file is there and cannot be used: why, by name.
    #[error("{0}")]
    Content(String),
    /// It does not fit into memory.
    #[error(transparent)]
    Memory(#[from] granule_io::MemoryError),
}

/// Reads what a configuration names; this crate knows no file format.
pub trait ReadSamples {
    /// Columns over time from a file; `array` says which of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, by name, or that it does not fit into memory.
    fn read(&self, file: &Path, array: Option<&str>) -> Result<Samples, ReadError>;
}

fn refused(name: &str, value: impl std::fmt::Display, allowed: impl Into<String>) -> DynamicsError {
    DynamicsError::config(format!("stimulus.{name}"), value, allowed)
}

impl FileConfig {
    pub(super) fn validate(&self) -> Result<(), DynamicsError> {
        if self.file.as_os_str().is_empty() {
            return Err(refused("file", "\"\"", "an .npz, .npy or .csv file"));
        }
        match self.interval {
            Some(interval) if !(interval.is_finite() && interval > 0.0) => {
                Err(refused("interval", interval, "a finite number above 0, ms"))
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.file.display().to_string()
    }

    pub(super) fn read(&mut self, reader: &dyn ReadSamples) -> Result<(), DynamicsError> {
        self.validate()?;
        if self.samples.is_none() {
            let read = reader.read(&self.file, self.array.as_deref());
            self.samples = Some(read.map_err(|error| match error {
                ReadError::File(reason) => refused("file", self.name(), reason),
                ReadError::Content(reason) => DynamicsError::Content {
                    field: "stimulus.file".to_owned(),
                    reason,
                },
                ReadError::Memory(error) => error.into(),
            })?);
        }
        Ok(())
    }

    /// What a message about a table adds where no column of it has the times.
    fn known_times(&self) -> String {
        let extension = self.file.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("csv") {
            "; no column was taken for the time, which is called time or t, time (ms) or t (ms), time (s) or t (s); \
                     stimulus.array names a column with numbers"
                .to_owned()
        } else {
            String::new()
        }
    }

    /// Checks that the file begins at a time that a run can begin at, where that is not set.
    pub(super) fn check_begin(&self, latest: f64) -> Result<(), DynamicsError> {
        let begin = self.begin();
        if self.onset.is_some() || begin.abs() <= latest {
            return Ok(());
        }
        let found = format!("{}, whose first time is {begin} ms", self.name());
        let allowed = "times from -1e9 to 1e9 ms, or stimulus.onset in place of the first";
        Err(refused("file", found, allowed))
    }

    /// What was read.
    fn samples(&self) -> Result<&Samples, DynamicsError> {
        let unread = || {
            refused(
                "file",
                self.name(),
                "a file that ExperimentConfig::read has read",
            )
        };
        self.samples.as_ref().ok_or_else(unread)
    }

    /// What the numbers are multiplied by to be in the unit `to` of the model's channels; their own unit where it is not said.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for another kind of unit.
    pub fn conversion(&self, to: &[&str]) -> Result<f64, DynamicsError> {
        let own = self
            .samples
            .as_ref()
            .and_then(|samples| samples.unit.clone());
        let Some(from) = self.unit.clone().or(own) else {
            return Ok(1.0);
        };
        let mut factors = to.iter().map(|to| factor(&from, to));
        let first = factors.next().flatten();
        match first.filter(|first| factors.all(|factor| factor == Some(*first))) {
            Some(factor) => Ok(factor),
            None => {
                let of = |unit: &&str| if *unit == "1" { "no unit" } else { unit }.to_owned();
                let mut units: Vec<String> = to.iter().map(of).collect();
                units.dedup();
                let allowed = format!(
                    "{}, which the model's input has, or that with another prefix; unit = \"\" takes the numbers as they are",
                    units.join(", ")
                );
                Err(refused("unit", from, allowed))
            }
        }
    }

    /// What is taken for granted for channels in some units and a run that ends at `end`.
    pub(super) fn notes(&self, units: &[&str], end: f64) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(samples) = &self.samples else {
            return notes;
        };
        let named: Vec<&str> = units.iter().copied().filter(|unit| *unit != "1").collect();
        if let (Some(unit), None, None) = (named.first(), &self.unit, &samples.unit) {
            notes.push(format!(
                "the numbers of {} are taken to be in {unit}",
                self.name()
            ));
        }
        match (self.interval, &samples.times) {
            (Some(interval), Some(_)) => notes.push(format!(
                "stimulus.interval = {} ms takes the place of the times of {}",
                Number(interval),
                self.name()
            )),
            (None, Some(_)) if !samples.times_have_unit => notes.push(format!(
                "the times of {} are taken to be in ms",
                self.name()
            )),
            _ => {}
        }
        let count = samples.values.len() / samples.width.max(1);
        let length = match (self.interval, samples.times.as_deref()) {
            (Some(interval), _) => count as f64 * interval,
            (None, Some(&[first, .., before, last])) => last - first + (last - before),
            (None, Some(&[first, last])) => 2.0 * (last - first),
            _ => return notes,
        };
        let (begin, name) = (self.begin(), self.name());
        if begin > 0.0 && begin < end {
            let begin = Number(begin);
            notes.push(format!(
                "{name} begins at {begin} ms: there is no stimulus before it"
            ));
        }
        if begin < 0.0 {
            let begin = Number(begin);
            notes.push(format!(
                "{name} begins at {begin} ms: what it has before 0 ms is not used"
            ));
        }
        if begin + length < end * (1.0 - 1e-9) {
            let (last, end) = (Number(begin + length), Number(end));
            notes.push(format!(
                "{name} ends at {last} ms, and the run at {end} ms: there is no stimulus after it"
            ));
        }
        notes
    }

    /// When the first sample begins, ms.
    pub(super) fn begin(&self) -> f64 {
        let times = self
            .samples
            .as_ref()
            .and_then(|samples| samples.times.as_ref());
        let own = match (self.interval, times) {
            (None, Some(times)) => times.first().copied(),
            _ => None,
        };
        self.onset.or(own).unwrap_or_default()
    }

    /// What was read, ready to be asked for the steps of a grid.
    pub(super) fn resampled(&self, channels: usize) -> Result<Resampled, DynamicsError> {
        let samples = self.samples()?;
        let width = samples.width.max(1);
        let count = samples.values.len() / width;
        if ![1, channels].contains(&width) || channels == 0 {
            let allowed = match channels {
                0 => "none: the model takes no input".to_owned(),
                1 => "[samples, 1]: the model has one input channel".to_owned(),
                _ => format!(
                    "[samples, 1], or [samples, {channels}]: one column for each input channel"
                ),
            };
            let found = format!("{} of the shape [{count}, {width}]", self.name());
            let known = match samples.times {
                None => self.known_times(),
                Some(_) => String::new(),
            };
            return Err(refused("file", found, allowed + &known));
        }
        let mut times = match (&samples.times, self.interval) {
            (_, Some(interval)) => (0..count).map(|n| n as f64 * interval).collect(),
            (Some(times), None) if times.len() == count => times.clone(),
            (Some(times), None) => {
                let found = format!("{} with {}", self.name(), counted(times.len(), "instant"));
                return Err(refused(
                    "file",
                    found,
                    format!("as many as samples, {count}"),
                ));
            }
            (None, None) => {
                let allowed = format!(
                    "ms from one sample to the next, for {} has no times{}",
                    self.name(),
                    self.known_times()
                );
                return Err(refused("interval", "nothing", allowed));
            }
        };
        let first = times.first().copied().unwrap_or_default();
        for time in &mut times {
            *time += self.begin() - first;
        }
        // The last sample holds as long as the one before it.
        let end = match (times.as_slice(), self.interval) {
            ([.., before, last], _) => last + (last - before),
            ([only], Some(interval)) => only + interval,
            ([_], None) => {
                let found = format!("{} of one sample", self.name());
                let allowed =
                    "two samples or more, or stimulus.interval: how long the only one lasts, ms";
                return Err(refused("file", found, allowed));
            }
            ([], _) => 0.0,
        };
        times.push(end);
        Ok(Resampled {
            times,
            width,
            values: samples.values.clone(),
            interpolation: self.interpolation,
        })
    }
}

/// Samples, and means of what they stand for.
#[derive(Clone, Debug)]
pub(super) struct Resampled {
    /// The beginnings of the samples, then the end of the last one.
    times: Vec<f64>,
    width: usize,
    /// `[samples, width]`
    values: Vec<f64>,
    interpolation: Interpolation,
}

impl Resampled {
    /// The mean of each column over a step.
    pub(super) fn means(&self, at: Clock) -> Vec<f64> {
        let (from, to) = (at.time, at.time + at.dt);
        let mut sums = vec![0.0; self.width];
        let first = self
            .times
            .partition_point(|time| *time <= from)
            .saturating_sub(1);
        let spans = self.times.windows(2).enumerate().skip(first);
        for (index, span) in spans.take_while(|(_, span)| span[0] < to) {
            let (low, high) = (from.max(span[0]), to.min(span[1]));
            if high <= low {
                continue;
            }
            let row = |index: usize| {
                self.values
                    .get(index * self.width..(index + 1) * self.width)
            };
            let own = row(index).unwrap_or_default();
            let next = match self.interpolation {
                Interpolation::Hold => own,
                Interpolation::Linear => row(index + 1).unwrap_or(own),
            };
            let share = (0.5 * (low + high) - span[0]) / (span[1] - span[0]);
            for ((sum, own), next) in sums.iter_mut().zip(own).zip(next) {
                *sum += (own + (next - own) * share) * (high - low) / at.dt;
            }
        }
        sums
    }
}

/// What numbers in one unit are multiplied by to be in another, where the two differ in the prefix of their first part alone.
pub(super) fn factor(from: &str, to: &str) -> Option<f64> {
    let plain = |unit: &str| {
        let unit = unit.trim().replace(['u', 'μ'], "µ").replace("^2", "²");
        unit.replace("m2", "m²").replace(' ', "")
    };
    let (from, to) = (plain(from), plain(to));
    let none = |unit: &str| matches!(unit, "" | "1");
    if from == to || from.is_empty() || (none(&from) && none(&to)) {
        return Some(1.0);
    }
    let prefixes = [
        ("p", -12),
        ("n", -9),
        ("µ", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
    ];
    let mut all = prefixes
        .iter()
        .flat_map(|one| prefixes.iter().map(move |other| (one, other)));
    all.find_map(|((one, small), (other, large))| {
        let base = from.strip_prefix(one)?;
        let known = ["A", "V", "Hz", "S"]
            .iter()
            .any(|unit| base.starts_with(unit));
        (known && to.strip_prefix(other) == Some(base)).then(|| 10.0_f64.powi(small - large))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;
    use granule_dynamics::Grid;

    fn config(times: Option<Vec<f64>>, width: usize, values: &[f64]) -> FileConfig {
        FileConfig {
            file: "a.csv".into(),
            samples: Some(Samples {
                times,
                width,
                values: values.to_vec(),
                unit: None,
                times_have_unit: true,
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_unit_of_time_that_nothing_says_is_noted() {
        let mut config = config(Some(vec![0.0, 5.0]), 1, &[1.0, 2.0]);
        let said = |config: &FileConfig| {
            let notes = config.notes(&["1"], 10.0);
            let times = "the times of a.csv are taken to be in ms";
            notes.iter().any(|note| note == times)
        };
        assert!(!said(&config));
        config.samples.as_mut().unwrap().times_have_unit = false;
        assert!(said(&config));
        config.interval = Some(5.0);
        assert!(!said(&config));
    }

    fn courses(config: &FileConfig, channels: usize, grid: &Grid) -> Vec<f64> {
        let samples = config.resampled(channels).unwrap();
        let steps = 0..grid.steps();
        steps
            .flat_map(|step| samples.means(grid.clock(step)))
            .collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_close(*found, *expected, 1e-12);
        }
    }

    #[test]
    fn steps_get_the_mean_of_what_they_cover() {
        let grid = Grid::over(2.0, 0.5).unwrap();
        // Twice as fine as the steps, then twice as coarse.
        let fine = config(
            Some((0..8).map(|n| 10.0 + 0.25 * f64::from(n)).collect()),
            1,
            &[1.0, 3.0, 0.0, 0.0, 2.0, 2.0, 5.0, 1.0],
        );
        let fine = FileConfig {
            onset: Some(0.0),
            ..fine
        };
        close(&courses(&fine, 1, &grid), &[2.0, 0.0, 2.0, 3.0]);
        let mut coarse = config(None, 1, &[4.0, 8.0]);
        coarse.interval = Some(0.75);
        close(&courses(&coarse, 1, &grid), &[4.0, 6.0, 8.0, 0.0]);
        coarse.interpolation = Interpolation::Linear;
        let charge: f64 = courses(&coarse, 1, &grid).iter().map(|x| 0.5 * x).sum();
        assert_close(charge, 0.75 * 6.0 + 0.75 * 8.0, 1e-12);
        coarse.interpolation = Interpolation::Hold;
        coarse.onset = Some(0.6);
        close(&courses(&coarse, 1, &grid), &[0.0, 3.2, 5.2, 8.0]);
    }

    #[test]
    fn the_times_of_a_file_are_when_its_samples_act() {
        let grid = Grid::over(4.0, 0.5).unwrap();
        // Not at equal distances: 2 for 0.75 ms, 4 for 1.25 ms, and 6 for as long as that.
        let mut late = config(Some(vec![1.0, 1.75, 3.0]), 1, &[2.0, 4.0, 6.0]);
        let held = [0.0, 0.0, 2.0, 3.0, 4.0, 4.0, 6.0, 6.0];
        close(&courses(&late, 1, &grid), &held);
        let notes = late.notes(&["1"], 4.0);
        assert!(
            notes.len() == 1 && notes[0].contains("begins at 1 ms"),
            "{notes:?}"
        );
        assert!(late.notes(&["1"], 10.0)[1].contains("ends at 4.25 ms"));
        late.interpolation = Interpolation::Linear;
        let charge: f64 = courses(&late, 1, &grid).iter().map(|x| 0.5 * x).sum();
        assert_close(charge, 0.75 * 3.0 + 1.25 * 5.0 + 1.0 * 6.0, 1e-12);
        late.interpolation = Interpolation::Hold;
        late.onset = Some(0.0);
        let held = [2.0, 3.0, 4.0, 4.0, 6.0, 6.0, 3.0, 0.0];
        close(&courses(&late, 1, &grid), &held);
        let early = config(Some(vec![-1.0, 0.5]), 1, &[3.0, 5.0]);
        close(&courses(&early, 1, &grid)[..2], &[3.0, 5.0]);
        assert!(early.notes(&["1"], 2.0)[0].contains("before 0 ms is not used"));
    }

    #[test]
    fn columns_go_to_channels() {
        let grid = Grid::over(1.0, 0.5).unwrap();
        let times = Some(vec![0.0, 0.5]);
        let two = config(times.clone(), 2, &[1.0, 2.0, 3.0, 4.0]);
        close(&courses(&two, 2, &grid), &[1.0, 2.0, 3.0, 4.0]);
        let one = config(times, 1, &[1.0, 3.0]);
        close(&courses(&one, 3, &grid), &[1.0, 3.0]);
        let error = two.resampled(3).unwrap_err().to_string();
        assert!(
            error.contains("a.csv of the shape [2, 2]") && error.contains("[samples, 3]"),
            "{error}"
        );
        let error = config(None, 1, &[1.0]).resampled(1).unwrap_err();
        assert!(
            error.to_string().starts_with("stimulus.interval = nothing")
                && error.to_string().contains("time (ms)"),
            "{error}"
        );
        let lone = config(Some(vec![0.0]), 1, &[1.0]);
        let error = lone.resampled(1).unwrap_err().to_string();
        assert!(
            error.contains("a.csv of one sample") && error.contains("stimulus.interval"),
            "{error}"
        );
        let lasting = FileConfig {
            interval: Some(0.5),
            ..lone
        };
        close(&courses(&lasting, 1, &grid), &[1.0, 0.0]);
        let notes = lasting.notes(&["1"], 0.5);
        assert!(
            notes[0].contains("takes the place of the times of a.csv"),
            "{notes:?}"
        );
        let far = config(Some(vec![-1e300, 0.0]), 1, &[1.0, 2.0]);
        let error = far.check_begin(1e9).unwrap_err().to_string();
        assert!(error.contains("a.csv, whose first time is"), "{error}");
        let unread = FileConfig {
            file: "a.csv".into(),
            ..Default::default()
        };
        assert!(
            unread
                .resampled(1)
                .unwrap_err()
                .to_string()
                .contains("a.csv")
        );
    }

    #[test]
    fn units_are_converted_or_refused() {
        for (from, to, expected) in [
            ("nA/cm^2", "µA/cm²", Some(1e-3)),
            ("uA/cm2", "µA/cm²", Some(1.0)),
            ("A/cm²", "µA/cm²", Some(1e6)),
            ("pA", "pA", Some(1.0)),
            ("nA", "pA", Some(1e3)),
            ("nA", "µA/cm²", None),
            ("kHz", "Hz", Some(1e3)),
            ("1", "1", Some(1.0)),
            ("mV", "1", None),
            ("mV/ms", "mV/ms", Some(1.0)),
        ] {
            match (factor(from, to), expected) {
                (Some(found), Some(expected)) => assert_close(found, expected, 1e-12),
                (found, expected) => assert_eq!(found, expected, "{from} {to}"),
            }
        }
        let mut stimulus = config(None, 1, &[1.0]);
        assert_close(stimulus.conversion(&["µA/cm²"]).unwrap(), 1.0, 0.0);
        stimulus.unit = Some("nA".into());
        let error = stimulus.conversion(&["µA/cm²"]).unwrap_err().to_string();
        assert!(
            error.contains("stimulus.unit = nA") && error.contains("µA/cm²"),
            "{error}"
        );
    }
}
