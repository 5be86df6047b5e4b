//! The frames of the drawings, and the ticks on their axes.

use granule_chart::Axis;
use serde::Serialize;

use super::format;

/// A wide histogram and the area of its axes, px.
pub(super) mod wide {
    pub const WIDTH: f64 = 560.0;
    pub const LEFT: f64 = 58.0;
    pub const RIGHT: f64 = 536.0;
    pub const TOP: f64 = 26.0;
    pub const BOTTOM: f64 = 196.0;
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tick {
    /// Where, in the drawing's coordinates.
    pub at: String,
    pub label: String,
}

/// The size of a drawing, where its plot lies in it, and the marks on its axes.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x_ticks: Vec<Tick>,
    pub y_ticks: Vec<Tick>,
}

impl Tick {
    /// The ticks of an axis with the labels that `label` gives them.
    pub(super) fn of(axis: &Axis, label: impl Fn(f64) -> String) -> Vec<Self> {
        Self::at(axis, axis.marks(), label)
    }

    /// The ticks of an axis of whole numbers.
    pub(super) fn whole(axis: &Axis) -> Vec<Self> {
        Self::at(axis, axis.whole_marks(), |value| value.to_string())
    }

    fn at(axis: &Axis, marks: Vec<f64>, label: impl Fn(f64) -> String) -> Vec<Self> {
        let tick = |value| {
            Some(Self {
                at: format::coordinate(axis.place(value)?),
                label: label(value),
            })
        };
        marks.into_iter().filter_map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = Axis::rounded(0.913, 0.987, 200.0, 0.0);
        assert_eq!(
            labels(Tick::of(&axis, |v| format!("{v:.2}"))),
            ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]
        );
        let log = Axis::logarithmic(0.003, 2.0, 0.0, 1.0);
        assert_eq!(
            labels(Tick::of(&log, format::significant)),
            ["0.003", "0.01", "0.03", "0.1", "0.3", "1"]
        );
        assert_eq!(
            labels(Tick::whole(&Axis::exact(1.0, 10.0, 0.0, 1.0))),
            ["1", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(Tick::whole(&Axis::exact(0.0, 1.0, 0.0, 1.0))),
            ["0", "1"]
        );
    }

    proptest! {
        #[test]
        fn every_range_has_a_few_ticks_inside(low in -1e9f64..1e9, span in 1e-6f64..1e9) {
            let axis = Axis::rounded(low, low + span, 0.0, 100.0);
            let ticks = Tick::of(&axis, format::significant);
            prop_assert!((2..=12).contains(&ticks.len()), "{} ticks", ticks.len());
            for tick in ticks {
                prop_assert!((-0.5..=100.5).contains(&tick.at.parse::<f64>().unwrap()));
            }
            let place = |value| axis.place(value).unwrap();
            prop_assert!(place(low) >= -0.5 && place(low + span) <= 100.5);
        }

        #[test]
        fn extreme_ranges_do_not_hang(low in any::<f64>(), high in any::<f64>()) {
            for axis in [
                Axis::exact(low, high, 0.0, 1.0),
                Axis::rounded(low, high, 0.0, 1.0),
                Axis::logarithmic(low.abs(), high.abs(), 0.0, 1.0),
            ] {
                prop_assert!(axis.marks().len() <= 50);
                prop_assert!(axis.whole_marks().len() <= 51);
            }
        }
    }
}
