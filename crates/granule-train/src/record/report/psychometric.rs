//! Choices by evidence, and produced intervals by the interval asked for.

use std::fmt::Write as _;

use granule_chart::Axis;
use granule_data::task::{IntervalPoint, PsychometricCurve, PsychometricPoint};
use serde::Serialize;

use super::axis::Tick;
use super::format;
use crate::metrics::Logistic;

const WIDTH: f64 = 380.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = LEFT + 308.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = TOP + 308.0;
const HEIGHT: f64 = BOTTOM + 46.0;
/// Points of a drawn curve.
const RESOLUTION: u32 = 80;
/// The classes of the page's style, one for each line of a plot.
const CLASSES: [&str; 2] = ["train", "validation"];
const MOST_POINTS: usize = 200;
const Z: f64 = 1.959_964;

/// A plot that is drawn already, with what its caption says.
#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub title: String,
    pub keys: Vec<Key>,
    pub note: String,
    pub svg: String,
}

/// One line of a plot.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub class: &'static str,
    pub name: String,
}

/// A plot for each kind of evidence: the share of the choice called `second`, with 95 % intervals and a fitted logistic
/// curve. Curves named `motion, attended` and `motion, ignored` are drawn together.
pub(super) fn choices(curves: &[PsychometricCurve], second: &str) -> Vec<Plot> {
    let mut groups: Vec<(&str, Vec<(&str, &PsychometricCurve)>)> = Vec::new();
    for curve in curves {
        let (evidence, role) = curve.name.split_once(", ").unwrap_or((&curve.name, ""));
        match groups.iter_mut().find(|(name, _)| *name == evidence) {
            Some((_, group)) => group.push((role, curve)),
            None => groups.push((evidence, vec![(role, curve)])),
        }
    }
    let plots = groups.iter();
    plots
        .filter_map(|(evidence, group)| choice(evidence, group, second))
        .collect()
}

fn choice(evidence: &str, group: &[(&str, &PsychometricCurve)], second: &str) -> Option<Plot> {
    let group: Vec<(&str, Vec<PsychometricPoint>)> = group
        .iter()
        .take(CLASSES.len())
        .map(|(role, curve)| (*role, usable(&curve.points)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let reach = group
        .iter()
        .flat_map(|(_, points)| points.iter().map(|point| point.evidence.abs()))
        .reduce(f64::max)?;
    let reach = if reach > 0.0 { reach } else { 1.0 };
    let x = Axis::exact(-1.04 * reach, 1.04 * reach, LEFT, RIGHT);
    let y = Axis::exact(0.0, 1.0, BOTTOM, TOP);
    let mut drawing = Drawing::new(
        &format!("{evidence}: share of {second}"),
        (&x, evidence),
        (&y, &format!("{second} chosen")),
        |share| format::percent(share, 0),
    );
    drawing.dashed(&[(-reach, 0.5), (reach, 0.5)], &x, &y);
    drawing.dashed(&[(0.0, 0.0), (0.0, 1.0)], &x, &y);
    let mut note = String::new();
    for ((_, points), class) in group.iter().zip(CLASSES) {
        if let Some(fit) = Logistic::fit(points, reach) {
            let at = |i: u32| reach * (2.0 * f64::from(i) / f64::from(RESOLUTION) - 1.0);
            let curve = (0..=RESOLUTION).map(|i| (at(i), fit.share(at(i))));
            drawing.line(class, curve, &x, &y);
            let threshold = fit.threshold();
            if note.is_empty() && threshold <= reach {
                note = format!("75 % at {}", format::significant(threshold));
            }
        }
        for point in points {
            let (low, high) = interval(point);
            let tip = format!(
                "{evidence} {}\n{second} chosen in {} of {} trials ({})",
                format::significant(point.evidence),
                format::count(point.second),
                format::count(point.trials),
                format::percent(point.share(), 1),
            );
            drawing.point(
                class,
                (point.evidence, point.share()),
                (low, high),
                &tip,
                &x,
                &y,
            );
        }
    }
    Some(Plot {
        title: capital(evidence),
        keys: keys(group.iter().map(|(role, _)| *role)),
        note,
        svg: drawing.close(),
    })
}

/// The intervals produced, mean and standard deviation, against those asked for.
pub(super) fn intervals(points: &[IntervalPoint]) -> Option<Plot> {
    let points: Vec<(&IntervalPoint, f64, f64)> = points
        .iter()
        .filter_map(|point| {
            let spread = point.deviation_ms.unwrap_or(0.0);
            let mean = point.mean_ms?;
            let finite = [point.target_ms, mean, spread]
                .iter()
                .all(|x| x.is_finite());
            finite.then_some((point, mean, spread))
        })
        .take(MOST_POINTS)
        .collect();
    let values = || {
        points
            .iter()
            .flat_map(|(point, mean, spread)| [point.target_ms, mean - spread, mean + spread])
    };
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    let x = Axis::rounded(low, high, LEFT, RIGHT);
    let y = Axis::rounded(low, high, BOTTOM, TOP);
    let mut drawing = Drawing::new(
        "Intervals produced against intervals asked for",
        (&x, "asked for (ms)"),
        (&y, "produced (ms)"),
        format::significant,
    );
    drawing.dashed(&[(x.low(), x.low()), (x.high(), x.high())], &x, &y);
    let [class, _] = CLASSES;
    let means = points
        .iter()
        .map(|(point, mean, _)| (point.target_ms, *mean));
    drawing.line(class, means, &x, &y);
    for (point, mean, spread) in &points {
        let tip = format!(
            "asked for {} ms\nproduced {} ± {} ms\n{} trials, {} without an end",
            format::significant(point.target_ms),
            format::significant(*mean),
            format::significant(*spread),
            format::count(point.trials),
            format::count(point.missed),
        );
        let at = (point.target_ms, *mean);
        drawing.point(class, at, (mean - spread, mean + spread), &tip, &x, &y);
    }
    Some(Plot {
        title: "Produced intervals".into(),
        keys: Vec::new(),
        note: "mean ± standard deviation".into(),
        svg: drawing.close(),
    })
}

fn usable(points: &[PsychometricPoint]) -> Vec<PsychometricPoint> {
    points
        .iter()
        .filter(|point| {
            point.evidence.is_finite() && point.trials > 0 && point.second <= point.trials
        })
        .take(MOST_POINTS)
        .copied()
        .collect()
}

fn keys<'a>(roles: impl Iterator<Item = &'a str>) -> Vec<Key> {
    let keys: Vec<Key> = roles
        .zip(CLASSES)
        .map(|(name, class)| Key {
            class,
            name: name.to_owned(),
        })
        .collect();
    // One nameless line needs no key.
    if keys.iter().all(|key| key.name.is_empty()) {
        Vec::new()
    } else {
        keys
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The 95 % interval of Wilson (1927).
fn interval(point: &PsychometricPoint) -> (f64, f64) {
    let (n, p) = (point.trials as f64, point.share());
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (
        ((centre - spread) / scale).max(0.0),
        ((centre + spread) / scale).min(1.0),
    )
}

/// An SVG element that grows.
struct Drawing {
    svg: String,
}

impl Drawing {
    /// The frame: grid, ticks and the names of the axes.
    fn new(
        label: &str,
        (x, x_name): (&Axis, &str),
        (y, y_name): (&Axis, &str),
        y_label: impl Fn(f64) -> String,
    ) -> Self {
        let mut drawing = Self { svg: String::new() };
        drawing.add(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n<g class=\"grid\">",
            escape(label)
        ));
        let (x_ticks, y_ticks) = (Tick::of(x, format::significant), Tick::of(y, y_label));
        for tick in &y_ticks {
            let at = &tick.at;
            drawing.add(format_args!(
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at}\" y2=\"{at}\"/>"
            ));
        }
        drawing.add(format_args!("</g>\n<g class=\"ticks\">"));
        for tick in &y_ticks {
            drawing.add(format_args!(
                "<text x=\"{}\" y=\"{}\" dy=\".35em\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                tick.at,
                escape(&tick.label)
            ));
        }
        for tick in &x_ticks {
            let at = &tick.at;
            drawing.add(format_args!(
                "<line x1=\"{at}\" x2=\"{at}\" y1=\"{BOTTOM}\" y2=\"{}\"/>\
                 <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 4.0,
                BOTTOM + 18.0,
                escape(&tick.label)
            ));
        }
        drawing.add(format_args!(
            "</g>\n<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\n\
             <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text class=\"axis\" transform=\"translate(12 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            (LEFT + RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(x_name),
            (TOP + BOTTOM) / 2.0,
            escape(y_name)
        ));
        drawing
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.svg.write_fmt(text);
    }

    fn dashed(&mut self, points: &[(f64, f64)], x: &Axis, y: &Axis) {
        let path = path(points.iter().copied(), x, y);
        self.add(format_args!(
            "<path class=\"line\" d=\"{path}\" style=\"stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4\"/>\n"
        ));
    }

    fn line(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>, x: &Axis, y: &Axis) {
        let path = path(points, x, y);
        self.add(format_args!(
            "<path class=\"line {class}\" d=\"{path}\"/>\n"
        ));
    }

    /// A dot with its range, and what to tell about it.
    fn point(
        &mut self,
        class: &str,
        at: (f64, f64),
        (low, high): (f64, f64),
        tip: &str,
        x: &Axis,
        y: &Axis,
    ) {
        let range = path([(at.0, low), (at.0, high)].into_iter(), x, y);
        let (Some(at_x), Some(at_y)) = (x.place(at.0), y.place(at.1)) else {
            return;
        };
        self.add(format_args!(
            "<g><title>{}</title><path class=\"line {class}\" style=\"stroke-width:1\" d=\"{range}\"/>\
             <circle class=\"dot {class}\" cx=\"{}\" cy=\"{}\" r=\"3\"/></g>\n",
            escape(tip),
            format::coordinate(at_x),
            format::coordinate(at_y)
        ));
    }

    fn close(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>, x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    for (at_x, at_y) in points {
        if let (Some(at_x), Some(at_y)) = (x.place(at_x), y.place(at_y)) {
            let pen = if path.is_empty() { 'M' } else { 'L' };
            let (at_x, at_y) = (format::coordinate(at_x), format::coordinate(at_y));
            let _ = write!(path, "{pen}{at_x} {at_y}");
        }
    }
    path
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use granule_data::task::{Performance, TaskConfig, TaskKind};
    use proptest::prelude::*;

    use super::*;

    fn curve(name: &str, points: &[(f64, u64, u64)]) -> PsychometricCurve {
        PsychometricCurve {
            name: name.into(),
            points: points
                .iter()
                .map(|&(evidence, trials, second)| PsychometricPoint {
                    evidence,
                    trials,
                    second,
                })
                .collect(),
        }
    }

    #[test]
    fn choices_without_a_mistake_have_a_steep_curve() {
        let plots = choices(
            &[curve("coherence", &[(-0.5, 40, 0), (0.5, 40, 40)])],
            "right",
        );
        assert_eq!(plots.len(), 1);
        let Plot {
            title,
            keys,
            note,
            svg,
        } = &plots[0];
        assert_eq!((title.as_str(), keys.len()), ("Coherence", 0));
        assert!(note.starts_with("75 % at 0.0"), "{note}");
        for text in [
            "<svg viewBox=\"0 0 380 366\"",
            "right chosen in 40 of 40 trials (100.0\u{202f}%)</title>",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn attended_and_ignored_evidence_share_a_plot() {
        let points = [(-0.5, 10, 1), (-0.1, 10, 4), (0.1, 10, 6), (0.5, 10, 9)];
        let flat = points.map(|(evidence, trials, _)| (evidence, trials, 5));
        let plots = choices(
            &[
                curve("colour, attended", &points),
                curve("colour, ignored", &flat),
                curve("motion, attended", &points),
                curve("motion, ignored", &flat),
            ],
            "right",
        );
        let titles: Vec<&str> = plots.iter().map(|plot| plot.title.as_str()).collect();
        assert_eq!(titles, ["Colour", "Motion"]);
        for plot in &plots {
            let keys: Vec<_> = plot
                .keys
                .iter()
                .map(|key| (key.class, key.name.as_str()))
                .collect();
            assert_eq!(keys, [("train", "attended"), ("validation", "ignored")]);
            assert_eq!(plot.svg.matches("dot validation").count(), 4);
            // The ignored evidence has no threshold; the attended one has.
            assert!(plot.note.starts_with("75 % at 0."), "{}", plot.note);
        }
        assert!(
            plots[0]
                .svg
                .contains("class=\"line validation\" d=\"M63.9 166L"),
            "{}",
            plots[0].svg
        );
    }

    #[test]
    fn names_cannot_leave_their_element() {
        let plots = choices(&[curve("<b>&\"", &[(-1.0, 1, 0), (1.0, 1, 1)])], "</svg>");
        assert_eq!(plots[0].svg.matches("</svg>").count(), 1);
        assert!(!plots[0].svg.contains("<b>"));
    }

    #[test]
    fn nothing_to_draw_is_no_plot() {
        assert!(choices(&[], "right").is_empty());
        assert!(choices(&[curve("a", &[])], "right").is_empty());
        assert!(choices(&[curve("a", &[(f64::NAN, 3, 1), (0.1, 0, 0)])], "right").is_empty());
        assert!(intervals(&[]).is_none());
    }

    #[test]
    fn intervals_lie_on_the_diagonal_when_they_are_right() {
        let point = |target_ms: f64, mean_ms| IntervalPoint {
            target_ms,
            trials: 5,
            missed: 1,
            mean_ms,
            deviation_ms: Some(20.0),
        };
        let points = [
            point(500.0, Some(500.0)),
            point(600.0, None),
            point(800.0, Some(800.0)),
        ];
        let plot = intervals(&points).unwrap();
        assert_eq!(plot.svg.matches("<circle").count(), 2);
        let x = |at: f64| LEFT + (at - 400.0) / 500.0 * 308.0;
        let expected = format!("cx=\"{}\"", format::coordinate(x(500.0)));
        assert!(plot.svg.contains(&expected), "{expected}: {}", plot.svg);
        assert!(
            plot.svg
                .contains("produced 500 ± 20 ms\n5 trials, 1 without an end")
        );
    }

    #[test]
    fn what_a_task_scores_can_be_drawn() {
        for kind in TaskKind::ALL {
            let task: TaskConfig = kind.config();
            let batch = task.trials(1, 0..500, 20.0).unwrap();
            let score = task
                .score(&task.ideal_outputs(&batch).unwrap(), &batch)
                .unwrap();
            let plots = match &score.performance {
                Performance::Trace => continue,
                Performance::Choice(choice) => choices(&choice.psychometric, &choice.choices[1]),
                Performance::Timing(timing) => intervals(&timing.intervals).into_iter().collect(),
            };
            let expected = match kind {
                TaskKind::ContextIntegration => 2,
                TaskKind::DelayedMatch => 0,
                _ => 1,
            };
            assert_eq!(plots.len(), expected, "{kind}");
            for plot in plots {
                assert!(
                    !plot.svg.contains("NaN") && !plot.svg.contains("inf"),
                    "{}",
                    plot.svg
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_counts_can_be_drawn(
            points in proptest::collection::vec((any::<f64>(), any::<u64>(), any::<u64>()), 0..9),
        ) {
            for plot in choices(&[curve("evidence", &points)], "right") {
                prop_assert!(plot.svg.ends_with("</svg>"));
                let numbers = plot.svg.split(['"', 'M', 'L', ' ']);
                prop_assert!(numbers.clone().all(|number| number != "NaN" && number != "inf"));
            }
        }
    }
}
