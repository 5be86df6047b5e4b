//! Axes: from values to coordinates, and where the marks go.

const MOST_MARKS: u32 = 50;

/// Maps values between `low` and `high` to coordinates between `from` and `to`.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// A linear axis over exactly this range.
    pub fn exact(low: f64, high: f64, from: f64, to: f64) -> Self {
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
    pub fn rounded(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - margin, low + margin)
        };
        let step = nice_step(low, high, 5);
        Self::exact(
            (low / step + 1e-9).floor() * step,
            (high / step - 1e-9).ceil() * step,
            from,
            to,
        )
    }

    /// A logarithmic axis around this range, which must be positive.
    pub fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self::exact_logarithmic(low / 1.15, high * 1.15, from, to)
    }

    /// A logarithmic axis over exactly this range, which must be positive.
    pub fn exact_logarithmic(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self {
            low,
            high,
            from,
            to,
            logarithmic: true,
        }
    }

    /// Whether it is logarithmic.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Its lower end.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Its upper end.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// The coordinate of a value; nothing for a value that has none.
    pub fn place(&self, value: f64) -> Option<f64> {
        let share = if self.logarithmic {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let at = self.from + share * (self.to - self.from);
        at.is_finite().then_some(at)
    }

    /// The values that are marked: multiples of 1, 2 or 5 times a power of ten, about five of them.
    pub fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            self.decades()
        } else {
            self.marks_about(5)
        }
    }

    /// The same of a linear axis, about `count` of them.
    pub fn marks_about(&self, count: usize) -> Vec<f64> {
        self.multiples(nice_step(self.low, self.high, count))
    }

    /// The marks of an axis of whole numbers, with the first of them where there is room.
    pub fn whole_marks(&self) -> Vec<f64> {
        let step = nice_step(self.low, self.high, 5).ceil();
        let multiples = self.multiples(step);
        let first = self.low.ceil();
        let room = multiples
            .first()
            .is_some_and(|next| next - first >= step / 2.0);
        room.then_some(first).into_iter().chain(multiples).collect()
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        let (first, last) = (
            (self.low / step - 1e-6).ceil(),
            (self.high / step + 1e-6).floor(),
        );
        (0..MOST_MARKS)
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

/// 1, 2 or 5 times a power of ten, so that about `count` steps cover the range.
fn nice_step(low: f64, high: f64, count: usize) -> f64 {
    let rough = ((high - low) / count.max(1) as f64).max(f64::MIN_POSITIVE);
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
    use super::*;

    #[test]
    fn marks_are_round_and_inside() {
        let axis = Axis::rounded(0.913, 0.987, 200.0, 0.0);
        let marks = axis.marks();
        let expected = [0.90, 0.92, 0.94, 0.96, 0.98, 1.00];
        assert_eq!(marks.len(), expected.len());
        let near = |(a, b): (&f64, f64)| (a - b).abs() < 1e-12;
        assert!(marks.iter().zip(expected).all(near), "{marks:?}");
        assert_eq!(axis.place(0.9), Some(200.0));
        let between = |low, high, count| Axis::exact(low, high, 0.0, 1.0).marks_about(count);
        assert_eq!(between(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(between(-75.2, 41.0, 4), [-50.0, 0.0]);
        let log = Axis::logarithmic(0.003, 2.0, 0.0, 1.0);
        assert_eq!(log.marks().len(), 6);
        assert_eq!(log.place(0.0), None);
        let whole = |low, high| Axis::exact(low, high, 0.0, 1.0).whole_marks();
        assert_eq!(whole(1.0, 10.0), [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(whole(0.0, 1.0), [0.0, 1.0]);
    }
}
