use burn::tensor::{DType, Tensor};

use crate::model::Field;
use crate::state::host;
use crate::{DynamicsError, Place, State, Variable};

/// An autonomous vector field dx/dt = f(x) on the host.
pub trait HostField {
    /// The number of variables.
    fn dimension(&self) -> usize;

    /// f(x).
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] where a device is asked and fails.
    fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError>;

    /// ∂fᵢ/∂xⱼ at `[i·dimension + j]`.
    ///
    /// # Errors
    ///
    /// Those of [`velocity`](Self::velocity).
    fn jacobian(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError>;

    /// The product of the Jacobian with a direction.
    ///
    /// # Errors
    ///
    /// Those of [`velocity`](Self::velocity).
    fn tangent(&self, x: &[f64], direction: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let jacobian = self.jacobian(x)?;
        let rows = jacobian.chunks_exact(self.dimension().max(1));
        Ok(rows
            .map(|row| row.iter().zip(direction).map(|(j, d)| j * d).sum())
            .collect())
    }
}

/// Any [`Field`] at time 0 with a constant input, its Jacobian by central differences on the field's device: good to about
/// nine digits in double precision and three in single.
pub struct FieldOnHost<'a> {
    field: &'a dyn Field,
    input: Option<Tensor<2>>,
    place: Place,
}

impl<'a> FieldOnHost<'a> {
    /// The field, whose parameters are at `place`, with an input `[1, channels]`.
    pub fn new(field: &'a dyn Field, input: Option<Tensor<2>>, place: &Place) -> Self {
        Self {
            field,
            input,
            place: place.clone(),
        }
    }

    /// f of many states at once, row by row.
    fn evaluate(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, DynamicsError> {
        let state = state_of_rows(rows, self.field.variables(), &self.place);
        let slope = (self.field).derivative(0.0, &state, self.input.as_ref());
        rows_of_state(slope, rows.len())
    }

    /// The distance over which differences are taken at x.
    fn reach(&self, x: &[f64]) -> f64 {
        let rounding: f64 = match self.place.dtype {
            DType::F64 => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        };
        rounding.cbrt() * x.iter().fold(1.0, |m: f64, x| m.max(x.abs()))
    }
}

impl HostField for FieldOnHost<'_> {
    fn dimension(&self) -> usize {
        self.field.variables().iter().map(|v| v.width).sum()
    }

    fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        Ok(self.evaluate(&[x.to_vec()])?.concat())
    }

    fn jacobian(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let h = self.reach(x);
        jacobian_by_differences(x, |_| h, |rows| self.evaluate(rows))
    }

    fn tangent(&self, x: &[f64], direction: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        tangent_by_differences(x, direction, self.reach(x), |rows| self.evaluate(rows))
    }
}

/// The state of a batch: each row has the numbers of all variables, one after the other.
pub fn state_of_rows(rows: &[Vec<f64>], variables: &[Variable], place: &Place) -> State {
    let mut first = 0;
    let mut state = Vec::with_capacity(variables.len());
    for variable in variables {
        let columns = first..first + variable.width;
        let values = rows.iter().flat_map(|row| &row[columns.clone()]);
        let shape = [rows.len(), variable.width];
        state.push(place.tensor(values.copied().collect(), shape));
        first = columns.end;
    }
    State::new(state)
}

/// The rows of a state, as [`state_of_rows`] takes them.
///
/// # Errors
///
/// [`DynamicsError::Device`].
pub fn rows_of_state(state: State, batch: usize) -> Result<Vec<Vec<f64>>, DynamicsError> {
    let mut rows = vec![Vec::new(); batch];
    for x in state.into_tensors() {
        let width = x.dims()[1].max(1);
        let values = host(x)?;
        for (row, values) in rows.iter_mut().zip(values.chunks_exact(width)) {
            row.extend(values);
        }
    }
    Ok(rows)
}

/// The Jacobian of a field at x by central differences, each over `reach` of its number. `velocities` gives the field of many
/// states at once.
///
/// # Errors
///
/// Those of `velocities`.
pub fn jacobian_by_differences(
    x: &[f64],
    reach: impl Fn(f64) -> f64,
    velocities: impl Fn(&[Vec<f64>]) -> Result<Vec<Vec<f64>>, DynamicsError>,
) -> Result<Vec<f64>, DynamicsError> {
    let n = x.len();
    let rows: Vec<Vec<f64>> = (0..2 * n)
        .map(|k| {
            let mut row = x.to_vec();
            let h = reach(x[k / 2]);
            row[k / 2] += if k % 2 == 0 { h } else { -h };
            row
        })
        .collect();
    let slopes = velocities(&rows)?;
    let mut jacobian = vec![0.0; n * n];
    for (j, pair) in slopes.chunks_exact(2).enumerate() {
        for i in 0..n {
            jacobian[i * n + j] = (pair[0][i] - pair[1][i]) / (2.0 * reach(x[j]));
        }
    }
    Ok(jacobian)
}

/// The product of the Jacobian with a direction by a central difference over `reach`.
///
/// # Errors
///
/// Those of `velocities`.
pub fn tangent_by_differences(
    x: &[f64],
    direction: &[f64],
    reach: f64,
    velocities: impl Fn(&[Vec<f64>]) -> Result<Vec<Vec<f64>>, DynamicsError>,
) -> Result<Vec<f64>, DynamicsError> {
    let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
    if length == 0.0 {
        return Ok(vec![0.0; x.len()]);
    }
    let h = reach / length;
    let moved = |sign: f64| -> Vec<f64> {
        let pairs = x.iter().zip(direction);
        pairs.map(|(x, d)| x + sign * h * d).collect()
    };
    let slopes = velocities(&[moved(1.0), moved(-1.0)])?;
    let pairs = slopes[0].iter().zip(&slopes[1]);
    Ok(pairs.map(|(a, b)| (a - b) / (2.0 * h)).collect())
}
