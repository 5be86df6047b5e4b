//! Spikes that are counted in bins.

use std::path::Path;

use granule_io::budget;
use granule_io::words::{counted, grouped};

use super::Read;
use super::grid::Grid;
use super::numbers::LittleEndian;
use crate::DataError;
use crate::arrays::{Array, Kind};

/// Spikes of units in the bins of a grid.
pub(super) struct Counts<'g> {
    grid: &'g Grid,
    units: usize,
    place: &'g Path,
    /// `[bins, units]`
    counts: Vec<f32>,
    all: usize,
    outside: usize,
    negative: usize,
    /// The first and the last time.
    range: Option<[f64; 2]>,
}

impl<'g> Counts<'g> {
    pub fn new(grid: &'g Grid, units: usize, place: &'g Path) -> Result<Self, DataError> {
        let cells = grid.bins().saturating_mul(units);
        Ok(Self {
            grid,
            units,
            place,
            counts: budget::filled(0.0, cells, place.display())?,
            all: 0,
            outside: 0,
            negative: 0,
            range: None,
        })
    }

    /// Counts a spike at a time in s.
    pub fn add(&mut self, unit: usize, time: f64) {
        self.all += 1;
        self.negative += usize::from(time < 0.0);
        let [low, high] = self.range.unwrap_or([time, time]);
        self.range = Some([low.min(time), high.max(time)]);
        let cell = self.grid.bin(time).map(|bin| bin * self.units + unit);
        match cell.and_then(|cell| self.counts.get_mut(cell)) {
            Some(count) => *count += 1.0,
            None => self.outside += 1,
        }
    }

    /// Hands the counts to `read`, smoothed by a Gaussian of a standard deviation in s, and says what became of the spikes.
    ///
    /// # Errors
    /// Where no spike lies in the bins, as where times are in another unit.
    pub fn read(
        mut self,
        smoothing: Option<f64>,
        notes: &mut Vec<String>,
        read: Read<'_>,
    ) -> Result<(), DataError> {
        let (grid, units, place) = (self.grid, self.units, self.place);
        let bins = grid.bins();
        if self.outside == self.all {
            let [low, high] = self.range.unwrap_or_default();
            let first = grid.stretches.first().map_or(0.0, |first| first.start);
            let last = grid.stretches.last();
            let end = last.map_or(0.0, |last| last.start + last.bins as f64 * grid.width);
            let reason = format!(
                "no spike lies in the bins: {} from {low} to {high} s, bins from {first} to {end} s",
                counted(self.all, "spike")
            );
            return Err(DataError::format(place, reason));
        }
        let before = match self.negative {
            0 => String::new(),
            n => format!(", {} of them before 0 s", grouped(n)),
        };
        let mut note = format!(
            "{}: {} of {} in {} of {} s; {} outside of them left out{before}",
            place.display(),
            counted(self.all - self.outside, "spike"),
            counted(units, "unit"),
            counted(bins, "bin"),
            grid.width,
            counted(self.outside, "spike")
        );
        let silent = self.silent()?;
        if silent > 0 {
            note.push_str(&format!(
                "; {} without a spike in them",
                counted(silent, "unit")
            ));
        }
        if let Some(sd) = smoothing {
            grid.smooth(&mut self.counts, units, sd)?;
            note.push_str(&format!(
                "; smoothed by a centred Gaussian of {sd} s, so that a bin sees spikes after it"
            ));
        }
        notes.push(note);
        let shape = vec![bins as u64, units as u64];
        let limit = size_of_val(self.counts.as_slice()) as u64;
        let mut numbers = LittleEndian::new(&self.counts, f32::to_le_bytes);
        let order = (false, false);
        read(Array::laid_out(
            (Kind::F32, order),
            shape,
            &mut numbers,
            limit,
            place,
        )?)
    }

    /// Units without a spike in the bins.
    fn silent(&self) -> Result<usize, DataError> {
        let mut silent = budget::filled(true, self.units, self.place.display())?;
        for row in self.counts.chunks_exact(self.units.max(1)) {
            for (silent, &count) in silent.iter_mut().zip(row) {
                *silent &= count == 0.0;
            }
        }
        Ok(silent.iter().filter(|silent| **silent).count())
    }
}
