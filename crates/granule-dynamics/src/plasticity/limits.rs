use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::DynamicsError;

/// Between which values weights stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WeightBounds {
    /// Any values.
    #[default]
    Free,
    /// A change that would leave the bounds ends at them.
    Hard {
        /// The smallest weight.
        low: f64,
        /// The largest weight.
        high: f64,
    },
    /// A weight's net change in a step is multiplied by what is left of the way to the bound ahead of it, as a share of the
    /// whole way: (high − w)/(high − low) for potentiation and (w − low)/(high − low) for depression (van Rossum, Bi and
    /// Turrigiano 2000; Gütig, Aharonov, Rotter and Sompolinsky 2003 with μ = 1).
    Soft {
        /// The smallest weight.
        low: f64,
        /// The largest weight.
        high: f64,
    },
}

/// What weights keep to while rules change them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WeightLimits {
    /// The bounds.
    pub bounds: WeightBounds,
    /// Whether a weight keeps the sign it began with: one that began above 0 stays at 0 or above, one that began at 0, an
    /// absent connection, stays 0. Dale's law and connection masks outlast learning in this way.
    pub keep_signs: bool,
}

impl WeightLimits {
    /// Checks that the bounds are in order.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        match self.bounds {
            WeightBounds::Hard { low, high } | WeightBounds::Soft { low, high }
                if !(low.is_finite() && high.is_finite() && low < high) =>
            {
                Err(DynamicsError::config(
                    "limits.bounds",
                    format!("[{low}, {high}]"),
                    "two finite numbers, low below high",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Refuses limits of conductances, whose weights begin at 0 or above, that let them fall below. `field` is where they stand.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub(crate) fn check_conductances(&self, field: &str) -> Result<(), DynamicsError> {
        if !self.allow_negative() {
            return Ok(());
        }
        let found = match self.bounds {
            WeightBounds::Free => "free".to_owned(),
            WeightBounds::Hard { low, .. } | WeightBounds::Soft { low, .. } => {
                format!("from {low} on")
            }
        };
        let allowed =
            "with keep_signs = true or bounds from 0 on, for a conductance is not negative";
        Err(DynamicsError::config(field, found, allowed))
    }

    /// Whether weights that began at 0 or above can fall below.
    fn allow_negative(&self) -> bool {
        match self.bounds {
            WeightBounds::Free => !self.keep_signs,
            WeightBounds::Hard { low, .. } | WeightBounds::Soft { low, .. } => {
                low < 0.0 && !self.keep_signs
            }
        }
    }

    /// The signs that weights, as they are before any learning, are to keep; none where they need not.
    pub fn signs(&self, weights: &Tensor<3>) -> Option<Tensor<3>> {
        let signs = || crate::state::plain(weights.clone()).sign();
        self.keep_signs.then(signs)
    }

    /// The weights after a change, within the limits; all `[sets, pre, post]`, `signs` from [`signs`](Self::signs).
    pub fn apply(
        &self,
        weights: Tensor<3>,
        change: Tensor<3>,
        signs: Option<&Tensor<3>>,
    ) -> Tensor<3> {
        let after = match self.bounds {
            WeightBounds::Free => weights + change,
            WeightBounds::Hard { low, high } => (weights + change).clamp(low, high),
            WeightBounds::Soft { low, high } => {
                let share = |way: Tensor<3>| way.mul_scalar(1.0 / (high - low)).clamp(0.0, 1.0);
                let up = share(weights.clone().neg().add_scalar(high));
                let down = share(weights.clone().sub_scalar(low));
                let change =
                    activation::relu(change.clone()) * up - activation::relu(change.neg()) * down;
                (weights + change).clamp(low, high)
            }
        };
        match signs {
            Some(signs) => activation::relu(after * signs.clone()) * signs.clone(),
            None => after,
        }
    }
}
