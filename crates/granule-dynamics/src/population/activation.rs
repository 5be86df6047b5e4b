use burn::tensor::Tensor;
use granule_ops::{Transfer, firing_rate};
use serde::{Deserialize, Serialize};

use crate::DynamicsError;

/// What a unit's state is mapped to: its firing rate r(x).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// r = tanh x, a rate relative to a baseline.
    #[default]
    Tanh,
    /// r = max(x, 0).
    Relu,
    /// r = log(1 + eˣ).
    Softplus,
    /// r = 1/(1 + e⁻ˣ).
    Sigmoid,
    /// r = `gain`·max(x, 0)^`exponent`, the transfer function of the supralinear stabilised network (Ahmadian, Rubin and
    /// Miller 2013).
    PowerLaw {
        /// Above 0.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        gain: f64,
        /// At least 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        exponent: f64,
    },
    /// r = x.
    Linear,
}

impl Activation {
    /// Checks the power law's constants.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(self) -> Result<(), DynamicsError> {
        let Self::PowerLaw { gain, exponent } = self else {
            return Ok(());
        };
        let check = |field: &str, value: f64, fits: bool, allowed: &str| {
            if fits {
                Ok(())
            } else {
                Err(DynamicsError::config(field, value, allowed))
            }
        };
        check(
            "activation.power_law.gain",
            gain,
            gain.is_finite() && gain > 0.0,
            "a finite number above 0",
        )?;
        check(
            "activation.power_law.exponent",
            exponent,
            exponent.is_finite() && exponent >= 1.0,
            "a finite number of at least 1",
        )
    }

    /// The fused form; `None` for a linear unit.
    pub(super) fn transfer(self) -> Option<Transfer> {
        match self {
            Self::Tanh => Some(Transfer::Tanh),
            Self::Relu => Some(Transfer::Relu),
            Self::Softplus => Some(Transfer::Softplus),
            Self::Sigmoid => Some(Transfer::Sigmoid),
            Self::PowerLaw { gain, exponent } => Some(Transfer::PowerLaw { gain, exponent }),
            Self::Linear => None,
        }
    }

    /// r(x), element by element.
    pub fn rate<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.transfer() {
            Some(transfer) => firing_rate(x, transfer),
            None => x,
        }
    }

    /// r(x) of one number.
    pub fn rate_of(self, x: f64) -> f64 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::PowerLaw { gain, exponent } => gain * x.max(0.0).powf(exponent),
            Self::Linear => x,
        }
    }

    /// r′(x) of one number.
    pub fn slope_of(self, x: f64) -> f64 {
        match self {
            Self::Tanh => 1.0 - x.tanh() * x.tanh(),
            Self::Relu => f64::from(x > 0.0),
            Self::Softplus => 1.0 / (1.0 + (-x).exp()),
            Self::Sigmoid => {
                let r = self.rate_of(x);
                r * (1.0 - r)
            }
            Self::PowerLaw { gain, exponent } if x > 0.0 => {
                gain * exponent * x.powf(exponent - 1.0)
            }
            Self::PowerLaw { .. } => 0.0,
            Self::Linear => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Place, host};
    use crate::testing::{assert_close, f32_places, f64_autodiff, host_device};

    const ALL: [Activation; 6] = [
        Activation::Tanh,
        Activation::Relu,
        Activation::Softplus,
        Activation::Sigmoid,
        Activation::PowerLaw {
            gain: 0.3,
            exponent: 2.0,
        },
        Activation::Linear,
    ];
    const AT: [f64; 8] = [-90.0, -3.0, -0.4, 1e-3, 0.7, 2.5, 30.0, 95.0];

    #[test]
    fn device_and_host_agree_in_value_and_slope() {
        let places = ["flex", "ndarray"].map(|name| Place::f64(&host_device(name).autodiff()));
        for (place, activation) in places.iter().flat_map(|p| ALL.map(|a| (p, a))) {
            let x = place.tensor::<1>(AT.to_vec(), [AT.len()]).require_grad();
            let r = activation.rate(x.clone());
            let values = host(r.clone()).unwrap();
            let mut gradients = r.sum().backward();
            let slopes = host(x.grad_remove(&mut gradients).unwrap()).unwrap();
            for (i, at) in AT.into_iter().enumerate() {
                assert_close(values[i], activation.rate_of(at), 1e-14);
                assert_close(slopes[i], activation.slope_of(at), 1e-14);
                let h = 1e-6;
                let between = activation.rate_of(at + h) - activation.rate_of(at - h);
                assert_close(activation.slope_of(at), between / (2.0 * h), 1e-7);
            }
        }
    }

    #[test]
    fn single_precision_stays_finite_far_out() {
        for (name, place) in f32_places() {
            for activation in ALL {
                let x = place.tensor::<1>(AT.to_vec(), [AT.len()]);
                for (found, at) in host(activation.rate(x)).unwrap().iter().zip(AT) {
                    let expected = activation.rate_of(at);
                    let near = (found - expected).abs() <= 2e-6 * expected.abs().max(1.0);
                    assert!(near, "{name} {activation:?}({at}): {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn power_laws_without_a_gradient_at_zero_are_refused() {
        for (gain, exponent) in [(0.0, 2.0), (1.0, 0.5), (f64::NAN, 2.0), (1.0, f64::NAN)] {
            let refused = Activation::PowerLaw { gain, exponent }.validate();
            assert!(matches!(refused, Err(DynamicsError::Config(_))));
        }
        let x = f64_autodiff().tensor::<1>(vec![0.0, -1.0], [2]);
        let x = x.require_grad();
        let power = Activation::PowerLaw {
            gain: 2.0,
            exponent: 1.5,
        };
        let mut gradients = power.rate(x.clone()).sum().backward();
        let slopes = host(x.grad_remove(&mut gradients).unwrap()).unwrap();
        assert_eq!(slopes, [0.0, 0.0]);
    }
}
