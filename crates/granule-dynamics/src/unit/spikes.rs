//! Spikes: upward crossings of a threshold, interpolated linearly between samples.

use burn::tensor::Tensor;
use granule_io::budget;

use crate::DynamicsError;
use crate::state::host;

/// The spikes of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spikes {
    /// When the voltage crossed the threshold upwards, ms.
    pub times: Vec<f64>,
}

/// What is known of the spikes of one cell where their times are not kept: it takes no more memory for more of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpikeStatistics {
    count: usize,
    /// The times of the first spike and of the last one, ms.
    ends: [f64; 2],
    /// The last, the shortest and the longest interval between two spikes, ms.
    intervals: [f64; 3],
    /// The mean of the intervals, and the sum of their squared distances from it.
    mean: f64,
    squares: f64,
}

impl SpikeStatistics {
    /// Those of spikes in the order of time.
    pub fn of(times: &[f64]) -> Self {
        let mut all = Self::default();
        times.iter().for_each(|time| all.add(*time));
        all
    }

    /// With the next spike, ms.
    pub fn add(&mut self, time: f64) {
        if self.count == 0 {
            self.ends[0] = time;
        } else {
            let interval = time - self.ends[1];
            let [_, shortest, longest] = self.intervals;
            self.intervals = match self.count {
                1 => [interval; 3],
                _ => [interval, shortest.min(interval), longest.max(interval)],
            };
            // Welford (1962), for the sum of squares loses what matters in a long run.
            let off = interval - self.mean;
            self.mean += off / self.count as f64;
            self.squares += off * (interval - self.mean);
        }
        self.ends[1] = time;
        self.count += 1;
    }

    /// How many spikes there were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// When the first one was and the last one, ms.
    pub fn ends(&self) -> Option<[f64; 2]> {
        (self.count > 0).then_some(self.ends)
    }

    /// The shortest interval between two of them, ms.
    pub fn shortest_interval(&self) -> Option<f64> {
        (self.count > 1).then_some(self.intervals[1])
    }

    /// The coefficient of variation of the intervals, of three spikes or more.
    pub fn interval_variation(&self) -> Option<f64> {
        let variance = self.squares / self.count.saturating_sub(1).max(1) as f64;
        (self.count > 2).then(|| variance.sqrt() / self.mean)
    }

    /// Whether the cell has stopped firing by the time `now`: it has been silent for more than twice its longest interval,
    /// the pause between two bursts included.
    pub fn fell_silent(&self, now: f64) -> bool {
        self.count > 1 && now - self.ends[1] > 2.0 * self.intervals[2]
    }

    /// The rate at the time `now`, Hz: that of the last interval between two spikes; 0 with fewer than two, and for a
    /// cell that [fell silent](Self::fell_silent).
    pub fn rate_hz(&self, now: f64) -> f64 {
        if self.count > 1 && !self.fell_silent(now) {
            1000.0 / self.intervals[0]
        } else {
            0.0
        }
    }

    /// The mean rate over so many ms, in which all of the spikes were, Hz.
    pub fn mean_rate_hz(&self, time: f64) -> f64 {
        if time > 0.0 {
            1000.0 * self.count as f64 / time
        } else {
            0.0
        }
    }
}

impl Spikes {
    /// As [`SpikeStatistics::fell_silent`].
    pub fn fell_silent(&self, now: f64) -> bool {
        SpikeStatistics::of(&self.times).fell_silent(now)
    }

    /// As [`SpikeStatistics::rate_hz`].
    pub fn rate_hz(&self, now: f64) -> f64 {
        SpikeStatistics::of(&self.times).rate_hz(now)
    }

    /// The mean rate: the number of spikes from `from` to `to`, both included, over the time between them, Hz.
    pub fn mean_rate_hz(&self, from: f64, to: f64) -> f64 {
        let count = self.times.iter().filter(|t| (from..=to).contains(*t));
        if to > from {
            1000.0 * count.count() as f64 / (to - from)
        } else {
            0.0
        }
    }

    /// The crossing between two samples, where there is one. A sample at the threshold counts as above.
    fn cross(&mut self, threshold: f64, (t0, v0): (f64, f64), (t1, v1): (f64, f64)) {
        if v0 < threshold && v1 >= threshold {
            self.push(threshold, (t0, v0), (t1, v1));
        }
    }

    /// A crossing between two samples. Where they were compared in single precision, the threshold may lie beyond both.
    fn push(&mut self, threshold: f64, (t0, v0): (f64, f64), (t1, v1): (f64, f64)) {
        let share = (threshold - v0) / (v1 - v0);
        self.times.push(t0 + (t1 - t0) * share.clamp(0.0, 1.0));
    }
}

/// The upward crossings of `threshold` in recorded traces `[times, batch, cells]`, for each row of the batch and each
/// cell in it.
///
/// # Errors
///
/// [`DynamicsError::Shape`] when `times` are not as many as the trace has; [`DynamicsError::Device`].
pub fn spikes(
    times: &[f64],
    traces: Tensor<3>,
    threshold: f64,
) -> Result<Vec<Spikes>, DynamicsError> {
    let [samples, batch, cells] = traces.dims();
    if times.len() != samples {
        return Err(DynamicsError::Shape {
            what: "the times of a trace".into(),
            expected: vec![samples],
            found: vec![times.len()],
        });
    }
    let mut detector = Crossings::new(threshold);
    detector.take(times, &host(traces)?, batch * cells);
    Ok(detector.spikes)
}

/// Finds spikes during a simulation without keeping its traces.
///
/// Samples are read from the device in blocks, so that a step does not wait for it.
#[derive(Clone, Debug)]
pub struct SpikeDetector {
    crossings: Crossings,
    times: Vec<f64>,
    waiting: Vec<Tensor<2>>,
    error: Option<String>,
}

impl SpikeDetector {
    /// A detector of upward crossings of `threshold`.
    pub fn new(threshold: f64) -> Self {
        Self {
            crossings: Crossings::new(threshold),
            times: Vec::new(),
            waiting: Vec::new(),
            error: None,
        }
    }

    /// The next sample, `[batch, cells]`, at `time`. A failing device is reported at the end.
    pub fn push(&mut self, time: f64, voltage: &Tensor<2>) {
        self.times.push(time);
        self.waiting.push(voltage.clone().without_autodiff());
        if self.waiting.len() >= budget::waiting_samples(voltage.shape().num_elements()) {
            self.flush();
        }
    }

    /// The next samples, where they are on the host: the numbers of all cells at each of the times, in a row.
    pub fn take(&mut self, times: &[f64], voltages: &[f64]) {
        self.flush();
        let width = voltages.len() / times.len().max(1);
        self.crossings.take(times, voltages, width);
    }

    /// The next crossings, of so many cells: of each its cell, and time and sample before and after it. They count as such, and no others
    /// are looked for; samples that come later are not compared with earlier ones.
    pub fn take_crossings(
        &mut self,
        cells: usize,
        found: impl IntoIterator<Item = (usize, [(f64, f64); 2])>,
    ) {
        self.flush();
        let Crossings {
            threshold,
            last,
            spikes,
        } = &mut self.crossings;
        *last = None;
        spikes.resize(cells.max(spikes.len()), Spikes::default());
        for (cell, [before, after]) in found {
            if let Some(spikes) = spikes.get_mut(cell) {
                spikes.push(*threshold, before, after);
            }
        }
    }

    /// The spikes of each cell so far, row by row of the batch.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when samples could not be read.
    pub fn finish(mut self) -> Result<Vec<Spikes>, DynamicsError> {
        self.flush();
        match self.error {
            Some(error) => Err(DynamicsError::device(error)),
            None => Ok(self.crossings.spikes),
        }
    }

    /// Hands on the spikes so far, each with its cell, and forgets them; those of a cell come in the order of time.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when samples could not be read.
    pub fn drain(&mut self, mut take: impl FnMut(usize, f64)) -> Result<(), DynamicsError> {
        self.flush();
        if let Some(error) = &self.error {
            return Err(DynamicsError::device(error));
        }
        for (cell, spikes) in self.crossings.spikes.iter_mut().enumerate() {
            spikes.times.drain(..).for_each(|time| take(cell, time));
        }
        Ok(())
    }

    /// How many spikes were found that were not handed on.
    pub fn held(&self) -> usize {
        self.crossings
            .spikes
            .iter()
            .map(|cell| cell.times.len())
            .sum()
    }

    /// How many cells are looked at; 0 before the first sample.
    pub fn cells(&self) -> usize {
        self.crossings.spikes.len()
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let times = std::mem::take(&mut self.times);
        let Some(width) = waiting.first().map(|x| x.dims().iter().product()) else {
            return;
        };
        match host(Tensor::stack::<3>(waiting, 0)) {
            Ok(values) => self.crossings.take(&times, &values, width),
            Err(error) => self.error = Some(error.to_string()),
        }
    }
}

/// Crossings of all traces up to the last sample seen.
#[derive(Clone, Debug)]
struct Crossings {
    threshold: f64,
    last: Option<(f64, Vec<f64>)>,
    spikes: Vec<Spikes>,
}

impl Crossings {
    fn new(threshold: f64) -> Self {
        Self {
            threshold,
            last: None,
            spikes: Vec::new(),
        }
    }

    /// Samples in row-major order, `width` of them at each time.
    fn take(&mut self, times: &[f64], values: &[f64], width: usize) {
        self.spikes.resize(width, Spikes::default());
        let kept = self.last.take();
        let mut last = kept.as_ref().map(|(time, sample)| (*time, &sample[..]));
        for (time, sample) in times.iter().zip(values.chunks_exact(width.max(1))) {
            if let Some((before, old)) = last {
                for ((spikes, old), new) in self.spikes.iter_mut().zip(old).zip(sample) {
                    spikes.cross(self.threshold, (before, *old), (*time, *new));
                }
            }
            last = Some((*time, sample));
        }
        self.last = last.map(|(time, sample)| (time, sample.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, f64_place};

    /// Three rows of sin(2πt/20 + φ): upward crossings of 0 every 20 ms.
    fn waves() -> (Vec<f64>, Tensor<3>) {
        let times: Vec<f64> = (0..1000).map(|i| 0.1 * f64::from(i) + 0.03).collect();
        let values = times.iter().flat_map(|t| {
            [0.0, 1.0, 2.0].map(|phase| (std::f64::consts::TAU * t / 20.0 - phase).sin())
        });
        let traces = f64_place().tensor(values.collect(), [1000, 3, 1]);
        (times, traces)
    }

    #[test]
    fn crossings_of_a_sine_are_interpolated() {
        let (times, traces) = waves();
        let found = spikes(&times, traces, 0.0).unwrap();
        assert_eq!(found.len(), 3);
        for (phase, cell) in [0.0, 1.0, 2.0].into_iter().zip(found) {
            let expected: Vec<f64> = (0..6)
                .map(|k| 20.0 * (f64::from(k) + phase / std::f64::consts::TAU))
                .filter(|t| (0.03..99.93).contains(t))
                .collect();
            assert_eq!(cell.times.len(), expected.len());
            for (t, expected) in cell.times.iter().zip(expected) {
                assert!((t - expected).abs() < 1e-4, "{t} {expected}");
            }
            assert_close(cell.rate_hz(100.0), 50.0, 1e-5);
        }
    }

    #[test]
    fn streaming_finds_what_the_recorded_trace_has() {
        let (times, traces) = waves();
        let mut detector = SpikeDetector::new(0.3);
        for (i, time) in times.iter().enumerate() {
            detector.push(*time, &traces.clone().narrow(0, i, 1).reshape([3, 1]));
        }
        let recorded = spikes(&times, traces, 0.3).unwrap();
        assert_eq!(detector.finish().unwrap(), recorded);
        assert!(recorded.iter().all(|cell| cell.times.len() == 5));
    }

    #[test]
    fn what_is_handed_on_early_is_what_the_end_has() {
        let (times, traces) = waves();
        let mut detector = SpikeDetector::new(0.3);
        let mut drained = vec![Spikes::default(); 3];
        let mut statistics = vec![SpikeStatistics::default(); 3];
        for (i, time) in times.iter().enumerate() {
            detector.push(*time, &traces.clone().narrow(0, i, 1).reshape([3, 1]));
            if i % 37 == 0 || i + 1 == times.len() {
                let take = |cell: usize, time| {
                    drained[cell].times.push(time);
                    statistics[cell].add(time);
                };
                detector.drain(take).unwrap();
            }
        }
        let whole = spikes(&times, traces, 0.3).unwrap();
        assert_eq!(drained, whole);
        assert_eq!(detector.finish().unwrap(), vec![Spikes::default(); 3]);
        let expected: Vec<_> = whole
            .iter()
            .map(|x| SpikeStatistics::of(&x.times))
            .collect();
        assert_eq!(statistics, expected);
    }

    #[test]
    fn statistics_are_those_of_the_times() {
        let all = SpikeStatistics::of(&[10.0, 20.0, 40.0, 70.0]);
        assert_eq!((all.count(), all.ends()), (4, Some([10.0, 70.0])));
        assert_eq!(all.shortest_interval(), Some(10.0));
        // Intervals of 10, 20 and 30 ms: mean 20, variance 200/3.
        assert_close(
            all.interval_variation().unwrap(),
            (200.0_f64 / 3.0).sqrt() / 20.0,
            1e-15,
        );
        assert_close(all.mean_rate_hz(80.0), 50.0, 1e-15);
        assert_close(all.rate_hz(100.0), 1000.0 / 30.0, 1e-15);
        let two = SpikeStatistics::of(&[1.0, 3.0]);
        assert_eq!(
            (two.interval_variation(), two.shortest_interval()),
            (None, Some(2.0))
        );
        let none = SpikeStatistics::default();
        assert_eq!((none.ends(), none.shortest_interval()), (None, None));
        assert_eq!((none.mean_rate_hz(1.0), none.mean_rate_hz(0.0)), (0.0, 0.0));
    }

    #[test]
    fn crossings_that_are_known_are_those_of_the_trace() {
        let (times, traces) = waves();
        let expected = spikes(&times, traces.clone(), 0.3).unwrap();
        let values = host(traces).unwrap();
        let mut detector = SpikeDetector::new(0.3);
        for step in 1..times.len() {
            let sample = |step: usize, cell: usize| (times[step], values[3 * step + cell]);
            let crossed =
                |cell: &usize| sample(step - 1, *cell).1 < 0.3 && sample(step, *cell).1 >= 0.3;
            let found = (0..3).filter(crossed);
            let found = found.map(|cell| (cell, [sample(step - 1, cell), sample(step, cell)]));
            detector.take_crossings(3, found.collect::<Vec<_>>());
        }
        assert_eq!(detector.finish().unwrap(), expected);
        // Compared in single precision, in which the threshold is less.
        let mut narrow = SpikeDetector::new(-49.7);
        let at = f64::from(-49.7_f32);
        narrow.take_crossings(1, [(0, [(1.0, -52.0), (2.0, at)])]);
        let found = narrow.finish().unwrap();
        assert!(at < -49.7 && found[0].times == [2.0], "{found:?}");
        let mut silent = SpikeDetector::new(0.3);
        silent.take_crossings(4, []);
        assert_eq!(silent.finish().unwrap(), vec![Spikes::default(); 4]);
    }

    #[test]
    fn a_cell_that_fell_silent_has_no_rate() {
        let cell = Spikes {
            times: vec![10.0, 20.0, 40.0],
        };
        assert_eq!((cell.fell_silent(80.0), cell.rate_hz(80.0)), (false, 50.0));
        assert_eq!((cell.fell_silent(81.0), cell.rate_hz(81.0)), (true, 0.0));
        assert!(!Spikes { times: vec![1.0] }.fell_silent(1e3));
        // Between two bursts.
        let bursts = Spikes {
            times: vec![10.0, 14.0, 60.0, 64.0],
        };
        assert!(!bursts.fell_silent(100.0) && bursts.fell_silent(200.0));
    }

    #[test]
    fn rates_need_two_spikes_and_nan_is_none() {
        let place = f64_place();
        let values = vec![-1.0, f64::NAN, 1.0, -1.0, 0.0, 1.0];
        let times = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let trace = place.tensor(values, [6, 1, 1]);
        let found = spikes(&times, trace.clone(), 0.0).unwrap();
        assert_eq!(found[0].times, [4.0]);
        assert_eq!(found[0].rate_hz(5.0), 0.0);
        assert_close(found[0].mean_rate_hz(0.0, 5.0), 200.0, 1e-12);
        assert!(spikes(&times[..3], trace, 0.0).is_err());
        assert_eq!(SpikeDetector::new(0.0).finish().unwrap(), []);
    }
}
