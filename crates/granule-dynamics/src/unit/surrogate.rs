use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::setting::Range;

/// What stands for the derivative of a spike, a step function, in the backward pass.
///
/// `x` is the distance to the threshold in units of the distance from reset to threshold, so that one slope suits cells
/// of all scales.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Surrogate {
    /// 1/(1 + slope·|x|)², the fast sigmoid or SuperSpike (Zenke & Ganguli 2018).
    FastSigmoid {
        /// Above 0.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        slope: f64,
    },
    /// (slope/2)/(1 + (π·slope·x/2)²), the derivative of an arctan (Fang et al. 2021).
    Arctan {
        /// Above 0.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        slope: f64,
    },
    /// height·max(0, 1 − slope·|x|), the triangle (Esser et al. 2016; Bellec et al. 2018).
    Triangular {
        /// Above 0.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        slope: f64,
        /// Above 0; less than 1 dampens gradients that pass many spikes.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        height: f64,
    },
}

impl Default for Surrogate {
    fn default() -> Self {
        Self::FastSigmoid { slope: 25.0 }
    }
}

impl Surrogate {
    /// Checks that slope and height are positive.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the one that is not.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let (slope, height) = match *self {
            Self::FastSigmoid { slope } | Self::Arctan { slope } => (slope, 1.0),
            Self::Triangular { slope, height } => (slope, height),
        };
        for (field, value) in [("surrogate.slope", slope), ("surrogate.height", height)] {
            Range::Positive.check(field, value)?;
        }
        Ok(())
    }

    /// `spikes` in value, with the surrogate's derivative with respect to `x`; any shape, the same for both.
    pub fn attach<const D: usize>(&self, spikes: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
        if !crate::state::is_tracked(&x) {
            return spikes;
        }
        let soft = self.smooth(x);
        // Grouped so that the difference is 0 and the value that of `spikes`, to the last bit.
        spikes.detach() + (soft.clone() - soft.detach())
    }

    /// A function whose derivative is the surrogate.
    fn smooth<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match *self {
            Self::FastSigmoid { slope } => {
                let scale = x.clone().abs().mul_scalar(slope).add_scalar(1.0);
                x / scale
            }
            Self::Arctan { slope } => {
                let angle = x.mul_scalar(std::f64::consts::FRAC_PI_2 * slope).atan();
                angle.mul_scalar(std::f64::consts::FRAC_1_PI)
            }
            Self::Triangular { slope, height } => {
                let x = x.clamp(-1.0 / slope, 1.0 / slope);
                let bend = (x.clone() * x.clone().abs()).mul_scalar(0.5 * slope);
                (x - bend).mul_scalar(height)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::testing::{assert_close, f64_autodiff};

    const X: [f64; 7] = [-3.0, -0.7, -0.1, 0.0, 0.02, 0.5, 4.0];

    fn derivative(surrogate: Surrogate, x: f64) -> f64 {
        use std::f64::consts::PI;
        match surrogate {
            Surrogate::FastSigmoid { slope } => (1.0 + slope * x.abs()).powi(-2),
            Surrogate::Arctan { slope } => 0.5 * slope / (1.0 + (0.5 * PI * slope * x).powi(2)),
            Surrogate::Triangular { slope, height } => height * (1.0 - slope * x.abs()).max(0.0),
        }
    }

    #[test]
    fn the_value_is_the_step_and_the_derivative_the_formula() {
        let place = f64_autodiff();
        for surrogate in [
            Surrogate::default(),
            Surrogate::Arctan { slope: 2.0 },
            Surrogate::Triangular {
                slope: 1.5,
                height: 0.3,
            },
        ] {
            let x: Tensor<1> = place.tensor(X.to_vec(), [X.len()]).require_grad();
            let step = x.clone().greater_equal_elem(0.0).float().cast(place.dtype);
            let y = surrogate.attach(step, x.clone());
            let values = host(y.clone()).unwrap();
            let slopes = host(x.grad(&y.backward()).unwrap()).unwrap();
            for ((x, value), slope) in X.into_iter().zip(values).zip(slopes) {
                assert_eq!(value, f64::from(x >= 0.0));
                assert_close(slope, derivative(surrogate, x), 1e-14);
            }
        }
    }

    #[test]
    fn a_slope_that_is_not_positive_is_refused() {
        let flat = Surrogate::Arctan { slope: 0.0 };
        let error = flat.validate().unwrap_err().to_string();
        assert!(error.contains("surrogate.slope = 0"), "{error}");
        let upside_down = Surrogate::Triangular {
            slope: 1.0,
            height: -1.0,
        };
        let error = upside_down.validate().unwrap_err().to_string();
        assert!(error.contains("surrogate.height"), "{error}");
    }
}
