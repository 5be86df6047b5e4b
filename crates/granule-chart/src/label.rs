//! What stands beside the marks of an axis, and how far values reach.

/// A tick in as many digits as tell it from its neighbours.
pub(super) fn label(tick: f64, ticks: &[f64]) -> String {
    let step = match ticks {
        [a, b, ..] => b - a,
        _ => tick.abs().max(1.0),
    };
    let largest = ticks.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
    if largest >= 1e6 || (largest < 1e-3 && largest > 0.0) {
        let text = format!("{tick:.2e}");
        return text.replace(".00e", "e").replace('-', "−");
    }
    let digits = (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{tick:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// The extent of some values, with a margin; `None` where no value is finite.
pub(super) fn extent(values: impl Iterator<Item = f64>, margin: f64) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if low > high {
        return None;
    }
    let width = high - low;
    let room = if width > 1e-12 * high.abs().max(low.abs()) {
        width * margin
    } else {
        // A constant stands in the middle.
        0.5 * high.abs().max(1.0)
    };
    Some((low - room, high + room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_digits_they_need() {
        let all = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5];
        let labels: Vec<String> = all.iter().map(|t| label(*t, &all)).collect();
        assert_eq!(labels, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(label(-50.0, &[-50.0, 0.0]), "−50");
        assert_eq!(label(-0.0, &[-0.0, 0.5]), "0.0");
        assert_eq!(label(2e6, &[0.0, 2e6]), "2e6");
    }

    #[test]
    fn extents_have_margins_and_constants_have_room() {
        assert_eq!(extent([0.0, 10.0].into_iter(), 0.1), Some((-1.0, 11.0)));
        assert_eq!(extent([3.0].into_iter(), 0.1), Some((1.5, 4.5)));
        assert_eq!(extent([f64::NAN].into_iter(), 0.1), None);
    }
}
