use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::{DynamicsError, Place};

/// What the time course is: a current, or a conductance g with a driving force. Currents are inward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// I = g: the time course is a current itself.
    Current,
    /// I = g·(E − v).
    Conductance {
        /// E, mV.
        reversal: Values,
    },
    /// I = g·B(v)·(E − v) with the magnesium block B = 1/(1 + [Mg]/3.57 mM·exp(−0.062 v/mV))
    /// (Jahr & Stevens 1990, doi:10.1523/JNEUROSCI.10-09-03178.1990).
    Nmda {
        /// E, mV.
        reversal: Values,
        /// [Mg], mM.
        magnesium: Values,
    },
}

impl Effect {
    fn settings(&self) -> Vec<Setting<'_>> {
        let reversal = |values| Setting::new("reversal", values, Bounds::Free);
        match self {
            Self::Current => Vec::new(),
            Self::Conductance { reversal: values } => vec![reversal(values)],
            Self::Nmda {
                reversal: values,
                magnesium,
            } => vec![
                reversal(values),
                Setting::new("magnesium", magnesium, Bounds::AtLeast(0.0)),
            ],
        }
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.settings().iter().map(|setting| setting.name).collect()
    }

    pub(super) fn validate(&self, post: Option<usize>) -> Result<(), DynamicsError> {
        let settings = self.settings();
        let widest = settings.iter().map(|s| s.values.as_slice().len()).max();
        parameter::validate(post.or(widest).unwrap_or(1), &settings, &[])
    }

    pub(super) fn init(&self, trainable: &[String], place: &Place) -> Result<Force, DynamicsError> {
        let mut made = self
            .settings()
            .into_iter()
            .map(|s| s.init(trainable, place));
        Ok(Force {
            reversal: made.next().transpose()?,
            magnesium: made.next().transpose()?,
        })
    }
}

/// The parameters of an effect; a current has none.
#[derive(Module, Debug)]
pub struct Force {
    /// E, mV, of a conductance.
    pub reversal: Option<Parameter>,
    /// [Mg], mM, of a conductance that magnesium blocks.
    pub magnesium: Option<Parameter>,
}

impl Force {
    pub(super) fn bind(&self) -> Bound {
        match (&self.reversal, &self.magnesium) {
            (None, _) => Bound::Current,
            (Some(reversal), None) => Bound::Conductance(reversal.value()),
            (Some(reversal), Some(magnesium)) => Bound::Nmda {
                reversal: reversal.value(),
                // Burn divides gradients by numbers in single precision.
                magnesium: magnesium.value() * (1.0 / 3.57),
            },
        }
    }
}

/// An effect with its parameters' values.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Current,
    Conductance(Tensor<2>),
    Nmda {
        reversal: Tensor<2>,
        magnesium: Tensor<2>,
    },
}

impl Bound {
    /// The inward current through what is open, at the potential `v`.
    pub(super) fn current(&self, open: Tensor<2>, v: &Tensor<2>) -> Tensor<2> {
        match self {
            Self::Current => open,
            Self::Conductance(reversal) => open * (reversal.clone() - v.clone()),
            Self::Nmda {
                reversal,
                magnesium,
            } => {
                let free = unblocked(v, magnesium);
                open * free * (reversal.clone() - v.clone())
            }
        }
    }

    /// The conductance that stands before (E − v), none for a current.
    pub(super) fn conductance(&self, open: Tensor<2>, v: &Tensor<2>) -> Option<Tensor<2>> {
        match self {
            Self::Current => None,
            Self::Conductance(_) => Some(open),
            Self::Nmda { magnesium, .. } => Some(open * unblocked(v, magnesium)),
        }
    }
}

/// 1/(1 + m·exp(−0.062 v)). Below −645 mV, where nothing passes, the exponent is bounded for single precision.
fn unblocked(v: &Tensor<2>, magnesium: &Tensor<2>) -> Tensor<2> {
    let blocked = magnesium.clone() * (v.clone() * -0.062).clamp_max(40.0).exp();
    (blocked + 1.0).recip()
}
