//! Predictions against the truth.

use granule_chart::Axis;
use serde::{Deserialize, Serialize};

use super::axis::{Frame, Tick};
use super::format;
use crate::metrics::RegressionScores;

const MOST_POINTS: usize = 1500;
const MOST_OUTPUTS: usize = 6;
const WIDTH: f64 = 380.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 12.0;
const SIDE: f64 = 308.0;

/// Predictions of one output against the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// Which output, counted from 0.
    pub output: usize,
    /// (true, predicted) pairs.
    pub points: Vec<(f32, f32)>,
}

impl Scatter {
    /// Evenly spaced samples of `truth` and `predicted`, both row-major `[samples, width]`: at most 1500 for each of the
    /// first six outputs. Pairs with a NaN or infinite value are left out.
    pub fn sample(truth: &[f32], predicted: &[f32], width: usize) -> Vec<Self> {
        if width == 0 {
            return Vec::new();
        }
        let samples = truth.len().min(predicted.len()) / width;
        let stride = samples.div_ceil(MOST_POINTS).max(1);
        (0..width.min(MOST_OUTPUTS))
            .map(|output| {
                let pairs = truth
                    .iter()
                    .zip(predicted)
                    .skip(output)
                    .step_by(width)
                    .step_by(stride);
                let points = pairs
                    .map(|(t, p)| (*t, *p))
                    .filter(|(t, p)| t.is_finite() && p.is_finite())
                    .collect();
                Self { output, points }
            })
            .collect()
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub title: String,
    pub note: String,
    #[serde(flatten)]
    pub frame: Frame,
    pub path: String,
}

pub(super) fn plots(scatters: &[Scatter], scores: &RegressionScores) -> Vec<Plot> {
    scatters
        .iter()
        .take(MOST_OUTPUTS)
        .filter_map(|scatter| plot(scatter, scores))
        .collect()
}

fn plot(scatter: &Scatter, scores: &RegressionScores) -> Option<Plot> {
    let values = || {
        scatter
            .points
            .iter()
            .flat_map(|&(t, p)| [f64::from(t), f64::from(p)])
            .filter(|v| v.is_finite())
    };
    let (low, high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    );
    if low > high {
        return None;
    }
    let x = Axis::rounded(low, high, LEFT, LEFT + SIDE);
    let y = Axis::rounded(low, high, TOP + SIDE, TOP);
    let mut path = String::new();
    for &(truth, predicted) in scatter.points.iter().take(MOST_POINTS) {
        if let (Some(at_x), Some(at_y)) = (x.place(f64::from(truth)), y.place(f64::from(predicted)))
        {
            path.push_str(&format!(
                "M{} {}h0",
                format::coordinate(at_x),
                format::coordinate(at_y)
            ));
        }
    }
    let several = scores.outputs.len() > 1;
    let r2 = scores
        .outputs
        .get(scatter.output)
        .map_or(f64::NAN, |output| output.r2);
    Some(Plot {
        title: if several {
            format!("Output {}", scatter.output + 1)
        } else {
            "Predicted against true".into()
        },
        note: format!("R² {}", format::significant(r2)),
        frame: Frame {
            width: WIDTH,
            height: TOP + SIDE + 46.0,
            left: LEFT,
            right: LEFT + SIDE,
            top: TOP,
            bottom: TOP + SIDE,
            x_ticks: Tick::of(&x, format::significant),
            y_ticks: Tick::of(&y, format::significant),
        },
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_whole_set() {
        let truth: Vec<f32> = (0..8000).map(|i| i as f32).collect();
        let mut predicted = truth.clone();
        predicted[0] = f32::NAN;
        let scatters = Scatter::sample(&truth, &predicted, 2);
        assert_eq!(scatters.len(), 2);
        assert_eq!(scatters[0].points.len(), 1333);
        assert_eq!(scatters[1].points.len(), 1334);
        assert_eq!(scatters[1].points[1], (7.0, 7.0));
        assert!(scatters[1].points.last().unwrap().0 > 7900.0);
        assert_eq!(Scatter::sample(&truth, &predicted, 16).len(), 6);
        assert_eq!(Scatter::sample(&truth, &predicted, 0), []);
    }

    #[test]
    fn points_on_the_diagonal_lie_on_the_diagonal() {
        let scores = RegressionScores::new(&[0.0, 10.0], &[0.0, 10.0], 1).unwrap();
        let scatter = Scatter {
            output: 0,
            points: vec![(0.0, 0.0), (10.0, 10.0), (5.0, 0.0)],
        };
        let plots = plots(&[scatter], &scores);
        assert_eq!(plots[0].path, "M58 320h0M366 12h0M212 320h0");
        assert_eq!(plots[0].note, "R² 1");
    }
}
