//! What an array holds, told while it streams.

use granule_io::budget;

use super::Array;
use crate::DataError;

/// What the numbers of an array are like.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Survey {
    /// The least, the mean and the greatest of the finite numbers, where there is one.
    pub(crate) range: Option<[f64; 3]>,
    pub(crate) nan: u64,
    pub(crate) infinite: u64,
    /// Channels: the columns of `[rows, channels]`, the middle extent of `[trials, channels, bins]`.
    pub(crate) channels: usize,
    /// The channels that hold one number, from 0.
    pub(crate) constant: Vec<usize>,
    /// Whether all numbers are whole and none is below 0.
    pub(crate) counts: bool,
    /// Whether each number is at least the one before it, in an array of one dimension.
    pub(crate) ascending: bool,
}

impl Array<'_> {
    /// Reads all strings, one at a time.
    ///
    /// # Errors
    /// Where the data cannot be read; those of `each`.
    pub(crate) fn each_text(
        self,
        each: impl FnMut(&str) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        super::elements::strings(self, each)
    }

    /// Reads all numbers, of which a block at a time is held, and two for each channel.
    ///
    /// # Errors
    /// Where the data cannot be read; for strings.
    pub(crate) fn survey(self) -> Result<Survey, DataError> {
        let array = self.without_row();
        let extents = array.extents();
        let path = array.path;
        // Elements of one channel in a row, and channels, in the stored order.
        let (run, channels) = match (extents.as_slice(), array.header.column_major) {
            ([] | [_], _) => (1, 1),
            (&[rows, channels], true) => (rows, channels),
            (&[trials, channels, _], true) => (trials, channels),
            (&[_, channels, bins], false) => (bins, channels),
            (&[_, ref rest @ ..], false) => (1, rest.iter().product()),
            (extents @ [first, ..], true) => (*first, extents.iter().skip(1).product()),
        };
        let (run, channels) = (run.max(1), channels.max(1));
        let mut first: Vec<Option<f64>> = budget::filled(None, channels, path.display())?;
        let mut differs = budget::filled(false, channels, path.display())?;
        let mut survey = Survey {
            channels,
            counts: true,
            ascending: extents.len() == 1,
            ..Survey::default()
        };
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut sum, mut finite, mut at, mut last) = (0.0, 0_u64, 0_usize, f64::NEG_INFINITY);
        array.each_double(|block| {
            for &x in block {
                let channel = at / run % channels;
                at += 1;
                if let (Some(first), Some(differs)) =
                    (first.get_mut(channel), differs.get_mut(channel))
                {
                    *differs |= *first.get_or_insert(x) != x;
                }
                survey.ascending &= x >= last;
                last = x;
                if x.is_finite() {
                    (least, greatest) = (least.min(x), greatest.max(x));
                    sum += x;
                    finite += 1;
                    survey.counts &= x >= 0.0 && x.fract() == 0.0;
                } else {
                    survey.nan += u64::from(x.is_nan());
                    survey.infinite += u64::from(x.is_infinite());
                    survey.counts = false;
                }
            }
            Ok(())
        })?;
        if finite > 0 {
            survey.range = Some([least, sum / finite as f64, greatest]);
        }
        let same = differs.iter().filter(|differs| !**differs).count();
        let constant = differs.iter().enumerate();
        let constant = constant.filter_map(|(at, differs)| (!differs).then_some(at));
        survey.constant = budget::collect(constant, same, path.display())?;
        Ok(survey)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn survey(extents: &str, by_columns: bool, numbers: &[f64]) -> Survey {
        let order = if by_columns { "True" } else { "False" };
        let header = format!("{{'descr': '<f8', 'fortran_order': {order}, 'shape': {extents}}}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        let (mut reader, len) = (&bytes[..], bytes.len() as u64);
        let array = Array::plain(&mut reader, len, Path::new("x.npy")).unwrap();
        array.survey().unwrap()
    }

    #[test]
    fn constant_channels_are_found_in_either_order() {
        // [[1, 5, 2], [3, 5, 2]]
        for (by_columns, numbers) in [
            (false, [1.0, 5.0, 2.0, 3.0, 5.0, 2.0]),
            (true, [1.0, 3.0, 5.0, 5.0, 2.0, 2.0]),
        ] {
            let found = survey("(2, 3)", by_columns, &numbers);
            assert_eq!((found.channels, &found.constant[..]), (3, &[1, 2][..]));
            assert_eq!(found.range, Some([1.0, 3.0, 5.0]));
            assert!(found.counts && !found.ascending);
        }
        // [trials, channels, bins] with a second channel of fours.
        let rows = [0.0, 1.0, 4.0, 4.0, 2.0, 3.0, 4.0, 4.0];
        assert_eq!(survey("(2, 2, 2)", false, &rows).constant, [1]);
        let columns = [0.0, 2.0, 4.0, 4.0, 1.0, 3.0, 4.0, 4.0];
        assert_eq!(survey("(2, 2, 2)", true, &columns).constant, [1]);
    }

    #[test]
    fn what_is_not_finite_is_counted_and_left_out_of_the_range() {
        let found = survey("(4,)", false, &[f64::NAN, -1.0, f64::INFINITY, 3.0]);
        assert_eq!((found.nan, found.infinite), (1, 1));
        assert_eq!(found.range, Some([-1.0, 1.0, 3.0]));
        assert!(!found.counts && !found.ascending && found.constant.is_empty());
        assert!(survey("(3,)", false, &[0.0, 0.0, 2.0]).ascending);
        assert_eq!(survey("(2,)", false, &[f64::NAN; 2]).range, None);
    }
}
