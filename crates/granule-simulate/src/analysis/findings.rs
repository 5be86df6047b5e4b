//! What an analysis has found, whatever shows it.

#[cfg(feature = "plot")]
use granule_chart::Figure;

/// The result of an analysis.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What is known, row after row.
    pub tables: Vec<Table>,
    /// Larger arrays: curves and matrices.
    pub arrays: Vec<Array>,
    /// What has to be known about it, one sentence each.
    pub notes: Vec<String>,
    /// Its picture, where it has one.
    #[cfg(feature = "plot")]
    pub figure: Option<Figure>,
}

/// Rows of the same columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What a row is, in the plural.
    pub name: &'static str,
    /// The names of the columns, with units.
    pub columns: Vec<Column>,
    /// One cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What it is.
    pub name: String,
    /// Its unit; `1` where there is none.
    pub unit: String,
}

/// A cell of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number; not finite where there is none.
    Number(f64),
    /// A word.
    Word(String),
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::Number(value as f64)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Word(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Word(value)
    }
}

/// Numbers by a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What it is.
    pub name: String,
    /// Its extent.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f64>,
}

impl Array {
    /// Numbers of this shape.
    pub fn new(name: impl Into<String>, shape: Vec<usize>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            shape,
            values,
        }
    }
}

impl Table {
    /// A table without rows; each column is a name and a unit.
    pub fn new<N: Into<String>, U: Into<String>>(
        name: &'static str,
        columns: impl IntoIterator<Item = (N, U)>,
    ) -> Self {
        let columns = columns.into_iter().map(|(name, unit)| Column {
            name: name.into(),
            unit: unit.into(),
        });
        Self {
            name,
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// The numbers of a column; none for a word.
    pub fn numbers(&self, column: &str) -> Option<Vec<Option<f64>>> {
        let place = self.columns.iter().position(|own| own.name == column)?;
        let rows = self.rows.iter().map(|row| match row.get(place) {
            Some(Cell::Number(value)) => Some(*value),
            _ => None,
        });
        Some(rows.collect())
    }
}
