//! What Kilosort writes and Phy sorts: spikes as samples of the recording, each with its cluster.
//!
//! `spike_times.npy` and `spike_clusters.npy` have a number for each spike, `params.py` says `sample_rate`, and
//! `cluster_group.tsv`, or `cluster_KSLabel.tsv` where nobody sorted, which clusters are good.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use granule_io::budget;
use granule_io::words::counted;

use super::grid::Grid;
use super::numpy::Folder;
use super::spikes::Counts;
use super::{Container, Read, missing, without_width};
use crate::arrays::Array;
use crate::decoding::config::{DecodingConfig, wrong};
use crate::decoding::found::{Found, Numbers};
use crate::{DataError, reading};

const UNITS: &str = "units";
const TIMES: &str = "spike_times";
const CLUSTERS: &str = "spike_clusters";
const PARAMETERS: &str = "params.py";
const RATE: &str = "sample_rate";
const GOOD: &str = "good";
/// Bytes of a text file at most.
const MOST_TEXT: u64 = 1 << 24;

/// A folder of sorted spikes; the other `.npy` files in it are arrays as in any folder.
pub(super) struct Phy<'a> {
    path: &'a Path,
    folder: Folder<'a>,
    binned: Option<(Grid, Option<f64>)>,
    notes: Vec<String>,
}

/// Spikes in the order of their times.
struct Spikes {
    /// The time in s of each, and its unit.
    spikes: Vec<(f64, usize)>,
    /// The clusters that are units, in order, and how many clusters there are.
    units: Vec<i64>,
    clusters: usize,
    /// The file that says which clusters are good.
    sorted: Option<&'static str>,
}

impl<'a> Phy<'a> {
    pub fn is_one(path: &Path) -> bool {
        [TIMES, CLUSTERS]
            .iter()
            .all(|name| path.join(format!("{name}.npy")).is_file())
    }

    /// `config` says how times become bins: as many as the target has rows.
    pub fn new(path: &'a Path, config: Option<&DecodingConfig>) -> Result<Self, DataError> {
        let mut phy = Self {
            path,
            folder: Folder(path),
            binned: None,
            notes: Vec::new(),
        };
        let Some((config, width)) = config.and_then(|config| Some((config, config.bin_width?)))
        else {
            return Ok(phy);
        };
        if config.holds_out() {
            let allowed = "unset in a folder of sorted spikes, whose bins are the rows of a target";
            return Err(wrong("held_out", "set", allowed));
        }
        if !phy.folder.has(&config.target)? {
            return Err(missing("target", &config.target, path, &phy.names()?));
        }
        let mut rows = 0;
        phy.folder.read(&config.target, &mut |array| {
            rows = array.extents().first().copied().unwrap_or(0);
            Ok(())
        })?;
        let start = config.start.unwrap_or(0.0);
        let mut grid = Grid::over(width, &[[start, start + rows as f64 * width]])?;
        // Sums of steps are not exact.
        if let Some(only) = grid.stretches.first_mut() {
            only.bins = rows;
        }
        phy.notes.push(format!(
            "{}: a row for each bin of {width} s from {start} s on",
            phy.folder.place(&config.target).display()
        ));
        phy.binned = Some((grid, config.smoothing));
        Ok(phy)
    }

    fn is_units(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(name == UNITS && !self.folder.has(UNITS)?)
    }

    /// What a text file says; none where there is none.
    fn text(&self, name: &str) -> Result<Option<String>, DataError> {
        let path = self.path.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let (file, _) = reading::open(&path)?;
        let mut bytes = Vec::new();
        let read = file.take(MOST_TEXT).read_to_end(&mut bytes);
        read.map_err(|error| DataError::io(&path, "read", error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Samples a second.
    fn rate(&self) -> Result<f64, DataError> {
        let text = self.text(PARAMETERS)?.unwrap_or_default();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(RATE));
        let value = line.and_then(|line| line.trim_start().strip_prefix('='));
        let value = value.map(|value| value.split('#').next().unwrap_or_default().trim());
        let rate = value.and_then(|value| value.trim_end_matches('.').parse::<f64>().ok());
        rate.filter(|rate| *rate > 0.0 && rate.is_finite())
            .ok_or_else(|| {
                let reason = format!("has to say the samples a second, as in {RATE} = 30000");
                DataError::format(&self.path.join(PARAMETERS), reason)
            })
    }

    /// The clusters that are good, and the file that says so; none where no file does.
    fn good(&self) -> Result<Option<(HashSet<i64>, &'static str)>, DataError> {
        for name in ["cluster_group.tsv", "cluster_KSLabel.tsv"] {
            let Some(text) = self.text(name)? else {
                continue;
            };
            let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty());
            // Of rows of one cluster the last counts.
            let mut good = HashMap::new();
            for (row, line) in rows.enumerate() {
                let mut cells = line.split('\t').map(str::trim);
                let (id, group) = (cells.next().unwrap_or_default(), cells.next());
                let Ok(id) = id.parse::<i64>() else {
                    let reason = format!(
                        "row {row}, counted from 0, begins with {id:?}, no number of a cluster"
                    );
                    return Err(DataError::format(&self.path.join(name), reason));
                };
                good.insert(id, group == Some(GOOD));
            }
            good.retain(|_, good| *good);
            return Ok(Some((good.into_keys().collect(), name)));
        }
        Ok(None)
    }

    fn spikes(&mut self) -> Result<Spikes, DataError> {
        let rate = self.rate()?;
        let mut column = |name: &str| {
            let mut numbers = Vec::new();
            self.folder.read(name, &mut |array: Array<'_>| {
                numbers = array.column()?;
                Ok(())
            })?;
            Ok::<_, DataError>(numbers)
        };
        let (times, clusters) = (column(TIMES)?, column(CLUSTERS)?);
        let place = self.folder.place(TIMES);
        if times.len() != clusters.len() {
            return Err(DataError::CountMismatch {
                inputs_path: place,
                inputs: times.len(),
                targets_path: self.folder.place(CLUSTERS),
                targets: clusters.len(),
            });
        }
        if let Some(at) = times.windows(2).position(|pair| pair[0] > pair[1]) {
            let reason = format!(
                "spike {} is before spike {at}, counted from 0: spikes have to ascend",
                at + 1
            );
            return Err(DataError::format(&place, reason));
        }
        let mut known = Vec::new();
        budget::extend(&mut known, &clusters, place.display())?;
        known.sort_unstable();
        known.dedup();
        let count = known.len();
        let good = self.good()?;
        let sorted = good.as_ref().map(|(_, name)| *name);
        let units: Vec<i64> = match good {
            Some((good, _)) => known.into_iter().filter(|id| good.contains(id)).collect(),
            None => known,
        };
        let at: HashMap<i64, usize> = units.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let mut spikes = Vec::new();
        for (&time, cluster) in times.iter().zip(&clusters) {
            if let Some(&unit) = at.get(cluster) {
                let spike = [(time as f64 / rate, unit)];
                budget::extend(&mut spikes, &spike, place.display())?;
            }
        }
        Ok(Spikes {
            spikes,
            units,
            clusters: count,
            sorted,
        })
    }
}

impl Spikes {
    /// Which clusters the units are.
    fn tell(&self) -> String {
        match self.sorted {
            None => format!("all {}", counted(self.clusters, "cluster")),
            Some(name) => format!(
                "{} of {} that {name} calls good",
                self.units.len(),
                counted(self.clusters, "cluster")
            ),
        }
    }
}

impl Container for Phy<'_> {
    fn kind(&self) -> &'static str {
        "a folder of sorted spikes (Kilosort, Phy)"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let mut names = self.folder.names()?;
        if self.is_units(UNITS)? {
            names.insert(0, UNITS.to_owned());
        }
        Ok(names)
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.is_units(name)? || self.folder.has(name)?)
    }

    fn place(&self, name: &str) -> PathBuf {
        match name {
            UNITS => self.folder.place(TIMES),
            name => self.folder.place(name),
        }
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        if !self.is_units(name)? {
            return self.folder.read(name, read);
        }
        if self.binned.is_none() {
            return Err(without_width(name));
        }
        let spikes = self.spikes()?;
        let place = self.place(name);
        if spikes.units.is_empty() {
            let what = format!("holds no unit: {}", spikes.tell());
            return Err(DataError::Empty { path: place, what });
        }
        let Some((grid, smoothing)) = &self.binned else {
            return Err(without_width(name));
        };
        self.notes.push(format!(
            "{}: the units are {}",
            place.display(),
            spikes.tell()
        ));
        let mut counts = Counts::new(grid, spikes.units.len(), &place)?;
        for &(time, unit) in &spikes.spikes {
            counts.add(unit, time);
        }
        counts.read(*smoothing, &mut self.notes, read)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn by_shape(&self) -> bool {
        false
    }

    fn has_times(&self) -> bool {
        true
    }

    fn describe(&mut self, name: &str) -> Result<Option<Found>, DataError> {
        if !self.is_units(name)? {
            return Ok(None);
        }
        let spikes = self.spikes()?;
        let times = || spikes.spikes.iter().map(|(time, _)| *time);
        let range = times().next().zip(times().next_back());
        let mean = times().sum::<f64>() / spikes.spikes.len().max(1) as f64;
        let range = range.map(|(first, last)| [first, mean, last]);
        Ok(Some(Found {
            name: name.to_owned(),
            shape: vec![spikes.units.len() as u64],
            dtype: "spike times".to_owned(),
            numbers: Some(Numbers::of(range, spikes.units.len(), &[])),
            role: Some(format!(
                "signal: {} of {}, counted in bins (bin_width)",
                counted(spikes.spikes.len(), "spike"),
                spikes.tell()
            )),
            problem: None,
        }))
    }
}
