use std::io::{self, Read};

/// Numbers in memory as the stream of bytes that an array is read from.
pub(super) struct LittleEndian<'v, T, const N: usize> {
    numbers: &'v [T],
    bytes: fn(T) -> [u8; N],
    at: usize,
}

impl<'v, T, const N: usize> LittleEndian<'v, T, N> {
    pub fn new(numbers: &'v [T], bytes: fn(T) -> [u8; N]) -> Self {
        Self {
            numbers,
            bytes,
            at: 0,
        }
    }
}

impl<T: Copy, const N: usize> Read for LittleEndian<'_, T, N> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while let (Some(rest), Some(&number)) =
            (buffer.get_mut(written..), self.numbers.get(self.at / N))
        {
            let bytes = (self.bytes)(number);
            let left = bytes.get(self.at % N..).unwrap_or_default();
            let count = left.len().min(rest.len());
            if count == 0 {
                break;
            }
            for (out, byte) in rest.iter_mut().zip(left) {
                *out = *byte;
            }
            written += count;
            self.at += count;
        }
        Ok(written)
    }
}
