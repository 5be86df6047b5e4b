use serde::{Deserialize, Serialize};

use super::batch::View;
use super::random::Random;
use super::sheet::{Sheet, Stage, fill, steps, steps_of};
use super::span::Least;
use super::{
    AnyCondition, Condition, Design, Span, TaskInfo, Verdict, names, validate_count,
    validate_noise, validate_number,
};
use crate::DataError;

const ESTIMATION: &str = "estimation";
const PRODUCTION: &str = "production";
const READY: usize = 0;
const SET: usize = 1;
/// Output at which the interval has been produced.
const THRESHOLD: f64 = 1.0;

/// Interval timing, ready-set-go: two pulses show an interval, which is to be produced again from the second pulse on
/// (Jazayeri & Shadlen 2010; Wang et al. 2018).
///
/// The output is to rise linearly from 0 at Set through 1 at Go, and on at the same rate for `after_ms`, as the ramps that
/// stretch with the interval in Wang et al. (2018); before Set it is to be 0. Every step counts in the loss. The interval
/// produced ends where the output first passes 1, interpolated between steps. The measure is the share of trials whose
/// produced interval is off by at most `tolerance` of the interval asked for, with mean and spread for each interval.
///
/// The intervals are the short ones of Jazayeri & Shadlen (2010); the others are 671 to 1023 and 847 to 1200 ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IntervalTimingConfig {
    /// The shortest interval, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub shortest_ms: f64,
    /// The longest interval, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub longest_ms: f64,
    /// Number of intervals, equally spaced.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub intervals: usize,
    /// The interval to be produced is so many times the one shown.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.1, max = 10)))]
    pub gain: f64,
    /// Before the first pulse, ms.
    pub fixation_ms: Span,
    /// Each pulse, ms.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub pulse_ms: f64,
    /// The output's rise beyond 1, ms. What is not produced by then counts as missed.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub after_ms: f64,
    /// Share of the interval by which a produced one may be off.
    #[cfg_attr(feature = "schema", schemars(range(max = 1), extend("exclusiveMinimum" = 0)))]
    pub tolerance: f64,
    /// White noise of the inputs, √ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub noise: f64,
}

impl Default for IntervalTimingConfig {
    fn default() -> Self {
        Self {
            shortest_ms: 494.0,
            longest_ms: 847.0,
            intervals: 11,
            gain: 1.0,
            fixation_ms: Span::between(100.0, 300.0),
            pulse_ms: 60.0,
            after_ms: 200.0,
            tolerance: 0.1,
            noise: 0.0,
        }
    }
}

impl IntervalTimingConfig {
    fn interval(&self, number: usize) -> f64 {
        let share = number as f64 / self.intervals.saturating_sub(1).max(1) as f64;
        self.shortest_ms + share * (self.longest_ms - self.shortest_ms)
    }
}

/// A trial of [`IntervalTimingConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntervalTiming {
    /// The interval drawn, ms.
    pub interval_ms: f64,
    /// The interval to be produced, ms: what was shown, in whole steps, times the gain.
    pub target_ms: f64,
}

impl Condition for IntervalTiming {
    fn variables(&self) -> Vec<(&'static str, f64)> {
        vec![("interval", self.interval_ms)]
    }
}

impl Design for IntervalTimingConfig {
    fn info(&self) -> TaskInfo {
        TaskInfo {
            name: "interval-timing",
            summary: "Measure the interval between two pulses and produce it again.",
            paper: "Jazayeri & Shadlen (2010), Temporal context calibrates interval timing, Nat. Neurosci. 13:1020, \
                    doi:10.1038/nn.2590; Wang, Narain, Hosseini & Jazayeri (2018), Flexible timing by temporal scaling \
                    of cortical responses, Nat. Neurosci. 21:102, doi:10.1038/s41593-017-0028-6",
            inputs: names(["ready", "set"]),
            outputs: names(["ramp"]),
            tags: &["timing", "working memory"],
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        let (low, high) = (self.shortest_ms, self.longest_ms);
        Span::fixed(low).validate("task.shortest_ms", Least::Some)?;
        Span::fixed(high).validate("task.longest_ms", Least::Some)?;
        validate_number(
            "task.longest_ms",
            high,
            high >= low,
            format!("at least task.shortest_ms, {low}"),
        )?;
        validate_count("task.intervals", self.intervals, 1..=1000)?;
        validate_number(
            "task.gain",
            self.gain,
            (0.1..=10.0).contains(&self.gain),
            "0.1 to 10",
        )?;
        self.fixation_ms.validate("task.fixation_ms", Least::Zero)?;
        let least = low.min(low * self.gain);
        validate_number(
            "task.pulse_ms",
            self.pulse_ms,
            self.pulse_ms > 0.0 && self.pulse_ms < least,
            format!("above 0 up to but not including the shortest interval, {least}"),
        )?;
        Span::fixed(self.after_ms).validate("task.after_ms", Least::Some)?;
        validate_number(
            "task.tolerance",
            self.tolerance,
            self.tolerance > 0.0 && self.tolerance <= 1.0,
            "above 0 to 1",
        )?;
        validate_noise(self.noise)
    }

    fn conditions(&self) -> usize {
        self.intervals
    }

    fn stages(&self, number: usize) -> Vec<Stage> {
        let interval = self.interval(number);
        vec![
            Stage::new("fixation", self.fixation_ms),
            Stage::new(ESTIMATION, Span::fixed(interval)),
            Stage::new(PRODUCTION, Span::fixed(self.gain * interval)),
            Stage::new("after", Span::fixed(self.after_ms)),
        ]
    }

    fn briefest(&self) -> Option<(&'static str, f64)> {
        Some(("task.pulse_ms", self.pulse_ms))
    }

    fn write(&self, number: usize, _: &mut Random, sheet: &mut Sheet<'_>) -> AnyCondition {
        let (all, dt) = (sheet.all(), sheet.dt);
        let (shown, set) = (sheet.period(ESTIMATION), sheet.period(PRODUCTION).start);
        let target_ms = self.gain * shown.len() as f64 * dt;
        let pulse = steps(self.pulse_ms, dt);
        for (channel, start) in [(READY, shown.start), (SET, set)] {
            sheet.input(channel, start..start + pulse, 1.0);
            sheet.add_noise(channel, all.clone(), self.noise);
        }
        sheet.target(0, set..all.end, |step| ramp(step - set, target_ms, dt));
        sheet.count(0, all, true);
        let interval_ms = self.interval(number);
        let shown = IntervalTiming {
            interval_ms,
            target_ms,
        };
        shown.into()
    }

    fn judge(&self, view: &View<'_>, outputs: &[f32]) -> Verdict {
        let set = steps_of(&view.trial.periods, PRODUCTION).start;
        let rising = outputs.get(set..view.trial.steps).unwrap_or_default();
        let shown = view.trial.condition.get::<IntervalTiming>();
        Verdict::Interval {
            target_ms: shown.map_or(0.0, |shown| shown.target_ms),
            produced_ms: passage(rising).map(|steps| steps * view.dt),
            tolerance: self.tolerance,
        }
    }

    fn observe(&self, view: &View<'_>, outputs: &mut [f32]) {
        let pulse = steps(self.pulse_ms, view.dt).max(1);
        // The likeliest beginning of a pulse of this length in white noise.
        let onset = |channel: usize| {
            let rows = view.inputs.chunks_exact(view.widths.0);
            let trace: Vec<f64> = rows
                .take(view.trial.steps)
                .filter_map(|row| row.get(channel))
                .map(|&x| f64::from(x))
                .collect();
            let sums = trace
                .windows(pulse)
                .map(|window| window.iter().sum::<f64>());
            sums.enumerate()
                .reduce(|best, next| if next.1 > best.1 { next } else { best })
                .map_or(0, |(step, _)| step)
        };
        let (ready, set) = (onset(READY), onset(SET));
        if set > ready {
            let target_ms = self.gain * (set - ready) as f64 * view.dt;
            fill(outputs, 1, 0, set..view.trial.steps, |step| {
                ramp(step - set, target_ms, view.dt)
            });
        }
    }
}

fn ramp(steps: usize, target_ms: f64, dt: f64) -> f64 {
    THRESHOLD * steps as f64 * dt / target_ms
}

/// Where a trace first reaches the threshold, in steps from its beginning.
fn passage(trace: &[f32]) -> Option<f64> {
    let at = trace.iter().position(|&x| f64::from(x) >= THRESHOLD)?;
    let Some((before, after)) = at
        .checked_sub(1)
        .and_then(|before| Some((*trace.get(before)?, *trace.get(at)?)))
    else {
        return Some(0.0);
    };
    let (before, after) = (f64::from(before), f64::from(after));
    Some(at as f64 - (after - THRESHOLD) / (after - before))
}
