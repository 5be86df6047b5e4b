//! What electrophysiologists measure of a voltage trace, by name. One more is a line in [`FEATURES`].
//!
//! Definitions follow eFEL (Ranjan et al., Blue Brain Project) where it has them. Times, heights and widths are found between samples, so
//! that they change smoothly with the parameters as long as no spike comes or goes.

use granule_dynamics::DynamicsError;

/// The slope from which on a spike has begun, mV/ms (eFEL's `DerivativeThreshold`).
const BEGINS: f64 = 10.0;
/// The share of the window at its end whose mean is the steady voltage.
const STEADY: f64 = 0.1;

/// One column of a trace within a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    /// ms
    pub(super) times: &'a [f64],
    /// mV
    pub(super) voltage: &'a [f64],
    /// What a spike crosses upwards, mV.
    pub(super) threshold: f64,
}

/// A feature of a trace.
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Its values; of those of spikes one for each, of means none where nothing spikes.
    of: fn(&[Spike], &Course<'_>) -> Vec<f64>,
    /// Whether there is one for each spike.
    each: bool,
}

/// All of them.
pub(super) const FEATURES: &[Feature] = &[
    // The inverse of the mean interval, which a regular cell keeps as one more spike comes in; of fewer than two spikes their number
    // over the time.
    Feature {
        name: "rate",
        unit: "Hz",
        of: |spikes, course| {
            let span = |(from, to): (f64, f64)| (to > from).then_some(to - from);
            let ends = |first: &Spike, last: &Spike| span((first.time, last.time));
            let intervals = spikes.first().zip(spikes.last());
            let regular = intervals.and_then(|(first, last)| ends(first, last));
            let whole = course.times.first().zip(course.times.last());
            let whole = whole.and_then(|(from, to)| span((*from, *to)));
            let count = spikes.len() as f64;
            let rate = regular.map(|time| (count - 1.0) / time);
            vec![1e3 * rate.or(whole.map(|time| count / time)).unwrap_or(0.0)]
        },
        each: false,
    },
    // Upward crossings of the threshold.
    Feature {
        name: "spike_times",
        unit: "ms",
        of: |spikes, _| spikes.iter().map(|own| own.time).collect(),
        each: true,
    },
    // From the beginning of a spike to its peak, in the mean (eFEL AP_amplitude).
    Feature {
        name: "amplitude",
        unit: "mV",
        of: |spikes, _| mean(spikes, |own| own.peak - own.begin),
        each: false,
    },
    // At half of the amplitude, in the mean (eFEL AP_duration_half_width).
    Feature {
        name: "width",
        unit: "ms",
        of: |spikes, _| mean(spikes, |own| own.width),
        each: false,
    },
    // From the lowest voltage to the steady one at the end (eFEL sag_amplitude).
    Feature {
        name: "sag",
        unit: "mV",
        of: |_, course| {
            let all = course.voltage;
            let last = ((all.len() as f64 * STEADY).ceil() as usize).max(1);
            let steady = &all[all.len().saturating_sub(last)..];
            let steady = steady.iter().sum::<f64>() / steady.len().max(1) as f64;
            vec![steady - all.iter().copied().fold(f64::INFINITY, f64::min)]
        },
        each: false,
    },
];

fn mean(spikes: &[Spike], of: fn(&Spike) -> f64) -> Vec<f64> {
    let own: Vec<f64> = spikes.iter().map(of).filter(|x| x.is_finite()).collect();
    if own.is_empty() {
        return Vec::new();
    }
    vec![own.iter().sum::<f64>() / own.len() as f64]
}

/// A spike of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spike {
    /// Where it crosses the threshold, ms.
    time: f64,
    /// The voltage where it begins, mV.
    begin: f64,
    /// mV
    peak: f64,
    /// At half of the amplitude, ms; NaN where the trace ends before.
    width: f64,
}

/// Where a straight line between two points has a height.
fn crossing(at: f64, (a, va): (f64, f64), (b, vb): (f64, f64)) -> f64 {
    if va == vb {
        a
    } else {
        a + (at - va) / (vb - va) * (b - a)
    }
}

impl Course<'_> {
    fn point(&self, place: usize) -> (f64, f64) {
        (self.times[place], self.voltage[place])
    }

    fn spikes(&self) -> Vec<Spike> {
        let count = self.times.len().min(self.voltage.len());
        let upward = (1..count)
            .filter(|k| self.voltage[k - 1] < self.threshold && self.voltage[*k] >= self.threshold);
        upward.map(|k| self.spike(k, count)).collect()
    }

    /// The spike that has crossed the threshold at a sample.
    fn spike(&self, first: usize, count: usize) -> Spike {
        let v = self.voltage;
        let end = (first..count)
            .find(|k| v[*k] < self.threshold)
            .unwrap_or(count);
        let top = (first..end)
            .max_by(|a, b| v[*a].total_cmp(&v[*b]))
            .unwrap_or(first);
        // The parabola through the highest sample and those beside it.
        let peak = if top > 0 && top + 1 < count {
            let (a, b, c) = (v[top - 1], v[top], v[top + 1]);
            let bend = a - 2.0 * b + c;
            if bend < 0.0 {
                b - (a - c).powi(2) / (8.0 * bend)
            } else {
                b
            }
        } else {
            v[top]
        };
        // Slopes are those between samples: on the way back the first that is not steep.
        let slope = |k: usize| (v[k] - v[k - 1]) / (self.times[k] - self.times[k - 1]);
        let middle = |k: usize| 0.5 * (self.times[k] + self.times[k - 1]);
        let mut k = first;
        while k > 1 && slope(k) >= BEGINS {
            k -= 1;
        }
        let begin = if slope(k) < BEGINS && k < first {
            let time = crossing(BEGINS, (middle(k), slope(k)), (middle(k + 1), slope(k + 1)));
            let (from, to) = if time < self.times[k] {
                (k - 1, k)
            } else {
                (k, k + 1)
            };
            let ((a, va), (b, vb)) = (self.point(from), self.point(to));
            va + (time - a) / (b - a) * (vb - va)
        } else {
            v[k - 1]
        };
        let half = 0.5 * (begin + peak);
        let up = (1..=top).rev().find(|k| v[k - 1] < half && v[*k] >= half);
        let down = (top + 1..count).find(|k| v[*k] < half);
        let at = |k: usize| crossing(half, self.point(k - 1), self.point(k));
        Spike {
            time: crossing(self.threshold, self.point(first - 1), self.point(first)),
            begin,
            peak,
            width: match (up, down) {
                (Some(up), Some(down)) => at(down) - at(up),
                _ => f64::NAN,
            },
        }
    }
}

/// A feature that is asked for, and how well it is to be met.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) feature: &'static Feature,
    /// The deviation that counts as one; none where it is told alone.
    pub(super) deviation: Option<f64>,
}

impl Asked {
    /// Reads `NAME=DEVIATION`, or the name of one that is told alone.
    pub(super) fn read(text: &str) -> Result<Self, DynamicsError> {
        let names: Vec<&str> = FEATURES.iter().map(|own| own.name).collect();
        let refused = || {
            let allowed = format!(
                "{}, each alone or with the deviation that counts as one, above 0, as rate=2",
                names.join(", ")
            );
            DynamicsError::config("features", text, allowed)
        };
        let (name, deviation) = match text.split_once('=') {
            None => (text, None),
            Some((name, number)) => {
                let number: f64 = number.trim().parse().map_err(|_| refused())?;
                let fits = number.is_finite() && number > 0.0;
                (
                    name,
                    Some(number).filter(|_| fits).ok_or_else(refused)?.into(),
                )
            }
        };
        let feature = FEATURES.iter().find(|own| own.name == name.trim());
        Ok(Self {
            feature: feature.ok_or_else(refused)?,
            deviation,
        })
    }

    /// Its values in a trace.
    pub(super) fn of(&self, course: &Course<'_>) -> Vec<f64> {
        (self.feature.of)(&course.spikes(), course)
    }

    /// How far a trace is from what was measured, in deviations: as many numbers for every trace. A spike that is missing counts
    /// as one at the end, and so does the first that is too many: it comes in there.
    pub(super) fn apart(&self, measured: &[f64], course: &Course<'_>) -> Vec<f64> {
        let Some(deviation) = self.deviation else {
            return Vec::new();
        };
        let own = self.of(course);
        if !self.feature.each {
            let pairs = measured.iter().enumerate();
            // What there is none of is 0.
            let apart = pairs.map(|(k, x)| (own.get(k).copied().unwrap_or(0.0) - x) / deviation);
            return apart.collect();
        }
        let end = course.times.last().copied().unwrap_or_default();
        let at = |times: &[f64], k: usize| times.get(k).copied().unwrap_or(end);
        (0..=measured.len())
            .map(|k| (at(&own, k) - at(measured, k)) / deviation)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    fn asked(text: &str) -> Asked {
        Asked::read(text).unwrap()
    }

    /// Triangles from −65 mV to 35 mV, 1 ms up and 2 ms down, at 10.3 and 30.3 ms.
    fn triangles() -> (Vec<f64>, Vec<f64>) {
        let times: Vec<f64> = (0..500).map(|k| 0.1 * f64::from(k)).collect();
        let voltage = times.iter().map(|t| {
            let since = [10.3, 30.3].map(|begin| t - begin);
            let height = since.map(|s| match s {
                up if (0.0..1.0).contains(&up) => 100.0 * up,
                down if (1.0..3.0).contains(&down) => 150.0 - 50.0 * down,
                _ => 0.0,
            });
            -65.0 + height[0] + height[1]
        });
        let voltage = voltage.collect();
        (times, voltage)
    }

    #[test]
    fn features_of_triangles_are_those_of_their_corners() {
        let (times, voltage) = triangles();
        let course = Course {
            times: &times,
            voltage: &voltage,
            threshold: -20.0,
        };
        let of = |name: &str| asked(name).of(&course);
        let spikes = of("spike_times");
        assert_eq!(spikes.len(), 2);
        // 45 mV above rest after 0.45 ms.
        assert_close(spikes[0], 10.75, 1e-9);
        assert_close(spikes[1], 30.75, 1e-9);
        assert_close(of("rate")[0], 50.0, 1e-9);
        // The corner is rounded by a sample at most.
        assert_close(of("amplitude")[0], 100.0, 0.05);
        assert_close(of("width")[0], 1.5, 0.05);
        assert_close(of("sag")[0], 0.0, 1e-12);
    }

    #[test]
    fn sag_is_from_the_lowest_to_the_end() {
        let times: Vec<f64> = (0..100).map(f64::from).collect();
        let voltage: Vec<f64> = times
            .iter()
            .map(|t| -80.0 - if *t < 60.0 { 7.0 } else { 0.0 })
            .collect();
        let course = Course {
            times: &times,
            voltage: &voltage,
            threshold: -20.0,
        };
        assert_close(asked("sag").of(&course)[0], 7.0, 1e-12);
        assert_eq!(asked("rate").of(&course), [0.0]);
        assert!(asked("amplitude").of(&course).is_empty());
        // The way to a trace that spikes.
        assert_eq!(asked("amplitude=2").apart(&[90.0], &course), [-45.0]);
    }

    #[test]
    fn spikes_that_are_missing_or_too_many_count_as_at_the_end() {
        let (times, voltage) = triangles();
        let course = Course {
            times: &times,
            voltage: &voltage,
            threshold: -20.0,
        };
        let apart = |measured: &[f64]| asked("spike_times=0.5").apart(measured, &course);
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(expected) {
                assert_close(*a, *b, 1e-9);
            }
        };
        close(apart(&[10.25, 30.75]), &[1.0, 0.0, 0.0]);
        close(apart(&[10.75]), &[0.0, -2.0 * (49.9 - 30.75)]);
        close(apart(&[10.75, 30.75, 40.9]), &[0.0, 0.0, 18.0, 0.0]);
        assert!(asked("spike_times").apart(&[1.0], &course).is_empty());
    }

    /// As long as no spike comes or goes, a feature of a smooth trace changes smoothly: its differences are those of its limit.
    #[test]
    fn features_change_smoothly_with_a_trace() {
        let times: Vec<f64> = (0..2000).map(|k| 0.025 * f64::from(k)).collect();
        let of = |name: &str, shift: f64| {
            let bump =
                |t: f64| -65.0 + (100.0 + shift) * (-((t - 20.0 - shift) / 0.8).powi(2)).exp();
            let voltage: Vec<f64> = times.iter().map(|t| bump(*t)).collect();
            asked(name).of(&Course {
                times: &times,
                voltage: &voltage,
                threshold: -20.0,
            })[0]
        };
        for name in ["rate", "spike_times", "amplitude", "width"] {
            let slope = |h: f64| (of(name, h) - of(name, -h)) / (2.0 * h);
            let (wide, narrow) = (slope(1e-3), slope(1e-5));
            assert!(
                (wide - narrow).abs() < 0.05 * wide.abs().max(0.1),
                "{name}: {wide} {narrow}"
            );
        }
    }

    #[test]
    fn what_is_no_feature_is_named() {
        for text in [
            "", "height", "rate=", "rate=0", "rate=-1", "rate=nan", "rate=a",
        ] {
            let error = Asked::read(text).err().unwrap().to_string();
            assert!(
                error.starts_with("features") && error.contains("spike_times"),
                "{error}"
            );
        }
    }
}
