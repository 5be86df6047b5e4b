use burn::module::Module;
use burn::tensor::Tensor;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use crate::quantity::{Constant, Quantity};
use crate::setting::Settings;
use crate::setting::{Range, Setting};
use crate::{DynamicsError, Values};

/// What the time course is: a current, or a conductance g with a driving force. Currents are inward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// I = g: the time course is a current itself.
    Current,
    /// I = g·(E − v).
    Conductance {
        /// E, mV.
        reversal: Values,
    },
    /// I = g·B(v)·(E − v) with the magnesium block B = 1/(1 + `[Mg]`/3.57 mM·exp(−0.062 v/mV))
    /// (Jahr & Stevens 1990, doi:10.1523/JNEUROSCI.10-09-03178.1990).
    Nmda {
        /// E, mV.
        reversal: Values,
        /// `[Mg]`, mM.
        #[cfg_attr(feature = "schema", schemars(transform = Range::NonNegative))]
        magnesium: Values,
    },
}

impl Effect {
    /// The effect with its values fixed, each one for all cells.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the value below `field` that is out of its range, or one of several.
    pub(crate) fn fixed(&self, field: &str) -> Result<BoundEffect, DynamicsError> {
        let one = |name: &'static str, values: &Values, range: Range| {
            let setting = Setting::new(name, values, range);
            let [value] = *values.as_slice() else {
                let found = format!("[{}]", counted(values.as_slice().len(), "value"));
                return Err(DynamicsError::config(
                    setting.field(field),
                    found,
                    "one value",
                ));
            };
            setting.check(field, (1, "coupler"))?;
            Ok(Quantity::Number(value))
        };
        Ok(match self {
            Self::Current => BoundEffect::Current,
            Self::Conductance { reversal } => {
                BoundEffect::Conductance(one("conductance.reversal", reversal, Range::Any)?)
            }
            Self::Nmda {
                reversal,
                magnesium,
            } => BoundEffect::Nmda {
                reversal: one("nmda.reversal", reversal, Range::Any)?,
                magnesium: one("nmda.magnesium", magnesium, Range::NonNegative)?
                    .times(&Quantity::Number(1.0 / 3.57)),
            },
        })
    }

    pub(super) fn settings<'a>(&'a self, all: &mut Settings<'a>) {
        let mut add = |name, values, range| all.add(("synapse.effect", name), values, range);
        match self {
            Self::Current => {}
            Self::Conductance { reversal } => add("reversal", reversal, Range::Any),
            Self::Nmda {
                reversal,
                magnesium,
            } => {
                add("reversal", reversal, Range::Any);
                add("magnesium", magnesium, Range::NonNegative);
            }
        }
    }

    pub(super) fn init(
        &self,
        make: impl Fn(&str) -> Result<Constant, DynamicsError>,
    ) -> Result<Force, DynamicsError> {
        let (reversal, magnesium) = match self {
            Self::Current => (None, None),
            Self::Conductance { .. } => (Some(make("reversal")?), None),
            Self::Nmda { .. } => (Some(make("reversal")?), Some(make("magnesium")?)),
        };
        Ok(Force {
            reversal,
            magnesium,
        })
    }
}

/// The parameters of an effect; a current has none.
#[derive(Module, Debug)]
pub struct Force {
    /// E, mV, of a conductance.
    pub reversal: Option<Constant>,
    /// `[Mg]`, mM, of a conductance that magnesium blocks.
    pub magnesium: Option<Constant>,
}

impl Force {
    pub(super) fn bind(&self) -> BoundEffect {
        match (&self.reversal, &self.magnesium) {
            (None, _) => BoundEffect::Current,
            (Some(reversal), None) => BoundEffect::Conductance(reversal.quantity()),
            (Some(reversal), Some(magnesium)) => BoundEffect::Nmda {
                reversal: reversal.quantity(),
                magnesium: magnesium.quantity().times(&Quantity::Number(1.0 / 3.57)),
            },
        }
    }
}

/// An effect with its parameters' values.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
pub(crate) enum BoundEffect {
    Current,
    Conductance(Quantity),
    Nmda {
        reversal: Quantity,
        /// `[Mg]`/3.57 mM
        magnesium: Quantity,
    },
}

impl BoundEffect {
    /// The inward current through what is open, at the potential `v`.
    pub(crate) fn current(&self, open: Tensor<2>, v: &Tensor<2>) -> Tensor<2> {
        match self {
            Self::Current => open,
            Self::Conductance(reversal) => open * (reversal - v.clone()),
            Self::Nmda {
                reversal,
                magnesium,
            } => {
                let free = unblocked(v, magnesium);
                open * free * (reversal - v.clone())
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
fn unblocked(v: &Tensor<2>, magnesium: &Quantity) -> Tensor<2> {
    let blocked = magnesium.scale((v.clone() * -0.062).clamp_max(40.0).exp());
    (blocked + 1.0).recip()
}
