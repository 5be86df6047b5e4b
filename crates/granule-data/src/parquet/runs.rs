//! Small numbers as Parquet writes levels and the places of values in a dictionary: runs of one number, and packed bits.

use super::compact::Compact;

/// Reads `count` numbers of `width` bits each; `each` is given a number and how often it comes, one after the other. `None` where
/// the bytes are damaged, or `each` says so.
pub(super) fn read(
    bytes: &[u8],
    width: u32,
    count: usize,
    mut each: impl FnMut(u32, usize) -> Option<()>,
) -> Option<()> {
    if width > 32 {
        return None;
    }
    let mut left = count;
    let mut rest = Compact(bytes);
    while left > 0 {
        if width == 0 && rest.0.is_empty() {
            return each(0, left);
        }
        let head = rest.varint()?;
        let length = usize::try_from(head >> 1).ok()?;
        if head & 1 == 0 {
            let (number, after) = rest.0.split_at_checked(width.div_ceil(8) as usize)?;
            rest.0 = after;
            let number = number.iter().rev();
            let number = number.fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
            let length = length.min(left);
            each(number, length)?;
            left -= length;
        } else {
            // Groups of eight, of which the last may be cut short at the end.
            let packed = length.checked_mul(width as usize)?.min(rest.0.len());
            let (packed, after) = rest.0.split_at_checked(packed)?;
            rest.0 = after;
            let whole = length.checked_mul(8)?.min(left);
            for number in numbers(packed, width).take(whole) {
                each(number, 1)?;
                left -= 1;
            }
            let missing = width > 0 && packed.len() * 8 < whole * width as usize;
            if missing {
                return None;
            }
        }
    }
    Some(())
}

/// The numbers of so many bits, the lowest first; of no bits zeros without end.
fn numbers(bytes: &[u8], width: u32) -> impl Iterator<Item = u32> {
    let mut bytes = bytes.iter();
    let (mut held, mut bits) = (0_u64, 0);
    std::iter::from_fn(move || {
        while bits < width {
            held |= u64::from(*bytes.next()?) << bits;
            bits += 8;
        }
        let number = held & ((1_u64 << width) - 1);
        held >>= width;
        bits -= width;
        Some(number as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], width: u32, count: usize) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        read(bytes, width, count, |number, times| {
            found.extend(std::iter::repeat_n(number, times));
            Some(())
        })?;
        Some(found)
    }

    #[test]
    fn runs_and_packed_bits_are_read() {
        // Parquet's own example: 0 to 7 in three bits.
        let packed = [0x03, 0x88, 0xc6, 0xfa];
        assert_eq!(all(&packed, 3, 8), Some((0..8).collect()));
        assert_eq!(all(&packed, 3, 5), Some((0..5).collect()));
        assert_eq!(all(&packed[..3], 3, 8), None);
        // Four times 300, then three bits.
        let mixed = [0x08, 0x2c, 0x01, 0x03, 0x05];
        assert_eq!(all(&mixed[..3], 9, 4), Some(vec![300; 4]));
        assert_eq!(all(&mixed[..3], 9, 5), None);
        assert_eq!(
            all(&[0x08, 0x01, 0x03, 0x05], 1, 7),
            Some(vec![1, 1, 1, 1, 1, 0, 1])
        );
        // Of one number alone nothing need be said.
        assert_eq!(all(&[], 0, 3), Some(vec![0; 3]));
        assert_eq!(all(&[0x06], 0, 3), Some(vec![0; 3]));
        assert_eq!(all(&[], 1, 1), None);
        assert_eq!(all(&[0x02, 0, 0, 0, 0], 33, 1), None);
        assert_eq!(all(&[0x03, 1, 0, 0, 0], 32, 1), Some(vec![1]));
    }
}
