//! One trial of a task as lanes over time: what was shown, what was asked for, what the network gave.

use std::fmt::Write as _;

use granule_chart::Axis;
use granule_data::task::{Part, TaskInfo, TrialBatch};
use serde::{Deserialize, Serialize};

use crate::recording::Recorded;

use super::axis::Tick;
use super::format;
use super::psychometric::escape;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 132.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 26.0;
const LANE: f64 = 52.0;
const GAP: f64 = 10.0;
const MOST_LANES: usize = 8;

/// A trial and the outputs of a network in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialExample {
    /// The step, ms.
    pub dt_ms: f64,
    /// Its steps.
    pub steps: usize,
    /// The periods in order: name and first step.
    pub periods: Vec<(String, usize)>,
    /// The inputs by name, a value for each step.
    pub inputs: Vec<(String, Vec<f32>)>,
    /// The outputs.
    pub outputs: Vec<OutputTrace>,
    /// Whether each output is drawn in its own range, as those in different units must be.
    #[serde(default)]
    pub own_ranges: bool,
}

/// One output in a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputTrace {
    /// Its name.
    pub name: String,
    /// What the network gave at each step.
    pub values: Vec<f32>,
    /// What it was to give; none where that does not count.
    pub targets: Vec<Option<f32>>,
}

impl TrialExample {
    /// The first trial of a batch, with the network's `outputs`, `[steps, outputs]`.
    pub fn new(info: &TaskInfo, batch: &TrialBatch, outputs: &[f32]) -> Option<Self> {
        let trial = batch.trials.first()?;
        let shape = batch.shape();
        let column = |values: &[f32], width: usize, channel: usize| -> Vec<f32> {
            let rows = values.chunks_exact(width.max(1)).take(trial.steps);
            rows.filter_map(|row| row.get(channel).copied()).collect()
        };
        let output = |(channel, name): (usize, &String)| {
            let of = |values: &[f32]| column(values, shape.outputs, channel);
            let cells = of(&batch.targets).into_iter().zip(of(&batch.mask));
            OutputTrace {
                name: name.clone(),
                values: of(outputs),
                targets: cells.map(|(x, m)| (m > 0.0).then_some(x)).collect(),
            }
        };
        let inputs = info.inputs.iter().enumerate();
        let periods = trial.periods.iter();
        Some(Self {
            dt_ms: batch.dt_ms,
            steps: trial.steps,
            periods: periods.map(|p| (p.name.to_owned(), p.start)).collect(),
            inputs: inputs
                .map(|(channel, name)| (name.clone(), column(&batch.inputs, shape.inputs, channel)))
                .collect(),
            outputs: info.outputs.iter().enumerate().map(output).collect(),
            own_ranges: false,
        })
    }

    /// The first trial of the test part of a recording, with what the network shows in it from the beginning on,
    /// `[samples, columns]`: some columns of each quantity.
    pub(crate) fn recorded(recorded: &Recorded, shown: &[f32]) -> Self {
        let window = recorded.window(Part::Test);
        let trial = window.trials.first().copied().unwrap_or_default();
        let samples = window.samples.end;
        let width = shown.len() / samples.max(1);
        let count = recorded.quantities().count();
        let each = (MOST_LANES / count.max(1)).clamp(1, 3);
        let mut outputs = Vec::new();
        for (index, quantity) in recorded.quantities().enumerate() {
            for column in 0..quantity.columns.min(each) {
                let own = shown.iter().skip(recorded.column(index, column));
                let number = match quantity.columns {
                    1 => String::new(),
                    _ => format!("[{column}]"),
                };
                let unit = match recorded.unit(index) {
                    "1" => String::new(),
                    unit => format!(" {unit}"),
                };
                outputs.push(OutputTrace {
                    name: format!("{}{number}{unit}", quantity.name),
                    values: own.step_by(width.max(1)).copied().collect(),
                    targets: recorded.truth(index, column, trial, samples),
                });
            }
        }
        let begin = match window.samples.start {
            0 => Vec::new(),
            start => {
                let held_out = &recorded.window(Part::Validation).samples;
                let mut periods = vec![("learnt from".to_owned(), 0)];
                if !held_out.is_empty() {
                    periods.push(("validation".to_owned(), held_out.start));
                }
                periods.push(("test".to_owned(), start));
                periods
            }
        };
        Self {
            dt_ms: recorded.interval(),
            steps: samples,
            periods: begin,
            inputs: Vec::new(),
            outputs,
            own_ranges: true,
        }
    }
}

/// The figure as SVG.
pub(super) fn draw(example: &TrialExample) -> String {
    let inputs = example.inputs.iter().take(MOST_LANES);
    let outputs = example.outputs.iter().take(MOST_LANES);
    let lanes = inputs.len() + outputs.len();
    let bottom = TOP + lanes as f64 * (LANE + GAP);
    let height = bottom + 40.0;
    let end = example.steps as f64 * example.dt_ms;
    let x = Axis::exact(0.0, if end > 0.0 { end } else { 1.0 }, LEFT, RIGHT);
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"One trial\">\n<g class=\"ticks\">"
    );
    for tick in Tick::of(&x, format::significant) {
        let _ = write!(
            svg,
            "<line x1=\"{0}\" x2=\"{0}\" y1=\"{bottom}\" y2=\"{1}\"/><text x=\"{0}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>",
            tick.at,
            bottom + 4.0,
            bottom + 18.0,
            escape(&tick.label)
        );
    }
    let _ = writeln!(
        svg,
        "</g>\n<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\n\
         <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">time (ms)</text>",
        (LEFT + RIGHT) / 2.0,
        height - 6.0
    );
    for (name, start) in &example.periods {
        let Some(at) = x.place(*start as f64 * example.dt_ms) else {
            continue;
        };
        let at = format::coordinate(at);
        let _ = writeln!(
            svg,
            "<line class=\"best\" x1=\"{at}\" x2=\"{at}\" y1=\"{}\" y2=\"{bottom}\"/>\
             <text class=\"best\" x=\"{at}\" dx=\"4\" y=\"{}\">{}</text>",
            TOP - 14.0,
            TOP - 5.0,
            escape(name)
        );
    }
    let mut top = TOP;
    let shown = || {
        inputs
            .clone()
            .flat_map(|(_, values)| values.iter().copied())
    };
    let range = spread(shown());
    for (name, values) in inputs.clone() {
        let lane = Lane::new(name, top, range, &x, example.dt_ms);
        lane.frame(&mut svg);
        lane.line(
            &mut svg,
            "line validation",
            "1.5",
            values.iter().copied().map(Some),
        );
        top += LANE + GAP;
    }
    let given = outputs.clone().flat_map(|trace| {
        let targets = trace.targets.iter().copied().flatten();
        trace.values.iter().copied().chain(targets)
    });
    let range = spread(given);
    for trace in outputs.clone() {
        let range = if example.own_ranges {
            extent(trace)
        } else {
            range
        };
        let lane = Lane::new(&trace.name, top, range, &x, example.dt_ms);
        lane.frame(&mut svg);
        lane.line(&mut svg, "line target", "5", trace.targets.iter().copied());
        lane.line(
            &mut svg,
            "line",
            "1.5",
            trace.values.iter().copied().map(Some),
        );
        top += LANE + GAP;
    }
    svg.push_str("</svg>");
    svg
}

/// The finite values' range, never empty.
fn spread(values: impl Iterator<Item = f32>) -> (f64, f64) {
    let range = values
        .filter(|x| x.is_finite())
        .map(f64::from)
        .fold((0.0_f64, 0.0_f64), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    if range.1 > range.0 { range } else { (0.0, 1.0) }
}

/// The range of one output and its targets, without 0 where they keep away from it.
fn extent(trace: &OutputTrace) -> (f64, f64) {
    let targets = trace.targets.iter().copied().flatten();
    let given = trace.values.iter().copied().chain(targets);
    let range = given
        .filter(|x| x.is_finite())
        .map(f64::from)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    if range.1 > range.0 { range } else { (0.0, 1.0) }
}

struct Lane<'a> {
    name: &'a str,
    top: f64,
    x: &'a Axis,
    y: Axis,
    dt: f64,
}

impl<'a> Lane<'a> {
    fn new(name: &'a str, top: f64, (low, high): (f64, f64), x: &'a Axis, dt: f64) -> Self {
        Self {
            name,
            top,
            x,
            y: Axis::exact(low, high, top + LANE, top),
            dt,
        }
    }

    fn frame(&self, svg: &mut String) {
        let middle = self.top + LANE / 2.0;
        let zero = self.y.place(0.0).unwrap_or(self.top + LANE);
        let _ = writeln!(
            svg,
            "<g class=\"grid\"><line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{0}\" y2=\"{0}\"/></g>\
             <text class=\"axis\" x=\"{1}\" y=\"{middle}\" dy=\".35em\" text-anchor=\"end\">{2}</text>",
            format::coordinate(zero),
            LEFT - 10.0,
            escape(&format::shorten(self.name, 18))
        );
    }

    /// One value for each step, drawn at the step's end; the pen is lifted where there is none.
    fn line(
        &self,
        svg: &mut String,
        class: &str,
        width: &str,
        values: impl Iterator<Item = Option<f32>>,
    ) {
        let (mut path, mut down) = (String::new(), false);
        for (step, value) in values.enumerate() {
            let time = (step + 1) as f64 * self.dt;
            let at = value.and_then(|y| Some((self.x.place(time)?, self.y.place(f64::from(y))?)));
            if let Some((x, y)) = at {
                let pen = if down { 'L' } else { 'M' };
                let (x, y) = (format::coordinate(x), format::coordinate(y));
                let _ = write!(path, "{pen}{x} {y}");
            }
            down = at.is_some();
        }
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" style=\"stroke-width:{width}\" d=\"{path}\"/>"
        );
    }
}

#[cfg(test)]
mod tests {
    use granule_data::task::TaskKind;

    use super::*;

    #[test]
    fn a_trial_is_shown_without_its_padding_and_its_targets_where_they_count() {
        for kind in TaskKind::ALL {
            let task = kind.config();
            let batch = task.trials(1, 0..3, 20.0).unwrap();
            let info = task.info();
            let outputs = task.ideal_outputs(&batch).unwrap();
            let example = TrialExample::new(&info, &batch, &outputs).unwrap();
            let steps = batch.trials[0].steps;
            assert_eq!(example.steps, steps);
            let mut counted = 0;
            for trace in &example.outputs {
                assert_eq!((trace.values.len(), trace.targets.len()), (steps, steps));
                counted += trace.targets.iter().flatten().count();
            }
            let width = batch.shape().outputs;
            let mask: f32 = batch.mask.iter().take(batch.steps * width).sum();
            assert_eq!(counted as f32, mask, "{kind}");

            let svg = draw(&example);
            let lanes = info.inputs.len().min(MOST_LANES) + 2 * info.outputs.len().min(MOST_LANES);
            assert_eq!(svg.matches("class=\"line").count(), lanes, "{kind}");
            for (period, _) in &example.periods {
                assert!(
                    svg.contains(&format!(">{period}</text>")),
                    "{kind} {period}"
                );
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind}");
        }
    }

    #[test]
    fn names_and_numbers_from_a_file_do_no_harm() {
        let example = TrialExample {
            dt_ms: f64::NAN,
            steps: 2,
            periods: vec![("<b>".into(), 0)],
            inputs: vec![("<script>".into(), vec![f32::NAN, f32::INFINITY])],
            outputs: vec![OutputTrace {
                name: "\"&".into(),
                values: vec![1.0],
                targets: vec![None, Some(f32::NEG_INFINITY)],
            }],
            own_ranges: false,
        };
        let svg = draw(&example);
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
        assert!(draw(&TrialExample::default()).ends_with("</svg>"));
    }
}
