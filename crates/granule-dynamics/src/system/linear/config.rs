use serde::{Deserialize, Serialize};

use super::LinearSystem;
use super::matrix::{check_matrix, matrix_parameter};
use crate::setting::{self, Range, Setting};
use crate::system::parameters::check_trainable;
use crate::{DynamicsError, Place, Values};

/// Settings of [`LinearSystem`]; the default is a damped rotation in two variables that one population drives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LinearSystemConfig {
    /// A (1/ms): one row for each variable, as many columns.
    pub a: Vec<Vec<f64>>,
    /// B (1/ms): one row for each variable, one column for each of the population's channels; empty without population.
    pub b: Vec<Vec<f64>>,
    /// C (1/ms): one row for each variable, one column for each external channel; empty without external input.
    pub c: Vec<Vec<f64>>,
    /// X at the beginning: one value for all variables or one for each.
    pub initial: Values,
    /// Which of `a`, `b`, `c` and `initial` training may move.
    pub trainable: Vec<String>,
}

impl Default for LinearSystemConfig {
    fn default() -> Self {
        Self {
            a: vec![vec![-0.05, -0.1], vec![0.1, -0.05]],
            b: vec![vec![0.1], vec![0.0]],
            c: Vec::new(),
            initial: 0.0.into(),
            trainable: Vec::new(),
        }
    }
}

impl LinearSystemConfig {
    /// The names that `trainable` may hold.
    pub const PARAMETERS: &'static [&'static str] = &["a", "b", "c", "initial"];

    fn initial(&self) -> Setting<'_> {
        Setting::new("initial", &self.initial, Range::Any)
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a matrix that does not fit or is not finite, or an unknown name.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let size = self.a.len();
        if size == 0 {
            return Err(DynamicsError::config("a", "[]", "at least one row"));
        }
        check_matrix("a", &self.a, size, Some(size))?;
        for (name, matrix) in [("b", &self.b), ("c", &self.c)] {
            if !matrix.is_empty() {
                check_matrix(name, matrix, size, None)?;
            }
        }
        setting::validate("", &[self.initial()], &[], (size, "unit"))?;
        check_trainable(&self.trainable, Self::PARAMETERS)
    }

    /// The system on a device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<LinearSystem, DynamicsError> {
        self.validate()?;
        let trained = |name: &str| self.trainable.iter().any(|other| other == name);
        let matrix = |name: &str, rows: &[Vec<f64>]| {
            let parameter = matrix_parameter(rows, place)?;
            Some(parameter.set_require_grad(trained(name)))
        };
        let a = matrix("a", &self.a).ok_or_else(|| DynamicsError::config("a", "[]", "one row"))?;
        Ok(LinearSystem {
            a,
            b: matrix("b", &self.b),
            c: matrix("c", &self.c),
            initial: self.initial().init("", &self.trainable, place)?,
        })
    }
}
