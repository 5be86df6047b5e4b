//! Half-open ranges of channels, as configurations choose them.

use crate::ConfigError;
use crate::words::counted;

/// Checks that `[first, end]` ranges of channels, counted from 0, are there, that none is empty, and that they rise without
/// meeting twice; and, where it is known how many channels there are, that they lie within.
///
/// ```
/// use granule_io::ranges;
///
/// assert!(ranges::check("channels", &[[0, 36], [40, 71]], Some(71)).is_ok());
/// let error = ranges::check("channels", &[[0, 36]], Some(30)).unwrap_err();
/// assert!(error.to_string().ends_with("there are 30 channels"));
/// ```
///
/// # Errors
/// [`ConfigError`] with the `field`.
pub fn check(
    field: impl Into<String>,
    ranges: &[[usize; 2]],
    channels: Option<usize>,
) -> Result<(), ConfigError> {
    check_of(field, ranges, "channel", channels)
}

/// As [`check`], of things that are called otherwise in the singular, as `unit`.
///
/// # Errors
/// Those of [`check`].
pub fn check_of(
    field: impl Into<String>,
    ranges: &[[usize; 2]],
    noun: &str,
    channels: Option<usize>,
) -> Result<(), ConfigError> {
    let mut at = 0;
    let rise = ranges.iter().all(|&[first, end]| {
        let fits = first >= at && first < end;
        at = end;
        fits
    });
    if !ranges.is_empty() && rise && channels.is_none_or(|channels| at <= channels) {
        return Ok(());
    }
    let there = match channels {
        Some(channels) => format!("; there are {}", counted(channels, noun)),
        None => String::new(),
    };
    let allowed = format!(
        "ranges [first, end] of {noun}s, counted from 0 and without the end, one after the other as in [[0, 10], [15, 20]]{there}"
    );
    Err(ConfigError::new(field, format!("{ranges:?}"), allowed))
}

/// The number of channels in ranges.
pub fn count(ranges: &[[usize; 2]]) -> usize {
    let lengths = ranges.iter().map(|[first, end]| end.saturating_sub(*first));
    lengths.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_rise_apart_and_within() {
        let fits = |ranges: &[[usize; 2]]| check("c", ranges, Some(10)).is_ok();
        assert!(fits(&[[0, 10]]) && fits(&[[0, 3], [3, 4], [9, 10]]));
        let wrong: [&[[usize; 2]]; 6] = [
            &[],
            &[[3, 3]],
            &[[4, 3]],
            &[[0, 4], [3, 5]],
            &[[5, 6], [0, 1]],
            &[[0, 11]],
        ];
        for ranges in wrong {
            assert!(!fits(ranges), "{ranges:?}");
        }
        assert!(check("c", &[[0, 11]], None).is_ok());
        assert_eq!(count(&[[0, 3], [9, 10]]), 4);
    }
}
