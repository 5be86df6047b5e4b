//! The null distribution of a permutation test, and where the model stands.

use granule_chart::Axis;
use serde::Serialize;

use super::axis::wide::{BOTTOM, LEFT, RIGHT, TOP, WIDTH};
use super::axis::{Frame, Tick};
use super::format::{coordinate, count, percent, significant};
use crate::metrics::PermutationTest;

/// Bars at most; numbers of right answers side by side share one beyond.
const MOST_BARS: u64 = 60;

#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub note: String,
    #[serde(flatten)]
    pub frame: Frame,
    /// The bars.
    pub path: String,
    /// Where the model stands.
    pub model: String,
    pub label: String,
    /// Whether its label stands left of it.
    pub on_the_left: bool,
}

pub(super) fn draw(test: &PermutationTest) -> Option<Plot> {
    let (least, most) = (test.null.first()?.0, test.null.last()?.0);
    let (low, high) = (least.min(test.correct), most.max(test.correct));
    let group = (high - low + 1).div_ceil(MOST_BARS).max(1);
    let share = |right: u64| right as f64 / test.samples.max(1) as f64;
    // A bar stands around what it counts.
    let half = 0.5 * group as f64 / test.samples.max(1) as f64;
    let ends = ((share(low) - half).max(0.0), share(high) + half);
    let x = Axis::rounded(ends.0, ends.1, LEFT, RIGHT);
    let mut bars: Vec<(u64, u64)> = Vec::new();
    for &(right, rounds) in &test.null {
        let first = low + (right - low) / group * group;
        match bars.last_mut() {
            Some((last, sum)) if *last == first => *sum += rounds,
            _ => bars.push((first, rounds)),
        }
    }
    let tallest = bars.iter().map(|(_, rounds)| *rounds).max()?;
    let y = Axis::rounded(0.0, tallest as f64, BOTTOM, TOP);
    let mut path = String::new();
    for (first, rounds) in bars {
        let middle = share(first) + half - 0.5 * share(1);
        let [left, right] = [middle - 0.9 * half, middle + 0.9 * half].map(|at| x.place(at));
        let (left, right, top) = (left?, right?, y.place(rounds as f64)?);
        path.push_str(&format!(
            "M{} {}V{}H{}V{}z",
            coordinate(left),
            coordinate(BOTTOM),
            coordinate(top),
            coordinate(right),
            coordinate(BOTTOM)
        ));
    }
    let model = x.place(share(test.correct))?;
    let what = if test.shifted {
        "circular shifts"
    } else {
        "permutations"
    };
    Some(Plot {
        note: format!(
            "p = {}: the share of {} {what} of the true classes, and of the model itself, in which at least as many answers are right",
            significant(test.p_value),
            count(test.rounds()),
        ),
        frame: Frame {
            width: WIDTH,
            height: BOTTOM + 46.0,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            x_ticks: Tick::of(&x, |share| percent(share, 0)),
            y_ticks: Tick::of(&y, significant),
        },
        path,
        model: coordinate(model),
        label: format!("model {}", percent(share(test.correct), 1)),
        on_the_left: model > 0.5 * (LEFT + RIGHT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(null: Vec<(u64, u64)>, correct: u64, samples: u64) -> PermutationTest {
        PermutationTest {
            p_value: 0.01,
            shifted: false,
            samples,
            correct,
            null,
        }
    }

    #[test]
    fn a_bar_stands_around_what_it_counts() {
        let plot = draw(&test(vec![(2, 40), (3, 60)], 9, 10)).unwrap();
        // The axis reaches from 0 to 1: a tenth is 47.8 wide, a bar nine tenths of it.
        assert!(plot.path.starts_with("M132.1 196V"), "{}", plot.path);
        assert_eq!(plot.path.matches('z').count(), 2);
        assert_eq!(plot.model, "488.2");
        assert!(plot.on_the_left);
        assert_eq!(plot.label, format!("model {}", percent(0.9, 1)));
    }

    #[test]
    fn many_numbers_share_bars_and_all_rounds_are_drawn() {
        let null: Vec<(u64, u64)> = (1000..1500).map(|right| (right, 2)).collect();
        let plot = draw(&test(null, 5000, 10_000)).unwrap();
        assert!(plot.path.matches('z').count() <= 60);
        assert!(draw(&test(Vec::new(), 1, 2)).is_none());
        // One sample, always right.
        assert!(draw(&test(vec![(1, 100)], 1, 1)).is_some());
    }
}
