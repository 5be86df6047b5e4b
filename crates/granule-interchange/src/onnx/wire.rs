//! The wire format of Protocol Buffers: messages of numbered fields. What is read is borrowed from the file, so that a message
//! takes no memory, however many it claims to hold.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// A message is cut off or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// The fields of a message, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(Damaged)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Damaged> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Damaged)?;
        if number == 0 {
            return Err(Damaged);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.first_chunk().ok_or(Damaged)?;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.first_chunk().ok_or(Damaged)?;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            _ => return Err(Damaged),
        };
        Ok((number, value))
    }

    /// Whether all has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// A message that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, number: u32, kind: u64) {
        self.raw_varint(u64::from(number) << 3 | kind);
    }

    pub(super) fn varint(mut self, number: u32, value: u64) -> Self {
        self.key(number, 0);
        self.raw_varint(value);
        self
    }

    pub(super) fn int(self, number: u32, value: i64) -> Self {
        self.varint(number, value.cast_unsigned())
    }

    pub(super) fn float(mut self, number: u32, value: f32) -> Self {
        self.key(number, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(self, number: u32, bytes: &[u8]) -> Self {
        let mut message = self.begin(number, bytes.len() as u64);
        message.0.extend_from_slice(bytes);
        message
    }

    pub(super) fn text(self, number: u32, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    pub(super) fn message(self, number: u32, message: &Self) -> Self {
        self.bytes(number, &message.0)
    }

    /// A field of so many bytes, which come next.
    pub(super) fn begin(mut self, number: u32, length: u64) -> Self {
        self.key(number, 2);
        self.raw_varint(length);
        self
    }

    /// This one with the fields of another after its own.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let inner = Message::default().text(1, "name").float(2, 0.5);
        let message = Message::default()
            .varint(1, 300)
            .int(2, -1)
            .message(7, &inner);
        // 300 is the example of the format's own documentation.
        assert_eq!(message.as_bytes()[..3], [0x08, 0xac, 0x02]);
        let fields: Vec<_> = Fields::of(message.as_bytes()).map(Result::unwrap).collect();
        let [
            (1, Value::Varint(300)),
            (2, Value::Varint(u64::MAX)),
            (7, Value::Bytes(bytes)),
        ] = fields[..]
        else {
            panic!("{fields:?}");
        };
        let fields: Vec<_> = Fields::of(bytes).map(Result::unwrap).collect();
        assert_eq!(
            fields,
            [
                (1, Value::Bytes(b"name")),
                (2, Value::Fixed32(0.5_f32.to_bits()))
            ]
        );
    }

    #[test]
    fn what_is_no_message_ends() {
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0b",
            b"\x00\x00",
            b"\x09abc",
        ] {
            let fields: Vec<_> = Fields::of(bytes).collect();
            assert_eq!(fields, [Err(Damaged)], "{bytes:?}");
        }
    }
}
