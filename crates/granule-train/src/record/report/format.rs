//! Numbers as readers like them.

const NARROW_SPACE: char = '\u{202f}';

/// `10 000`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(NARROW_SPACE);
        }
        text.push(digit);
    }
    text
}

/// `98.05 %`.
pub(super) fn percent(fraction: f64, digits: usize) -> String {
    if fraction.is_finite() {
        format!("{:.digits$}{NARROW_SPACE}%", fraction * 100.0)
    } else {
        "NaN".into()
    }
}

/// At most four significant digits: `0.06512`, `12.34`, `1.234e-7`, `5e-5`.
pub(super) fn significant(number: f64) -> String {
    if !number.is_finite() {
        return "NaN".into();
    }
    let magnitude = number.abs();
    if number == 0.0 {
        "0".into()
    } else if (1e-4..1e6).contains(&magnitude) {
        let digits = (3 - magnitude.log10().floor() as i32).max(0) as usize;
        trim_zeros(&format!("{number:.digits$}"))
    } else {
        let text = format!("{number:.3e}");
        match text.split_once('e') {
            Some((digits, exponent)) => format!("{}e{exponent}", trim_zeros(digits)),
            None => text,
        }
    }
}

/// `42.3 s`, `3 min 12 s`, `2 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    let whole = seconds.round() as u64;
    let s = NARROW_SPACE;
    match whole {
        0..60 => format!("{seconds:.1}{s}s"),
        60..3600 => format!("{}{s}min {:02}{s}s", whole / 60, whole % 60),
        _ => format!("{}{s}h {:02}{s}min", whole / 3600, whole % 3600 / 60),
    }
}

/// A coordinate in a drawing.
pub(super) fn coordinate(value: f64) -> String {
    trim_zeros(&format!("{value:.1}"))
}

/// At most `limit` characters, the last of them an ellipsis when something was cut.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        text.to_owned()
    } else {
        text.chars()
            .take(limit.saturating_sub(1))
            .chain(['…'])
            .collect()
    }
}

fn trim_zeros(text: &str) -> String {
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_readers() {
        let plain = |text: String| text.replace(NARROW_SPACE, " ");
        assert_eq!(plain(count(0)), "0");
        assert_eq!(plain(count(123_456)), "123 456");
        assert_eq!(plain(count(1_000_000)), "1 000 000");
        assert_eq!(plain(percent(0.98047, 2)), "98.05 %");
        assert_eq!(percent(f64::NAN, 2), "NaN");
        assert_eq!(
            [
                0.065_118,
                12.3449,
                0.0,
                1.0,
                123_456.7,
                1.234_56e-7,
                5e-5,
                f64::NAN,
                -0.25
            ]
            .map(significant),
            [
                "0.06512", "12.34", "0", "1", "123457", "1.235e-7", "5e-5", "NaN", "-0.25"
            ]
        );
        assert_eq!(
            [42.31, 59.99, 192.0, 7500.0, f64::NAN].map(|s| plain(duration(s))),
            [
                "42.3 s",
                "1 min 00 s",
                "3 min 12 s",
                "2 h 05 min",
                "unknown"
            ]
        );
        assert_eq!(
            [1.0, 1.25, -0.01, 33.333].map(coordinate),
            ["1", "1.2", "0", "33.3"]
        );
        assert_eq!(shorten("aquarium_fish", 6), "aquar…");
        assert_eq!(shorten("猫猫", 2), "猫猫");
    }
}
