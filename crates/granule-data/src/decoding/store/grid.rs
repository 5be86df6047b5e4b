//! Bins of one width over the time of a recording.

use granule_io::budget;

use crate::DataError;
use crate::decoding::config::{CUT, MOST_BINS, wrong};

/// A time so near below an edge, in bins, is taken for one at the edge: sums of steps such as 1 / 50 are not exact.
const NEAR: f64 = 1e-6;
/// Bins without a sample in a row that are filled in, per bin that lies between two samples.
const MOST_EMPTY: f64 = 4.0;

/// Bins in a row: of a trial, or of the whole recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// Seconds.
    pub start: f64,
    /// The number of its first bin.
    pub first: usize,
    pub bins: usize,
}

/// Bins of one width, in stretches that follow one another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    /// Seconds.
    pub width: f64,
    pub stretches: Vec<Stretch>,
}

impl Grid {
    /// The bins that fit between the two times of each stretch, which ascend; one without a bin stays, of no bins.
    pub fn over(width: f64, stretches: &[[f64; 2]]) -> Result<Self, DataError> {
        let what = "the bins";
        let mut all = budget::with_capacity(stretches.len(), what)?;
        let mut first = 0_usize;
        for &[start, stop] in stretches {
            let bins = ((stop - start) / width + NEAR).floor().max(0.0);
            // Every bin is to have numbers, and more than this are held nowhere.
            budget::ask_for::<[f32; 2]>(what, bins as usize)?;
            let bins = bins as usize;
            all.push(Stretch { start, first, bins });
            first = first.saturating_add(bins);
        }
        Ok(Self {
            width,
            stretches: all,
        })
    }

    /// Leaves out the stretches that `keep` is false of.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut at = 0;
        self.stretches.retain(|_| {
            at += 1;
            keep.get(at - 1) == Some(&true)
        });
        let mut first = 0;
        for stretch in &mut self.stretches {
            stretch.first = first;
            first = first.saturating_add(stretch.bins);
        }
    }

    pub fn bins(&self) -> usize {
        self.stretches
            .last()
            .map_or(0, |last| last.first.saturating_add(last.bins))
    }

    /// The bin that a time lies in, from its beginning up to that of the next.
    pub fn bin(&self, time: f64) -> Option<usize> {
        let near = time + NEAR * self.width;
        let after = self
            .stretches
            .partition_point(|stretch| stretch.start <= near);
        let stretch = self.stretches.get(after.checked_sub(1)?)?;
        let bin = ((near - stretch.start) / self.width) as usize;
        (bin < stretch.bins).then(|| stretch.first + bin)
    }

    /// Passes a Gaussian of this standard deviation, in seconds, over each channel of `[bins, channels]`, within each
    /// stretch; near its ends the weights that are left sum to one.
    pub fn smooth(&self, data: &mut [f32], channels: usize, sd: f64) -> Result<(), DataError> {
        let what = "the smoothed signal";
        let reach = (CUT * sd / self.width).ceil() as usize;
        if reach > MOST_BINS {
            let allowed = format!(
                "at most {} s, of bins of {} s",
                MOST_BINS as f64 * self.width / CUT,
                self.width
            );
            return Err(wrong("smoothing", sd, allowed));
        }
        let weight = |distance: usize| {
            let z = distance as f64 * self.width / sd;
            (-0.5 * z * z).exp()
        };
        let weights = budget::collect((0..=reach).map(weight), reach + 1, what)?;
        for stretch in &self.stretches {
            let span = stretch.first * channels..(stretch.first + stretch.bins) * channels;
            let Some(data) = data.get_mut(span) else {
                continue;
            };
            let mut counts = budget::with_capacity(data.len(), what)?;
            counts.extend_from_slice(data);
            let mut sums = budget::filled(0.0_f64, channels, what)?;
            for (bin, out) in data.chunks_exact_mut(channels.max(1)).enumerate() {
                sums.fill(0.0);
                let mut total = 0.0;
                let (low, high) = (
                    bin.saturating_sub(reach),
                    (bin + reach + 1).min(stretch.bins),
                );
                let rows = counts.chunks_exact(channels.max(1)).enumerate();
                for (other, row) in rows.skip(low).take(high - low) {
                    let weight = weights.get(other.abs_diff(bin)).copied().unwrap_or(0.0);
                    total += weight;
                    for (sum, &x) in sums.iter_mut().zip(row) {
                        *sum += weight * f64::from(x);
                    }
                }
                for (out, sum) in out.iter_mut().zip(&sums) {
                    *out = (sum / total) as f32;
                }
            }
        }
        Ok(())
    }

    /// Which bins, of those that hold `counts` samples, are filled in between others: runs that are no longer than a few
    /// distances of samples. None where there is a run that is.
    pub fn gaps(&self, stretch: Stretch, counts: &[u32], distance: f64) -> Option<usize> {
        let own = counts.get(stretch.first..stretch.first + stretch.bins)?;
        let most = (MOST_EMPTY * (distance / self.width).max(1.0)).floor() as usize;
        let mut empty = 0;
        let mut any = own.is_empty();
        for run in own.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
            if run.first() == Some(&0) {
                if run.len() > most {
                    return None;
                }
                empty += run.len();
            } else {
                any = true;
            }
        }
        any.then_some(empty)
    }

    /// Fills the bins without a sample of `[bins, channels]`: in a straight line between the bins around, at the ends of a
    /// stretch as the nearest.
    pub fn fill(&self, data: &mut [f64], channels: usize, counts: &[u32]) {
        for stretch in &self.stretches {
            let own = stretch.first..stretch.first + stretch.bins;
            let filled = |bin: &usize| counts.get(*bin).is_some_and(|&count| count > 0);
            let mut before = None;
            let mut bin = own.start;
            while bin < own.end {
                if filled(&bin) {
                    before = Some(bin);
                    bin += 1;
                    continue;
                }
                let after = (bin..own.end).find(filled);
                let end = after.unwrap_or(own.end);
                let (Some(left), Some(right)) = (before.or(after), after.or(before)) else {
                    break;
                };
                for empty in bin..end {
                    let part = match right - left {
                        0 => 0.0,
                        run => (empty - left) as f64 / run as f64,
                    };
                    for channel in 0..channels {
                        let value = |bin: usize| {
                            let at = bin * channels + channel;
                            data.get(at).copied().unwrap_or(0.0)
                        };
                        let (low, high) = (value(left), value(right));
                        let at = empty * channels + channel;
                        if let Some(out) = data.get_mut(at) {
                            *out = low + part * (high - low);
                        }
                    }
                }
                bin = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_the_bin_that_it_begins() {
        let grid = Grid::over(0.2, &[[0.0, 1.0], [2.0, 2.5], [3.0, 3.1]]).unwrap();
        let bins: Vec<usize> = grid.stretches.iter().map(|stretch| stretch.bins).collect();
        assert_eq!((bins, grid.bins()), (vec![5, 2, 0], 7));
        for (time, bin) in [
            (-0.1, None),
            (0.0, Some(0)),
            (0.199, Some(0)),
            // 3 / 5, which is below 3 · 0.2.
            (0.6, Some(3)),
            (0.999, Some(4)),
            (1.0, None),
            (1.9, None),
            (2.0, Some(5)),
            (2.39, Some(6)),
            (2.45, None),
            (3.05, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(grid.bin(time), bin, "{time}");
        }
        // A rate of 50 a second and bins of 20 ms: a sample a bin.
        let grid = Grid::over(0.02, &[[0.0, 200.0]]).unwrap();
        assert_eq!(grid.bins(), 10_000);
        for sample in 0..10_000 {
            assert_eq!(grid.bin(f64::from(sample) / 50.0), Some(sample as usize));
        }
    }

    #[test]
    fn smoothing_keeps_what_is_constant_and_stays_within_a_stretch() {
        let grid = Grid::over(1.0, &[[0.0, 5.0], [5.0, 8.0]]).unwrap();
        let mut data = [3.0; 8];
        grid.smooth(&mut data, 1, 1.5).unwrap();
        assert!(data.iter().all(|x| (x - 3.0).abs() < 1e-6), "{data:?}");
        // One spike in the last bin of the first stretch.
        let mut data = [0.0; 16];
        data[8] = 1.0;
        grid.smooth(&mut data, 2, 1.0).unwrap();
        let weights = [0.0_f64, 1.0, 2.0, 3.0, 4.0].map(|z| (-0.5 * z * z).exp());
        let last = (weights[0] / weights.iter().sum::<f64>()) as f32;
        assert!((data[8] - last).abs() < 1e-6, "{data:?}");
        assert!(
            data[6] > 0.0 && data[10..].iter().all(|&x| x == 0.0),
            "{data:?}"
        );
        assert!(data.iter().skip(1).step_by(2).all(|&x| x == 0.0));
    }

    #[test]
    fn bins_without_a_sample_lie_on_a_line() {
        let grid = Grid::over(1.0, &[[0.0, 6.0]]).unwrap();
        let counts = [0, 1, 0, 0, 2, 0];
        let mut data = [0.0, 3.0, 0.0, 0.0, 6.0, 0.0];
        assert_eq!(grid.gaps(grid.stretches[0], &counts, 1.0), Some(4));
        grid.fill(&mut data, 1, &counts);
        assert_eq!(data, [3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
        let grid = Grid::over(1.0, &[[0.0, 7.0]]).unwrap();
        let far = [1, 0, 0, 0, 0, 0, 1];
        assert_eq!(grid.gaps(grid.stretches[0], &far, 1.0), None);
        assert_eq!(grid.gaps(grid.stretches[0], &far, 2.0), Some(5));
        assert_eq!(grid.gaps(grid.stretches[0], &[0; 7], 9.0), None);
    }
}
