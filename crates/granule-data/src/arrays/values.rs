//! Real numbers in the precision that they need: a column far from zero is centred before it is cut to single precision.

use std::path::Path;

use granule_io::budget;

use super::npy::Kind;
use super::{Array, elements};
use crate::{DataError, reading};

/// A column is centred when its mean is more than so many times its deviation: single precision then leaves fewer than
/// five digits of what differs between samples.
const FAR: f64 = 100.0;

/// Rows of numbers, in double precision where the file's type may need it.
pub(crate) struct Values {
    numbers: Numbers,
    /// Numbers of a row.
    pub(crate) width: usize,
    /// Columns of 64-bit integers that differ, which double precision need not tell; empty for other types.
    whole: Vec<bool>,
}

enum Numbers {
    Narrow(Vec<f32>),
    Wide(Vec<f64>),
}

impl Values {
    /// Such as counts, `[N, width]`.
    pub(crate) fn of_floats(numbers: Vec<f32>, width: usize) -> Self {
        Self {
            numbers: Numbers::Narrow(numbers),
            width,
            whole: Vec::new(),
        }
    }

    pub(super) fn read(array: Array<'_>) -> Result<Self, DataError> {
        array.check_numbers()?;
        let extents = array.extents();
        let width = extents.iter().skip(1).product::<usize>().max(1);
        let mut whole = Vec::new();
        let numbers = match array.header.kind {
            Kind::I64 | Kind::U64 => {
                let rows = array.header.elements() / width as u64;
                let by_columns = array.header.column_major && extents.len() > 1;
                let path = array.path.to_path_buf();
                whole = budget::filled(false, width, path.display())?;
                let mut first = budget::filled([0; 8], width, path.display())?;
                Numbers::Wide(elements::doubles_seen(array, |at, bytes| {
                    let (row, column) = if by_columns {
                        (at as u64 % rows.max(1), at / rows.max(1) as usize)
                    } else {
                        ((at / width) as u64, at % width)
                    };
                    if let (Some(first), Some(differs)) =
                        (first.get_mut(column), whole.get_mut(column))
                    {
                        match row {
                            0 => first.copy_from_slice(bytes),
                            _ => *differs |= first != bytes,
                        }
                    }
                })?)
            }
            kind if kind.is_wide() => Numbers::Wide(elements::doubles(array)?),
            _ => Numbers::Narrow(elements::floats(array)?),
        };
        Ok(Self {
            numbers,
            width,
            whole,
        })
    }

    /// Which columns are not the same number in every row.
    pub(crate) fn differing(&self, path: &Path) -> Result<Vec<bool>, DataError> {
        let mut differing = budget::filled(false, self.width, path.display())?;
        let first = budget::collect(self.iter().take(self.width), self.width, path.display())?;
        for (at, x) in self.iter().enumerate() {
            let column = at % self.width;
            if let Some(differs) = differing.get_mut(column) {
                *differs |= first.get(column) != Some(&x) || self.whole.get(column) == Some(&true);
            }
        }
        Ok(differing)
    }

    pub(crate) fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Narrow(numbers) => numbers.len(),
            Numbers::Wide(numbers) => numbers.len(),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match &self.numbers {
            Numbers::Narrow(numbers) => Box::new(numbers.iter().map(|&x| f64::from(x))),
            Numbers::Wide(numbers) => Box::new(numbers.iter().copied()),
        }
    }

    /// What to subtract from each column before it is cut to single precision; empty when no column needs it.
    pub(crate) fn offset(&self, path: &Path) -> Result<Vec<f64>, DataError> {
        let Numbers::Wide(numbers) = &self.numbers else {
            return Ok(Vec::new());
        };
        let count = (numbers.len() / self.width).max(1) as f64;
        let mut columns = budget::filled(Column::default(), self.width, path.display())?;
        for row in numbers.chunks_exact(self.width) {
            columns
                .iter_mut()
                .zip(row)
                .for_each(|(column, &x)| column.add(x));
        }
        for row in numbers.chunks_exact(self.width) {
            columns
                .iter_mut()
                .zip(row)
                .for_each(|(column, &x)| column.spread(x, count));
        }
        let offset = columns.iter().map(|column| column.offset(count));
        let offset = budget::collect(offset, self.width, path.display())?;
        Ok(if offset.iter().all(|&x| x == 0.0) {
            Vec::new()
        } else {
            offset
        })
    }

    /// Single-precision numbers, less the offset of their column.
    pub(crate) fn cut(self, offset: &[f64], path: &Path) -> Result<Vec<f32>, DataError> {
        let width = self.width;
        let wide = match self.numbers {
            Numbers::Narrow(mut numbers) => {
                if !offset.is_empty() {
                    for (at, x) in numbers.iter_mut().enumerate() {
                        let offset = offset.get(at % width).copied().unwrap_or(0.0);
                        *x = (f64::from(*x) - offset) as f32;
                    }
                }
                return Ok(numbers);
            }
            Numbers::Wide(numbers) => numbers,
        };
        let mut out: Vec<f32> = Vec::new();
        reading::reserve_exact(&mut out, wide.len(), path)?;
        let cut = |at: usize, x: f64| (x - offset.get(at % width).copied().unwrap_or(0.0)) as f32;
        for (at, &x) in wide.iter().enumerate() {
            let centred = cut(at, x);
            if !centred.is_finite() {
                let rest = wide.iter().enumerate().skip(at);
                return Err(DataError::NonFinite {
                    path: path.to_path_buf(),
                    position: match width {
                        1 => vec![at],
                        _ => vec![at / width, at % width],
                    },
                    value: x,
                    count: rest.filter(|(at, x)| !cut(*at, **x).is_finite()).count(),
                });
            }
            out.push(centred);
        }
        Ok(out)
    }

    /// The numbers in double precision.
    pub(crate) fn doubles(self, path: &Path) -> Result<Vec<f64>, DataError> {
        match self.numbers {
            Numbers::Wide(numbers) => Ok(numbers),
            Numbers::Narrow(numbers) => {
                let count = numbers.len();
                let wide = numbers.into_iter().map(f64::from);
                Ok(budget::collect(wide, count, path.display())?)
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Column {
    sum: f64,
    squares: f64,
    first: Option<f64>,
    differs: bool,
}

impl Column {
    fn add(&mut self, x: f64) {
        self.sum += x;
        let first = *self.first.get_or_insert(x);
        self.differs |= first != x;
    }

    fn spread(&mut self, x: f64, count: f64) {
        self.squares += (x - self.sum / count).powi(2) / count;
    }

    fn offset(&self, count: f64) -> f64 {
        let mean = self.sum / count;
        if !self.differs {
            let only = self.first.unwrap_or(0.0);
            return if f64::from(only as f32) == only {
                0.0
            } else {
                only
            };
        }
        let far = mean.is_finite() && mean.abs() > FAR * self.squares.sqrt();
        if far { mean } else { 0.0 }
    }
}
