//! Axes of the drawings: from values to coordinates, and where the ticks go.

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

const MOST_TICKS: u32 = 50;

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

/// Maps values between `low` and `high` to coordinates between `from` and `to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// A linear axis over exactly this range.
    pub(super) fn exact(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            from,
            to,
            logarithmic: false,
        }
    }

    /// A linear axis whose ends are ticks and which holds this range.
    pub(super) fn rounded(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - margin, low + margin)
        };
        let step = nice_step(low, high);
        Self::exact(
            (low / step + 1e-9).floor() * step,
            (high / step - 1e-9).ceil() * step,
            from,
            to,
        )
    }

    /// A logarithmic axis around this range, which must be positive.
    pub(super) fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self {
            low: low / 1.15,
            high: high * 1.15,
            from,
            to,
            logarithmic: true,
        }
    }

    pub(super) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    pub(super) fn low(&self) -> f64 {
        self.low
    }

    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// The coordinate of a value; nothing for a value that has none.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let share = if self.logarithmic {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let at = self.from + share * (self.to - self.from);
        at.is_finite().then_some(at)
    }

    /// The ticks with the labels that `label` gives them.
    pub(super) fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<Tick> {
        let values = if self.logarithmic {
            self.decades()
        } else {
            self.steps()
        };
        let tick = |value| {
            Some(Tick {
                at: format::coordinate(self.place(value)?),
                label: label(value),
            })
        };
        values.into_iter().filter_map(tick).collect()
    }

    /// The ticks of an axis of whole numbers, with the first of them where there is room.
    pub(super) fn whole_ticks(&self) -> Vec<Tick> {
        let step = nice_step(self.low, self.high).ceil();
        let tick = |value: f64| {
            Some(Tick {
                at: format::coordinate(self.place(value)?),
                label: value.to_string(),
            })
        };
        let multiples = self.multiples(step);
        let first = self.low.ceil();
        let room = multiples
            .first()
            .is_some_and(|next| next - first >= step / 2.0);
        room.then_some(first)
            .into_iter()
            .chain(multiples)
            .filter_map(tick)
            .collect()
    }

    fn steps(&self) -> Vec<f64> {
        self.multiples(nice_step(self.low, self.high))
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        let (first, last) = (
            (self.low / step - 1e-6).ceil(),
            (self.high / step + 1e-6).floor(),
        );
        (0..MOST_TICKS)
            .map(|index| first + f64::from(index))
            .take_while(|&index| index <= last)
            .map(|i| i * step)
            .collect()
    }

    fn decades(&self) -> Vec<f64> {
        let (first, last) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let marks = |within: &[f64]| -> Vec<f64> {
            (first..=last)
                .take(400)
                .flat_map(|power| within.iter().map(move |mark| mark * 10f64.powi(power)))
                .filter(|value| (self.low..=self.high).contains(value))
                .collect()
        };
        [[1.0, 2.0, 5.0].as_slice(), &[1.0, 3.0], &[1.0]]
            .into_iter()
            .map(marks)
            .find(|values| values.len() <= 8)
            .unwrap_or_else(|| {
                marks(&[1.0])
                    .into_iter()
                    .step_by((last.saturating_sub(first) as usize / 6).max(1))
                    .collect()
            })
    }
}

/// 1, 2 or 5 times a power of ten, so that about five steps cover the range.
fn nice_step(low: f64, high: f64) -> f64 {
    let rough = ((high - low) / 5.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|step| step * power >= rough * 0.85)
        .unwrap_or(10.0)
        * power;
    if step.is_finite() && step > 0.0 {
        step
    } else {
        1.0
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
            labels(axis.ticks(|v| format!("{v:.2}"))),
            ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]
        );
        assert_eq!(axis.place(0.9), Some(200.0));
        let log = Axis::logarithmic(0.003, 2.0, 0.0, 1.0);
        assert_eq!(
            labels(log.ticks(format::significant)),
            ["0.003", "0.01", "0.03", "0.1", "0.3", "1"]
        );
        assert_eq!(log.place(0.0), None);
        assert_eq!(
            labels(Axis::exact(1.0, 10.0, 0.0, 1.0).whole_ticks()),
            ["1", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(Axis::exact(0.0, 1.0, 0.0, 1.0).whole_ticks()),
            ["0", "1"]
        );
    }

    proptest! {
        #[test]
        fn every_range_has_a_few_ticks_inside(low in -1e9f64..1e9, span in 1e-6f64..1e9) {
            let axis = Axis::rounded(low, low + span, 0.0, 100.0);
            let ticks = axis.ticks(format::significant);
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
                prop_assert!(axis.ticks(format::significant).len() <= 50);
                prop_assert!(axis.whole_ticks().len() <= 51);
            }
        }
    }
}
