//! Matrices of a configuration, and what they make of Y and U.

use burn::module::Param;
use burn::tensor::Tensor;
use granule_io::words::counted;

use crate::system::channel;
use crate::{DynamicsError, Place, Variable};

/// Checks that every row of a matrix has `columns` values, or as many as the first, at least one, and that all are
/// finite.
pub(in crate::system) fn check_matrix(
    name: &str,
    matrix: &[Vec<f64>],
    rows: usize,
    columns: Option<usize>,
) -> Result<(), DynamicsError> {
    let columns = columns
        .unwrap_or_else(|| matrix.first().map_or(0, Vec::len))
        .max(1);
    if matrix.len() != rows || matrix.iter().any(|row| row.len() != columns) {
        let lengths: Vec<String> = matrix.iter().map(|row| row.len().to_string()).collect();
        let found = format!(
            "{} of {} values",
            counted(matrix.len(), "row"),
            lengths.join(", ")
        );
        let allowed = format!("{} of {}", counted(rows, "row"), counted(columns, "value"));
        return Err(DynamicsError::config(name, found, allowed));
    }
    for (i, row) in matrix.iter().enumerate() {
        if let Some(j) = row.iter().position(|value| !value.is_finite()) {
            return Err(DynamicsError::config(
                format!("{name}[{i}][{j}]"),
                row[j],
                "a finite number",
            ));
        }
    }
    Ok(())
}

/// A checked matrix as a parameter, `[rows, columns]`; nothing where it is empty.
pub(in crate::system) fn matrix_parameter(
    matrix: &[Vec<f64>],
    place: &Place,
) -> Option<Param<Tensor<2>>> {
    let columns = matrix.first()?.len();
    let values = place.tensor(matrix.concat(), [matrix.len(), columns]);
    Some(Param::from_tensor(values))
}

/// The widths of Y and U as channels.
pub(in crate::system) fn population_and_external(
    population: usize,
    external: usize,
) -> Vec<Variable> {
    vec![
        Variable::new("population", "1", population),
        Variable::new("external", "1", external),
    ]
}

/// B Y + C U of the channels of an input, with Bᵀ and Cᵀ.
pub(in crate::system) fn driven(
    inputs: &[Variable],
    input: Option<&Tensor<2>>,
    [b, c]: [Option<Tensor<2>>; 2],
) -> Option<Tensor<2>> {
    let part = |index: usize, matrix: Option<Tensor<2>>| {
        let matrix = matrix?;
        Some(channel(inputs, index, input)?.matmul(matrix))
    };
    match (part(0, b), part(1, c)) {
        (Some(b), Some(c)) => Some(b + c),
        (b, c) => b.or(c),
    }
}
