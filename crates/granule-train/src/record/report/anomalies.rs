//! What a detector of anomalies found, as a page.

use granule_chart::Axis;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::axis::wide::{BOTTOM, LEFT, RIGHT, TOP, WIDTH};
use super::axis::{Frame, Tick};
use super::format::{coordinate, count, percent, significant};
use super::page;
use crate::detection::{Detection, Detector, Scored};
use crate::record::RecordError;

const TEMPLATE: &str = include_str!("anomalies.html");
/// Bars of a histogram.
const BARS: usize = 48;

#[derive(Debug, Serialize)]
struct Page {
    kinds: Vec<String>,
    detectors: Vec<Row>,
    plots: Vec<Plot>,
    notes: Vec<String>,
}

/// A detector in a table.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    false_alarms: String,
    /// AUROC and the share above the threshold, by kind.
    scores: Vec<[String; 2]>,
}

/// The scores of unusual samples before those of normal ones.
#[derive(Debug, Serialize)]
struct Plot {
    name: String,
    #[serde(flatten)]
    frame: Frame,
    normal: String,
    unusual: String,
    threshold: String,
}

/// The page as HTML: self-contained, without any request to elsewhere.
///
/// # Errors
/// [`RecordError::Render`] when the template fails.
pub fn render_detection(detection: &Detection, title: &str) -> Result<String, RecordError> {
    let model = detection.detectors.first();
    let row = |detector: &Detector| Row {
        name: detector.name.clone(),
        false_alarms: percent(detector.false_alarms, 2),
        scores: detector
            .unusual
            .iter()
            .map(|kind| [format!("{:.4}", kind.auroc), percent(kind.detected, 2)])
            .collect(),
    };
    let kinds = model.map(|model| &model.unusual);
    let threshold = model.map_or(f64::NAN, |model| model.threshold);
    let (normal, unusual) = match detection.scores.split_first() {
        Some((normal, unusual)) => (Some(normal), unusual),
        None => (None, Default::default()),
    };
    let plots = normal.map(|normal| {
        let all = unusual.iter();
        all.filter_map(|unusual| draw(normal, unusual, threshold))
            .collect()
    });
    let drift = model.map(|model| {
        let means: Vec<String> = model.drift.iter().map(|&x| significant(x)).collect();
        format!(
            "Mean score of the normal samples by tenths of the recording, in order: {}",
            means.join(", ")
        )
    });
    let held_out = format!(
        "The threshold, {}, is the one above which at most {} of {} samples held out of training are",
        significant(threshold),
        percent(detection.false_alarms, 2),
        count(detection.held_out as u64)
    );
    let view = Page {
        kinds: kinds
            .into_iter()
            .flatten()
            .map(|kind| kind.name.clone())
            .collect(),
        detectors: detection.detectors.iter().map(row).collect(),
        plots: plots.unwrap_or_default(),
        notes: std::iter::once(held_out).chain(drift).collect(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let found = Value::from(Serde(view));
    page(TEMPLATE, context! { title, version, found })
}

fn draw(normal: &Scored, unusual: &Scored, threshold: f64) -> Option<Plot> {
    let all = || normal.scores.iter().chain(&unusual.scores).copied();
    let positive = all().filter(|score| *score > 0.0 && score.is_finite());
    let low = positive.fold(f64::INFINITY, f64::min);
    let high = all().filter(|score| score.is_finite()).fold(low, f64::max);
    if !low.is_finite() {
        return None;
    }
    let x = Axis::logarithmic(low, high, LEFT, RIGHT);
    let edge = |at: usize| low * (high / low).powf(at as f64 / BARS as f64);
    let shares = |part: &Scored| {
        let mut shares = vec![0.0; BARS];
        for score in &part.scores {
            let place = (score / low).ln() / (high / low).ln() * BARS as f64;
            // What is not above the least has no place, nor has anything where all are equal.
            let place = if place > 0.0 { place as usize } else { 0 };
            if let Some(share) = shares.get_mut(place.min(BARS - 1)) {
                *share += 1.0 / part.scores.len() as f64;
            }
        }
        shares
    };
    let (usual, other) = (shares(normal), shares(unusual));
    let tallest = usual.iter().chain(&other).copied().fold(0.0, f64::max);
    let y = Axis::rounded(0.0, tallest, BOTTOM, TOP);
    let path = |shares: &[f64]| {
        let bars = shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
        let bars = bars.filter_map(|(at, share)| {
            let (left, right) = (x.place(edge(at))?, x.place(edge(at + 1))?);
            Some(format!(
                "M{} {}V{}H{}V{}z",
                coordinate(left),
                coordinate(BOTTOM),
                coordinate(y.place(*share)?),
                coordinate(right),
                coordinate(BOTTOM)
            ))
        });
        bars.collect::<String>()
    };
    let inside = threshold.clamp(low, high);
    Some(Plot {
        name: unusual.name.clone(),
        frame: Frame {
            width: WIDTH,
            height: BOTTOM + 46.0,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            x_ticks: Tick::of(&x, significant),
            y_ticks: Tick::of(&y, |share| percent(share, 0)),
        },
        normal: path(&usual),
        unusual: path(&other),
        threshold: coordinate(x.place(inside)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(name: &str, scores: &[f64]) -> Scored {
        Scored {
            name: name.to_owned(),
            scores: scores.to_vec(),
        }
    }

    #[test]
    fn normal_and_unusual_scores_stand_on_their_sides_of_the_threshold() {
        let normal = scored("normal", &[1.0, 1.0, 2.0, 2.0]);
        let plot = draw(&normal, &scored("lesion", &[100.0, 90.0]), 10.0).unwrap();
        // Two bars of two kinds of scores, and one axis for both.
        assert_eq!(plot.normal.matches('z').count(), 2);
        let at = |path: &str| -> Vec<f64> {
            let bars = path.split('M').skip(1);
            bars.map(|bar| bar.split(' ').next().unwrap().parse().unwrap())
                .collect()
        };
        let threshold: f64 = plot.threshold.parse().unwrap();
        assert!(at(&plot.normal).iter().all(|x| *x < threshold));
        assert!(at(&plot.unusual).iter().all(|x| *x > threshold));
        assert!(draw(&normal, &scored("same", &[1.0]), f64::NEG_INFINITY).is_some());
        assert!(draw(&scored("normal", &[0.0]), &scored("x", &[]), 1.0).is_none());
        assert!(draw(&scored("normal", &[3.0]), &scored("x", &[3.0]), 3.0).is_some());
    }
}
