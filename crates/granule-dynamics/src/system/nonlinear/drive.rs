//! G: linear, or a small network.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::system::linear::{check_matrix, driven, matrix_parameter};
use crate::system::{Mlp, MlpConfig};
use crate::{DynamicsError, Held, Place, Variable};

/// G of a `NonlinearSystem`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DriveConfig {
    /// G(Y, U) = B Y + C U, both trainable.
    Linear {
        /// B: one row for each value of X, one column for each of Y; empty for zeros.
        #[serde(default)]
        b: Vec<Vec<f64>>,
        /// C: one row for each value of X, one column for each of U; empty for zeros.
        #[serde(default)]
        c: Vec<Vec<f64>>,
    },
    /// G(Y, U) by a small network.
    Network(MlpConfig),
}

impl DriveConfig {
    pub(super) fn network(&self) -> Option<&MlpConfig> {
        match self {
            Self::Network(network) => Some(network),
            Self::Linear { .. } => None,
        }
    }

    /// Checks it for a form of so many values, with the widths of Y and U.
    pub(super) fn validate(
        &self,
        size: usize,
        [population, external]: [usize; 2],
    ) -> Result<(), DynamicsError> {
        match self {
            Self::Linear { b, c } => {
                for (name, matrix, columns) in
                    [("drive.b", b, population), ("drive.c", c, external)]
                {
                    if !matrix.is_empty() {
                        check_matrix(name, matrix, size, Some(columns))?;
                    }
                }
                Ok(())
            }
            Self::Network(_) if population + external == 0 => {
                let allowed = "linear, where there is neither population nor external input";
                Err(DynamicsError::config("drive.kind", "network", allowed))
            }
            Self::Network(network) => network.validate("drive"),
        }
    }

    pub(super) fn init(
        &self,
        size: usize,
        [population, external]: [usize; 2],
        place: &Place,
    ) -> Drive {
        let matrix = |given: &[Vec<f64>], columns: usize| {
            let zeros = || Param::from_tensor(place.full(0.0, [size, columns]));
            (columns > 0).then(|| matrix_parameter(given, place).unwrap_or_else(zeros))
        };
        match self {
            Self::Linear { b, c } => Drive::Linear(LinearDrive {
                b: matrix(b, population),
                c: matrix(c, external),
            }),
            Self::Network(network) => {
                Drive::Network(network.init(population + external, size, 1, place))
            }
        }
    }
}

/// G of a `NonlinearSystem`.
#[derive(Module, Debug)]
pub enum Drive {
    /// B Y + C U.
    Linear(LinearDrive),
    /// A network of Y and U.
    Network(Mlp),
}

/// G(Y, U) = B Y + C U.
#[derive(Module, Debug)]
pub struct LinearDrive {
    /// B, `[size, population]`.
    pub b: Option<Param<Tensor<2>>>,
    /// C, `[size, external]`.
    pub c: Option<Param<Tensor<2>>>,
}

impl Drive {
    /// G(Y, U) of the channels of an input.
    pub(super) fn of(&self, inputs: &[Variable], input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        match self {
            Self::Linear(LinearDrive { b, c }) => {
                let transposed = |matrix: &Param<Tensor<2>>| matrix.val().transpose();
                let matrices = [b, c].map(|matrix| matrix.as_ref().map(transposed));
                driven(inputs, input, matrices)
            }
            Self::Network(network) => Some(network.forward(input?.clone())),
        }
    }

    pub(super) fn settings(&self) -> Vec<(&'static str, Held<'_>)> {
        let Self::Linear(LinearDrive { b, c }) = self else {
            return Vec::new();
        };
        let matrices = [("b", b), ("c", c)].into_iter();
        let given =
            matrices.filter_map(|(name, matrix)| Some((name, Held::Matrix(matrix.as_ref()?))));
        given.collect()
    }
}
