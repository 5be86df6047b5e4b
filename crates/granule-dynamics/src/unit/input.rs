use burn::tensor::Tensor;

use crate::DynamicsError;

/// Checks that a current `[batch or 1, cells or 1]` fits cells of the potential `v`.
pub(super) fn fits(current: &Tensor<2>, v: &Tensor<2>, cell: &str) -> Result<(), DynamicsError> {
    let (found, expected) = (current.dims(), v.dims());
    let fits = found
        .iter()
        .zip(&expected)
        .all(|(n, of)| *n == 1 || n == of);
    if fits {
        Ok(())
    } else {
        Err(DynamicsError::Shape {
            what: format!("the input of {cell}"),
            expected: expected.to_vec(),
            found: found.to_vec(),
        })
    }
}
