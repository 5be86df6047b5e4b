//! Thrift's compact protocol, by which Parquet writes what it says of itself.

/// The type of a field or of the elements of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Int,
    Double,
    Bytes,
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Bytes,
            // A set is written as a list is.
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return None,
        })
    }
}

/// Structures lie within each other at most so deep.
const DEEPEST: usize = 32;

/// What is left to be read. `None` where it is damaged.
#[derive(Debug, Clone)]
pub(super) struct Compact<'a>(pub(super) &'a [u8]);

impl<'a> Compact<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A whole number: negative ones are odd.
    pub(super) fn int(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A whole number that is not negative.
    pub(super) fn count(&mut self) -> Option<u64> {
        u64::try_from(self.int()?).ok()
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.varint()?).ok()?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The type and the number of the elements of a list.
    pub(super) fn list(&mut self) -> Option<(Kind, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            count => usize::from(count),
        };
        // An element takes at least a byte.
        (count <= self.0.len()).then_some((Kind::of(head & 15)?, count))
    }

    /// The number of the next field of a structure and its type, where `last` is the one before, 0 at first; `Some(None)` at
    /// its end.
    pub(super) fn field(&mut self, last: &mut i64) -> Option<Option<(i64, Kind)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *last = match head >> 4 {
            0 => self.int()?,
            step => last.checked_add(i64::from(step))?,
        };
        Some(Some((*last, Kind::of(head & 15)?)))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, kind: Kind) -> Option<()> {
        self.skip_within(kind, false, DEEPEST)
    }

    /// Truth values have a byte as elements alone.
    fn skip_within(&mut self, kind: Kind, is_element: bool, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Kind::True | Kind::False if !is_element => {}
            Kind::True | Kind::False | Kind::Byte => drop(self.take(1)?),
            Kind::Int => drop(self.varint()?),
            Kind::Double => drop(self.take(8)?),
            Kind::Uuid => drop(self.take(16)?),
            Kind::Bytes => drop(self.bytes()?),
            Kind::List => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_within(kind, true, depth)?;
                }
            }
            Kind::Map => {
                let count = self.varint()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 15)?);
                    for _ in 0..count {
                        self.skip_within(key, true, depth)?;
                        self.skip_within(value, true, depth)?;
                    }
                }
            }
            Kind::Struct => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip_within(kind, false, depth)?;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(Compact(&[0xac, 0x02]).varint(), Some(300));
        let ints = [(0, 0), (1, -1), (2, 1), (3, -2)];
        for (byte, number) in ints {
            assert_eq!(Compact(&[byte]).int(), Some(number));
        }
        let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Compact(&most).int(), Some(i64::MAX));
        assert_eq!(Compact(&[0x80; 20]).varint(), None);
        assert_eq!(Compact(&[0x05]).count(), None);
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        // Field 1 true, field 2 a list of two numbers, field 20 a map of a text to a structure, then field 21, a number.
        let bytes = [
            0x11, 0x19, 0x25, 0x02, 0x04, 0x0b, 0x28, 0x01, 0x8c, 0x01, b'a', 0x15, 0x08, 0x00,
            0x15, 0x0a, 0x00,
        ];
        let mut compact = Compact(&bytes);
        let (mut last, mut found) = (0, Vec::new());
        while let Some((id, kind)) = compact.field(&mut last).unwrap() {
            found.push(id);
            if id == 21 {
                assert_eq!(compact.int(), Some(5));
            } else {
                compact.skip(kind).unwrap();
            }
        }
        assert_eq!((found, compact.0), (vec![1, 2, 20, 21], &[][..]));
        // Cut anywhere, it ends.
        for end in 0..bytes.len() {
            let mut compact = Compact(&bytes[..end]);
            assert_eq!(compact.skip(Kind::Struct), None, "{end}");
        }
    }

    #[test]
    fn structures_do_not_nest_for_ever() {
        assert_eq!(Compact(&[0x1c; 1000]).skip(Kind::Struct), None);
        assert_eq!(Compact(&[0x19; 1000]).skip(Kind::List), None);
        assert_eq!(Compact(&[0xf9, 0xff, 0xff, 0xff, 0xff, 0x0f]).list(), None);
    }
}
