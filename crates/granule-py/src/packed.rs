//! Numbers on their way to and from NumPy, by buffers of Python: the crate `numpy` would have other features of what Burn is
//! built from than the command has, and all of it be compiled twice.

use granule::io::budget;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::error::Failure;

/// The bytes of an array in C order, which NumPy may write to, and its shape.
pub type Packed<'py> = (Bound<'py, PyByteArray>, Vec<usize>);

/// A number by its bytes in the machine's order.
pub trait Number: Copy {
    /// How many bytes it has.
    const SIZE: usize;

    /// Writes them.
    fn write(self, bytes: &mut [u8]);
}

impl Number for f32 {
    const SIZE: usize = 4;

    fn write(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.to_ne_bytes());
    }
}

impl Number for f64 {
    const SIZE: usize = 8;

    fn write(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.to_ne_bytes());
    }
}

/// An array of this shape.
///
/// # Errors
/// Too little memory.
pub fn pack<'py, T: Number>(
    py: Python<'py>,
    values: &[T],
    shape: Vec<usize>,
) -> PyResult<Packed<'py>> {
    let length = values.len().saturating_mul(T::SIZE);
    let bytes = PyByteArray::new_with(py, length, |bytes| {
        for (place, value) in bytes.chunks_exact_mut(T::SIZE).zip(values) {
            value.write(place);
        }
        Ok(())
    })?;
    Ok((bytes, shape))
}

/// A copy of the numbers of a buffer, row-major; none of a buffer of another type. Whoever else holds the buffer may write to
/// it afterwards.
pub fn unpack<T: Element>(array: &Bound<'_, PyAny>) -> Option<PyResult<Vec<T>>> {
    let buffer = PyBuffer::<T>::get(array).ok()?;
    let room = budget::ask_for::<T>("a copy of the samples", buffer.item_count());
    Some(match room {
        Ok(()) => buffer.to_vec(array.py()),
        Err(error) => Err(Failure::from(error).into_py(array.py())),
    })
}
