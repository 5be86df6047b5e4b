//! Recordings with times: spikes, series and trials of NWB files, brought to bins.
//!
//! Neurodata Without Borders 2: times are in s; `units/spike_times` holds the spikes of one unit after the other and
//! `spike_times_index` where each ends; a series has `data` with `timestamps`, or `starting_time` with a `rate`; a table of
//! intervals has `start_time` and `stop_time`.

use std::path::PathBuf;

use granule_io::budget;
use granule_io::words::{counted, grouped};
use hdf5_pure::AttrValue;

use super::grid::{Grid, Stretch};
use super::hdf5::{Elements, Hdf5};
use super::numbers::LittleEndian;
use super::spikes::Counts;
use super::{Container, Read, missing, without_width};
use crate::DataError;
use crate::arrays::{Array, Kind};
use crate::decoding::config::{DecodingConfig, wrong};
use crate::decoding::found::{Found, Numbers, Suggestion};

const SPIKES: &str = "spike_times";
const SPIKES_INDEX: &str = "spike_times_index";
const DATA: &str = "data";
const STAMPS: &str = "timestamps";
const START: &str = "starting_time";
const TRIAL_START: &str = "start_time";
const TRIAL_STOP: &str = "stop_time";

/// Bins in s that are suggested.
const USUAL_BIN: f64 = 0.02;

/// An NWB file, or another HDF5 file of the same structure.
pub(super) struct Nwb<'a> {
    hdf5: Hdf5<'a>,
    /// Paths of groups, without the last `/`.
    units: Vec<String>,
    series: Vec<String>,
    tables: Vec<String>,
    binned: Option<Binned>,
    notes: Vec<String>,
}

/// How times become bins.
struct Binned {
    grid: Grid,
    smoothing: Option<f64>,
    /// The table of trials, how many it has, and which of them the stretches of the grid are.
    trials: Option<(String, usize, Vec<usize>)>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
enum Object {
    Units(String),
    Series(String),
    Trials(String),
    /// A column of a table of trials, and the table.
    Column(String, String),
    Plain(String),
}

impl Object {
    fn path(&self) -> &str {
        match self {
            Self::Units(path)
            | Self::Series(path)
            | Self::Trials(path)
            | Self::Column(path, _)
            | Self::Plain(path) => path,
        }
    }
}

/// When the samples of a series were taken.
enum Times {
    Regular { start: f64, rate: f64, count: usize },
    Stamps(Vec<f64>),
}

impl Times {
    fn at(&self, sample: usize) -> f64 {
        match self {
            Self::Regular { start, rate, .. } => start + sample as f64 / rate,
            Self::Stamps(stamps) => stamps.get(sample).copied().unwrap_or(f64::NAN),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Regular { count, .. } => *count,
            Self::Stamps(stamps) => stamps.len(),
        }
    }

    /// Seconds from one sample to the next, in the mean.
    fn distance(&self) -> f64 {
        match self {
            Self::Regular { rate, .. } => 1.0 / rate,
            Self::Stamps(stamps) => match stamps.as_slice() {
                [first, .., last] => (last - first) / (stamps.len() - 1) as f64,
                _ => 0.0,
            },
        }
    }

    /// From the first sample to one distance after the last.
    fn span(&self) -> [f64; 2] {
        let count = self.count();
        let last = self.at(count.saturating_sub(1));
        [self.at(0), last + self.distance()]
    }
}

impl<'a> Nwb<'a> {
    /// Whether a file has times.
    pub fn is_one(hdf5: &Hdf5<'_>) -> Result<bool, DataError> {
        let marked = hdf5.group_has_attribute("", "nwb_version")?;
        Ok(marked || hdf5.groups.iter().any(|group| is_units(hdf5, group)))
    }

    /// `config` says how times become bins.
    pub fn new(hdf5: Hdf5<'a>, config: Option<&DecodingConfig>) -> Result<Self, DataError> {
        let of = |what: fn(&Hdf5<'_>, &str) -> bool| {
            let groups = hdf5.groups.iter().filter(|group| what(&hdf5, group));
            let groups = groups.map(|group| group.trim_end_matches('/').to_owned());
            groups.collect()
        };
        let (units, series, tables) = (of(is_units), of(is_series), of(is_table));
        let mut nwb = Self {
            hdf5,
            units,
            series,
            tables,
            binned: None,
            notes: Vec::new(),
        };
        if let Some((config, width)) = config.and_then(|config| Some((config, config.bin_width?))) {
            nwb.binned = Some(nwb.bins(config, width)?);
        }
        Ok(nwb)
    }

    /// Everything that has a name, in the order in which names are shown.
    fn objects(&self) -> Vec<Object> {
        let of = |paths: &[String], object: fn(String) -> Object| {
            let paths = paths.iter().cloned();
            paths.map(object).collect::<Vec<_>>()
        };
        let mut objects = of(&self.units, Object::Units);
        objects.extend(of(&self.series, Object::Series));
        objects.extend(of(&self.tables, Object::Trials));
        for dataset in &self.hdf5.datasets {
            let (group, name) = dataset.rsplit_once('/').unwrap_or(("", dataset));
            let has = |groups: &[String]| groups.iter().any(|own| own == group);
            let part = (has(&self.units) && [SPIKES, SPIKES_INDEX].contains(&name))
                || (has(&self.series) && [DATA, STAMPS, START].contains(&name))
                || (has(&self.tables) && [TRIAL_START, TRIAL_STOP].contains(&name));
            if part {
                continue;
            }
            objects.push(if has(&self.tables) {
                Object::Column(dataset.clone(), group.to_owned())
            } else {
                Object::Plain(dataset.clone())
            });
        }
        objects
    }

    /// What is read under a name: a data set by its own path as it is, where no times are asked for.
    fn wanted(&self, name: &str) -> Result<Option<Object>, DataError> {
        let path = name.trim_matches('/');
        if self.binned.is_none() && self.hdf5.has(path) {
            Ok(Some(Object::Plain(path.to_owned())))
        } else {
            self.find(name)
        }
    }

    /// What a name stands for: a path, or the end of only one.
    fn find(&self, name: &str) -> Result<Option<Object>, DataError> {
        let name = name.trim_matches('/');
        let name = match name.rsplit_once('/') {
            Some((series, DATA)) if self.series.iter().any(|own| own == series) => series,
            _ => name,
        };
        let mut objects = self.objects();
        if let Some(at) = objects.iter().position(|object| object.path() == name) {
            return Ok(Some(objects.swap_remove(at)));
        }
        let ends = |object: &Object| {
            let before = object.path().strip_suffix(name);
            before.is_some_and(|before| before.ends_with('/'))
        };
        let mut found = objects.into_iter().filter(ends);
        let first = found.next();
        match (first, found.next()) {
            (Some(first), Some(second)) => {
                let reason = format!(
                    "{name:?} is the name of {} and of {}; write more of the path",
                    first.path(),
                    second.path()
                );
                Err(DataError::format(self.hdf5.path, reason))
            }
            (first, _) => Ok(first),
        }
    }

    /// Lays the bins.
    fn bins(&mut self, config: &DecodingConfig, width: f64) -> Result<Binned, DataError> {
        // From here on names are those of what has times.
        let unbinned = Binned {
            grid: Grid::over(width, &[])?,
            smoothing: None,
            trials: None,
        };
        self.binned = Some(unbinned);
        // Channels that are held out are their own target.
        let target = if config.holds_out() {
            &config.signal
        } else {
            &config.target
        };
        let Some(target) = self.find(target)? else {
            let names = self.names()?;
            return Err(missing("target", &config.target, self.hdf5.path, &names));
        };
        let times = match &target {
            Object::Series(path) => Some((path.clone(), self.times(path)?)),
            _ => None,
        };
        let (spans, rows, table) = match &config.trial {
            Some(name) => {
                let Some(Object::Trials(table)) = self.find(name)? else {
                    let allowed = format!(
                        "a table with {TRIAL_START} and {TRIAL_STOP}, with bin_width; there is {}",
                        listed(&self.tables)
                    );
                    return Err(wrong("trial", format!("{name:?}"), allowed));
                };
                let (spans, rows, count) = self.trials(&table, width)?;
                (spans, rows, Some((table, count)))
            }
            None => match (&times, &target) {
                (Some((_, times)), _) => {
                    let [first, last] = times.span();
                    (
                        vec![[config.start.unwrap_or(first), last]],
                        Vec::new(),
                        None,
                    )
                }
                (None, Object::Column(_, table)) => {
                    let allowed = format!("{table:?}, the trials that {:?} is of", config.target);
                    return Err(wrong("trial", "unset", allowed));
                }
                (None, _) if config.holds_out() => {
                    let allowed = format!(
                        "a table with {TRIAL_START} and {TRIAL_STOP}, over which bins are laid; there is {}",
                        listed(&self.tables)
                    );
                    return Err(wrong("trial", "unset", allowed));
                }
                (None, _) => {
                    let allowed = "unset where the target has no times: bins are laid from its first sample, or over trials";
                    return Err(wrong("bin_width", width, allowed));
                }
            },
        };
        let mut grid = Grid::over(width, &spans)?;
        let mut rows = rows;
        if let Some((path, times)) = &times {
            let counts = samples(&grid, times)?;
            let covered: Vec<bool> = grid
                .stretches
                .iter()
                .map(|&stretch| grid.gaps(stretch, &counts, times.distance()).is_some())
                .collect();
            let left = covered.iter().filter(|covered| !**covered).count();
            match &table {
                None if left > 0 => return Err(self.uncovered(path, &grid, &counts)),
                Some((table, _)) if left > 0 => self.notes.push(format!(
                    "{}: {} left out, of which {path} has too few samples",
                    self.hdf5.place(table).display(),
                    counted(left, "trial")
                )),
                _ => {}
            }
            grid.retain(&covered);
            let mut at = 0;
            rows.retain(|_| {
                at += 1;
                covered.get(at - 1) == Some(&true)
            });
        }
        if grid.bins() == 0 {
            let reason = format!("leaves no bin of {width} s (data.decoding.bin_width)");
            return Err(DataError::format(&self.hdf5.place(target.path()), reason));
        }
        Ok(Binned {
            grid,
            smoothing: config.smoothing,
            trials: table.map(|(table, count)| (table, count, rows)),
        })
    }

    /// Where each trial of a table begins and ends, in order, its row, and how many there are.
    #[expect(clippy::type_complexity, reason = "said once, taken apart at once")]
    fn trials(
        &mut self,
        table: &str,
        width: f64,
    ) -> Result<(Vec<[f64; 2]>, Vec<usize>, usize), DataError> {
        let column = |name: &str| self.hdf5.doubles(&format!("{table}/{name}"));
        let (starts, stops) = (column(TRIAL_START)?, column(TRIAL_STOP)?);
        let place = self.hdf5.place(table);
        if starts.len() != stops.len() {
            let reason = format!(
                "{TRIAL_START} has {} rows, {TRIAL_STOP} has {}",
                starts.len(),
                stops.len()
            );
            return Err(DataError::format(&place, reason));
        }
        let (mut spans, mut rows) = (Vec::new(), Vec::new());
        let mut last: Option<(usize, f64)> = None;
        let mut left = 0;
        for (row, (&start, &stop)) in starts.iter().zip(&stops).enumerate() {
            let whole =
                start.is_finite() && stop.is_finite() && stop - start >= width * (1.0 - 1e-6);
            if !whole {
                left += 1;
                continue;
            }
            if let Some((before, end)) = last.filter(|(_, end)| start < end - width * 1e-6) {
                let reason = format!(
                    "row {row} begins at {start} s, before row {before} ends at {end} s: trials may not overlap and have to ascend"
                );
                return Err(DataError::format(&place, reason));
            }
            last = Some((row, stop));
            budget::extend(&mut spans, &[[start, stop]], place.display())?;
            budget::extend(&mut rows, &[row], place.display())?;
        }
        if left > 0 {
            self.notes.push(format!(
                "{}: {} left out, shorter than a bin or without times",
                place.display(),
                counted(left, "trial")
            ));
        }
        Ok((spans, rows, starts.len()))
    }

    fn uncovered(&self, series: &str, grid: &Grid, counts: &[u32]) -> DataError {
        let mut longest = (0, 0.0);
        for stretch in &grid.stretches {
            let own = counts.get(stretch.first..stretch.first + stretch.bins);
            let mut bin = 0;
            for run in own
                .unwrap_or_default()
                .chunk_by(|a, b| (*a == 0) == (*b == 0))
            {
                if run.first() == Some(&0) && run.len() > longest.0 {
                    longest = (run.len(), stretch.start + bin as f64 * grid.width);
                }
                bin += run.len();
            }
        }
        let (bins, from) = longest;
        let reason = format!(
            "has no sample in {} in a row, from {from} s on: take longer bins (data.decoding.bin_width), trials \
             (data.decoding.trial) that leave the gap out, or another data.decoding.start",
            counted(bins, "bin")
        );
        DataError::format(&self.hdf5.place(series), reason)
    }

    fn times(&self, series: &str) -> Result<Times, DataError> {
        let place = self.hdf5.place(series);
        let data = self.hdf5.dataset(&format!("{series}/{DATA}"))?;
        let shape = self.hdf5.shape(&data)?;
        let count = shape.first().copied().unwrap_or(0);
        if count > self.hdf5.limit() {
            return Err(DataError::TooLarge {
                path: place,
                what: "the number of samples that it claims".to_owned(),
                limit: self.hdf5.limit(),
            });
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let stamps = format!("{series}/{STAMPS}");
        if self.hdf5.has(&stamps) {
            let stamps = self.hdf5.doubles(&stamps)?;
            if stamps.len() != count {
                let reason = format!(
                    "has {} and {} timestamps",
                    counted(count, "sample"),
                    stamps.len()
                );
                return Err(DataError::format(&place, reason));
            }
            // NaN as well.
            let bad = |pair: &[f64]| !pair.first().zip(pair.get(1)).is_some_and(|(a, b)| a <= b);
            let infinite = stamps.iter().any(|time| time.is_infinite());
            if let Some(at) = stamps.windows(2).position(bad) {
                let reason = format!(
                    "its timestamps do not ascend: sample {} is at {} s, sample {} at {} s",
                    at,
                    stamps.get(at).copied().unwrap_or(f64::NAN),
                    at + 1,
                    stamps.get(at + 1).copied().unwrap_or(f64::NAN),
                );
                return Err(DataError::format(&place, reason));
            }
            if infinite || count < 2 {
                return Err(DataError::format(&place, "has no two samples with times"));
            }
            return Ok(Times::Stamps(stamps));
        }
        let path = format!("{series}/{START}");
        let start = self.hdf5.doubles(&path)?;
        let rate = self.hdf5.attribute(&path, "rate")?;
        match (start.as_slice(), rate.as_ref().and_then(number)) {
            (&[start], Some(rate)) if start.is_finite() && rate > 0.0 && rate.is_finite() => {
                Ok(Times::Regular { start, rate, count })
            }
            _ => Err(DataError::format(
                &place,
                "its starting_time or the rate of it is no time or rate",
            )),
        }
    }

    fn units(&mut self, units: &str, read: Read<'_>) -> Result<(), DataError> {
        let place = self.hdf5.place(units);
        let Some(Binned {
            grid, smoothing, ..
        }) = &self.binned
        else {
            return Err(without_width(units));
        };
        let ends = self.ends(units)?;
        let mut counts = Counts::new(grid, ends.len(), &place)?;
        self.each_spike(units, &ends, |unit, time| counts.add(unit, time))?;
        counts.read(*smoothing, &mut self.notes, read)
    }

    /// Where the spikes of each unit end among those of all.
    fn ends(&self, units: &str) -> Result<Vec<usize>, DataError> {
        let place = self.hdf5.place(&format!("{units}/{SPIKES_INDEX}"));
        let spikes = self.hdf5.dataset(&format!("{units}/{SPIKES}"))?;
        let &[all] = self.hdf5.shape(&spikes)?.as_slice() else {
            return Err(DataError::format(
                &place,
                format!("{SPIKES} has more than one extent"),
            ));
        };
        let index = self.hdf5.doubles(&format!("{units}/{SPIKES_INDEX}"))?;
        let mut ends = budget::with_capacity(index.len(), place.display())?;
        let mut last = 0.0;
        for (unit, &end) in index.iter().enumerate() {
            if !(end >= last && end <= all as f64 && end.fract() == 0.0) {
                let reason = format!(
                    "the spikes of unit {unit} end at {end}, after {last} of {}: no place in {SPIKES}",
                    counted(all as usize, "spike")
                );
                return Err(DataError::format(&place, reason));
            }
            last = end;
            ends.push(end as usize);
        }
        if last != all as f64 {
            let reason = format!("ends at {last}, {SPIKES} holds {all}");
            return Err(DataError::format(&place, reason));
        }
        Ok(ends)
    }

    fn each_spike(
        &self,
        units: &str,
        ends: &[usize],
        mut each: impl FnMut(usize, f64),
    ) -> Result<(), DataError> {
        let spikes = format!("{units}/{SPIKES}");
        if ends.last().is_none_or(|&all| all == 0) {
            return Ok(());
        }
        let (mut at, mut unit, mut last) = (0, 0, f64::NEG_INFINITY);
        self.hdf5.read(&spikes, (None, false), &mut |array| {
            array.each_double(|block| {
                for &time in block {
                    while ends.get(unit).is_some_and(|&end| at >= end) {
                        unit += 1;
                        last = f64::NEG_INFINITY;
                    }
                    if !(time.is_finite() && time >= last) {
                        let what = if time.is_finite() {
                            format!(
                                "{time} s follows {last} s: spike times of a unit have to ascend"
                            )
                        } else {
                            format!("{time} is no time")
                        };
                        let reason = format!("row {at}, of unit {unit}, counted from 0: {what}");
                        return Err(DataError::format(&self.hdf5.place(&spikes), reason));
                    }
                    each(unit, time);
                    last = time;
                    at += 1;
                }
                Ok(())
            })
        })
    }

    /// The mean of the samples in each bin.
    fn series(&mut self, series: &str, read: Read<'_>) -> Result<(), DataError> {
        let place = self.hdf5.place(series);
        let Some(Binned { grid, .. }) = &self.binned else {
            return Err(without_width(series));
        };
        let times = self.times(series)?;
        let counts = samples(grid, &times)?;
        let mut empty = 0;
        for &stretch in &grid.stretches {
            let Some(more) = grid.gaps(stretch, &counts, times.distance()) else {
                return Err(self.uncovered(series, grid, &counts));
            };
            empty += more;
        }
        let data = format!("{series}/{DATA}");
        let [scale, shift] = scale(&self.hdf5, &data)?;
        let bins = grid.bins();
        let mut means = Vec::new();
        let mut shape = Vec::new();
        let mut columns = 1;
        self.hdf5.read(&data, (None, false), &mut |array| {
            columns = match *array.extents().as_slice() {
                [_] => 1,
                [_, columns] => columns,
                ref extents => {
                    return Err(DataError::ArrayShape {
                        path: place.clone(),
                        found: extents.iter().map(|&extent| extent as u64).collect(),
                        allowed: "[samples] or [samples, channels] for a series".to_owned(),
                    });
                }
            };
            shape.push(bins as u64);
            if array.extents().len() > 1 {
                shape.push(columns as u64);
            }
            means = budget::filled(0.0_f64, bins.saturating_mul(columns), place.display())?;
            let mut at = 0;
            let mut bin = None;
            array.each_double(|block| {
                for &x in block {
                    if at % columns == 0 {
                        bin = grid.bin(times.at(at / columns));
                    }
                    let cell = bin.and_then(|bin| means.get_mut(bin * columns + at % columns));
                    if let Some(sum) = cell {
                        *sum += x;
                    }
                    at += 1;
                }
                Ok(())
            })
        })?;
        let row = columns.max(1);
        for (bin, &count) in means.chunks_exact_mut(row).zip(&counts) {
            if count > 0 {
                bin.iter_mut()
                    .for_each(|x| *x = *x / f64::from(count) * scale + shift);
            }
        }
        let bad = |bin: &&[f64]| bin.iter().any(|x| !x.is_finite());
        let not_finite = means.chunks_exact(row).filter(bad).count();
        if not_finite > 0 {
            let first = means
                .chunks_exact(row)
                .position(|bin| bad(&bin))
                .unwrap_or(0);
            let reason = format!(
                "{} of {} hold what is not finite, the first at {} s; trials (data.decoding.trial) can leave such times out",
                grouped(not_finite),
                counted(bins, "bin"),
                time_of(grid, first)
            );
            return Err(DataError::format(&place, reason));
        }
        grid.fill(&mut means, row, &counts);
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let mut note = format!(
            "{}: the mean of the samples in each bin, {:.1} of them",
            place.display(),
            total as f64 / bins.max(1) as f64
        );
        if empty > 0 {
            note.push_str(&format!(
                "; {} without a sample filled in on a line between those around",
                counted(empty, "bin")
            ));
        }
        self.notes.push(note);
        let limit = size_of_val(means.as_slice()) as u64;
        let mut numbers = LittleEndian::new(&means, f64::to_le_bytes);
        let order = (false, false);
        read(Array::laid_out(
            (Kind::F64, order),
            shape,
            &mut numbers,
            limit,
            &place,
        )?)
    }

    /// The row of its trial, for each bin.
    fn numbers_of_trials(&self, table: &str, read: Read<'_>) -> Result<(), DataError> {
        let place = self.hdf5.place(table);
        let Some(Binned { grid, trials, .. }) = &self.binned else {
            return Err(without_width(table));
        };
        let Some((_, _, rows)) = trials.as_ref().filter(|(own, ..)| own == table) else {
            let reason = "is a table of trials, which data.decoding.trial names";
            return Err(DataError::format(&place, reason));
        };
        let bins = grid.bins();
        let mut numbers = budget::with_capacity(bins, place.display())?;
        for (stretch, &row) in grid.stretches.iter().zip(rows) {
            let row = i64::try_from(row).unwrap_or(i64::MAX);
            numbers.resize(numbers.len() + stretch.bins, row);
        }
        let limit = size_of_val(numbers.as_slice()) as u64;
        let mut stream = LittleEndian::new(&numbers, i64::to_le_bytes);
        let (kind, shape) = ((Kind::I64, (false, false)), vec![bins as u64]);
        read(Array::laid_out(kind, shape, &mut stream, limit, &place)?)
    }

    /// A column of the table of trials, for the trials that have bins.
    fn column(&self, path: &str, table: &str, read: Read<'_>) -> Result<(), DataError> {
        let of_table = self
            .binned
            .as_ref()
            .and_then(|binned| binned.trials.as_ref());
        let Some((_, count, rows)) = of_table.filter(|(own, ..)| own == table) else {
            return self.hdf5.read(path, (None, false), read);
        };
        let mut chosen = None;
        let place = self.hdf5.place(path);
        self.hdf5.read(path, (None, false), &mut |array| {
            if array.extents().first() != Some(count) {
                let reason = format!(
                    "its shape is {:?}, the table has {}",
                    array.extents(),
                    counted(*count, "trial")
                );
                return Err(DataError::format(&place, reason));
            }
            chosen = Some(array.rows(rows)?);
            Ok(())
        })?;
        let Some((kind, shape, bytes)) = chosen else {
            return Ok(());
        };
        let limit = bytes.len() as u64;
        read(Array::laid_out(
            kind,
            shape,
            &mut &bytes[..],
            limit,
            &place,
        )?)
    }
}

impl Container for Nwb<'_> {
    fn kind(&self) -> &'static str {
        "an NWB file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let mut names = Vec::new();
        for object in self.objects() {
            if let Object::Plain(path) | Object::Column(path, _) = &object {
                let dataset = self.hdf5.dataset(path)?;
                let text = matches!(
                    self.hdf5.elements(&dataset)?,
                    Elements::Text
                        | Elements::Of {
                            kind: Kind::Bytes(_),
                            ..
                        }
                );
                // What describes the session.
                if text && self.hdf5.shape(&dataset)?.is_empty() {
                    continue;
                }
            }
            names.push(object.path().to_owned());
        }
        Ok(names)
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.wanted(name)?.is_some())
    }

    fn place(&self, name: &str) -> PathBuf {
        match self.wanted(name) {
            Ok(Some(object)) => self.hdf5.place(object.path()),
            _ => self.hdf5.place(name),
        }
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        match self.wanted(name)? {
            Some(Object::Units(path)) => self.units(&path, read),
            Some(Object::Series(path)) => self.series(&path, read),
            Some(Object::Trials(path)) => self.numbers_of_trials(&path, read),
            Some(Object::Column(path, table)) => self.column(&path, &table, read),
            Some(Object::Plain(path)) => self.hdf5.read(&path, (None, false), read),
            None => Err(DataError::format(&self.hdf5.place(name), "is not there")),
        }
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
        let mut found = Found {
            name: name.to_owned(),
            ..Found::default()
        };
        match self.find(name)? {
            Some(Object::Units(path)) => {
                let ends = self.ends(&path)?;
                let (mut spikes, mut sum) = (0_usize, 0.0);
                let mut range: Option<[f64; 2]> = None;
                self.each_spike(&path, &ends, |_, time| {
                    let [low, high] = range.unwrap_or([time, time]);
                    range = Some([low.min(time), high.max(time)]);
                    spikes += 1;
                    sum += time;
                })?;
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let silent = starts.zip(&ends).enumerate();
                let silent: Vec<usize> = silent
                    .filter_map(|(unit, (start, &end))| (start == end).then_some(unit))
                    .collect();
                found.shape = vec![ends.len() as u64];
                found.dtype = "spike times".to_owned();
                found.role = Some(format!(
                    "signal: {} of {}, counted in bins (bin_width)",
                    counted(spikes, "spike"),
                    counted(ends.len(), "unit")
                ));
                let range = range.map(|[low, high]| [low, sum / spikes.max(1) as f64, high]);
                found.numbers = Some(Numbers::of(range, ends.len(), &silent));
            }
            Some(Object::Series(path)) => {
                self.hdf5
                    .read(&format!("{path}/{DATA}"), (None, false), &mut |array| {
                        found.look(array).map(drop)
                    })?;
                let times = self.times(&path)?;
                let [first, last] = times.span();
                found.role = Some(format!(
                    "target or signal: {:.4} samples a second from {first:.3} to {last:.3} s, means in bins (bin_width)",
                    1.0 / times.distance()
                ));
            }
            Some(Object::Trials(path)) => {
                let (spans, _, count) = self.trials(&path, 0.0)?;
                self.notes.clear();
                found.shape = vec![count as u64];
                found.dtype = "intervals".to_owned();
                let range = spans.first().zip(spans.last());
                found.role = Some(format!(
                    "trial: {}{}",
                    counted(count, "trial"),
                    range.map_or(String::new(), |([first, _], [_, last])| format!(
                        " from {first:.3} to {last:.3} s"
                    ))
                ));
            }
            Some(Object::Column(path, _)) => {
                self.hdf5.read(&path, (None, false), &mut |array| {
                    found.look(array).map(drop)
                })?;
                found.role = Some("target or group, one for each trial".to_owned());
            }
            _ => return Ok(None),
        }
        Ok(Some(found))
    }

    fn suggest(&mut self, arrays: &[Found]) -> Result<Option<Suggestion>, DataError> {
        let read = |path: &&String| {
            let fine = |found: &&Found| found.name == **path && found.problem.is_none();
            let numbers = arrays.iter().find(fine)?.numbers.as_ref()?;
            (numbers.nan == 0 && numbers.infinite == 0).then_some(numbers.channels)
        };
        let Some(units) = self.units.iter().find(|path| read(path).is_some()) else {
            return Ok(None);
        };
        let fits = |path: &&String| read(path).is_some_and(|channels| channels <= 16);
        // What was computed of behaviour, velocities first.
        let target = self.series.iter().filter(fits).rev().max_by_key(|path| {
            let velocity = path.to_lowercase().contains("vel");
            (
                velocity,
                path.starts_with("processing/"),
                !path.starts_with("stimulus/"),
            )
        });
        let Some(target) = target else {
            return Ok(None);
        };
        let width = self.times(target)?.distance().max(USUAL_BIN);
        let keys = [
            ("bin_width", format!("{}", (width * 1e6).round() / 1e6)),
            ("square_root", "true".to_owned()),
            ("window.before", "15".to_owned()),
            ("test_signal", String::new()),
            ("test_target", String::new()),
        ];
        Ok(Some(Suggestion {
            preset: "decode-kinematics".to_owned(),
            signal: units.clone(),
            target: Some(target.clone()),
            test: None,
            keys: keys.map(|(key, value)| (key.to_owned(), value)).into(),
        }))
    }
}

fn is_units(hdf5: &Hdf5<'_>, group: &str) -> bool {
    [SPIKES, SPIKES_INDEX]
        .iter()
        .all(|name| hdf5.has(&format!("{group}{name}")))
}

fn is_series(hdf5: &Hdf5<'_>, group: &str) -> bool {
    let has = |name| hdf5.has(&format!("{group}{name}"));
    has(DATA) && (has(STAMPS) || has(START))
}

fn is_table(hdf5: &Hdf5<'_>, group: &str) -> bool {
    [TRIAL_START, TRIAL_STOP]
        .iter()
        .all(|name| hdf5.has(&format!("{group}{name}")))
}

/// What stored numbers are multiplied by, and what is added, to have them in their unit.
pub(super) fn scale(hdf5: &Hdf5<'_>, data: &str) -> Result<[f64; 2], DataError> {
    let of = |name, usual| {
        let found = hdf5.attribute(data, name)?;
        match found.as_ref().and_then(number) {
            Some(x) if !x.is_finite() => {
                let reason =
                    format!("its {name} is {x}, which no number can be brought to a unit by");
                Err(DataError::format(&hdf5.place(data), reason))
            }
            found => Ok(found.unwrap_or(usual)),
        }
    };
    Ok([of("conversion", 1.0)?, of("offset", 0.0)?])
}

/// How many samples each bin has.
fn samples(grid: &Grid, times: &Times) -> Result<Vec<u32>, DataError> {
    let mut counts = budget::filled(0_u32, grid.bins(), "the samples in bins")?;
    for sample in 0..times.count() {
        let bin = grid.bin(times.at(sample));
        if let Some(count) = bin.and_then(|bin| counts.get_mut(bin)) {
            *count = count.saturating_add(1);
        }
    }
    Ok(counts)
}

fn time_of(grid: &Grid, bin: usize) -> f64 {
    let after = grid
        .stretches
        .partition_point(|stretch| stretch.first <= bin);
    let stretch = after.checked_sub(1).and_then(|at| grid.stretches.get(at));
    stretch.map_or(f64::NAN, |&Stretch { start, first, .. }| {
        start + (bin - first) as f64 * grid.width
    })
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

pub(super) fn number(value: &AttrValue) -> Option<f64> {
    Some(match *value {
        AttrValue::F64(x) => x,
        AttrValue::F32(x) => f64::from(x),
        AttrValue::I64(x) => x as f64,
        AttrValue::U64(x) => x as f64,
        AttrValue::I32(x) => f64::from(x),
        AttrValue::U32(x) => f64::from(x),
        AttrValue::I16(x) => f64::from(x),
        AttrValue::U16(x) => f64::from(x),
        AttrValue::I8(x) => f64::from(x),
        AttrValue::U8(x) => f64::from(x),
        _ => return None,
    })
}
