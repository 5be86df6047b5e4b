//! What a recording of a system shows.

mod balloon_windkessel;
mod local_field_potential;
mod mean_rate;
mod with_bold;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use balloon_windkessel::{BalloonWindkessel, BalloonWindkesselConfig, BalloonWindkesselField};
pub use local_field_potential::weighted_synaptic_currents;
pub use mean_rate::mean_rate;
pub use with_bold::{WithBold, WithBoldDynamics};

use crate::model::Field;
use crate::{DynamicsError, State};

/// What is recorded of a system and given to a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// What the model itself shows.
    #[default]
    Observed,
    /// What other systems receive.
    Activity,
    /// The mean firing rate (Hz) without input from outside; in a network, with its coupling.
    Rate,
    /// The model's proxy of the local field potential.
    LocalFieldPotential,
    /// All variables, one after the other.
    State,
}

impl Readout {
    /// Checks that a field has such a read-out.
    pub(crate) fn check(self, field: &dyn Field, state: &State) -> Result<(), DynamicsError> {
        let (found, missing) = match self {
            Self::Rate => ("rate", field.rate(state, None).is_none()),
            Self::LocalFieldPotential => (
                "local-field-potential",
                field.local_field_potential(state).is_none(),
            ),
            Self::Observed | Self::Activity | Self::State => return Ok(()),
        };
        if !missing {
            return Ok(());
        }
        let allowed = format!("observed, activity or state for {}", field.name());
        Err(DynamicsError::config("readout", found, allowed))
    }

    /// Its name in a record, and its unit. Variables of several units have none together.
    pub fn quantity(self, field: &dyn Field) -> (&'static str, &'static str) {
        match self {
            Self::Observed => ("observed", field.observed().unit),
            Self::Activity => ("activity", field.activity().unit),
            Self::Rate => ("rate", "Hz"),
            Self::LocalFieldPotential => {
                ("lfp", field.field_potential().map_or("1", |own| own.unit))
            }
            Self::State => {
                let mut units = field.variables().iter().map(|variable| variable.unit);
                let first = units.next().unwrap_or("1");
                let unit = if units.all(|unit| unit == first) {
                    first
                } else {
                    "1"
                };
                ("observed", unit)
            }
        }
    }

    /// `[batch, outputs]`
    pub(crate) fn read(
        self,
        field: &dyn Field,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        let special = match self {
            Self::Observed => None,
            Self::Activity => Some(field.output(state)),
            Self::Rate => field.rate(state, input),
            Self::LocalFieldPotential => field.local_field_potential(state),
            Self::State => Some(Tensor::cat(state.tensors().to_vec(), 1)),
        };
        special.unwrap_or_else(|| field.observe(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::solver::Rk4;
    use crate::system::{Integrated, JansenRitConfig, System};
    use crate::testing::{assert_close, f64_place};
    use crate::{Dynamics, Model};

    #[test]
    fn every_readout_shows_its_quantity() {
        let place = f64_place();
        let config = JansenRitConfig {
            initial: [0.1, 9.0, 2.0, 0.0, 0.0, 0.0].map(Into::into).to_vec(),
            ..Default::default()
        };
        let rate = 5.0 / (1.0 + (0.56_f64 * (6.0 - 7.0)).exp());
        for (readout, expected) in [
            (Readout::Observed, vec![7.0]),
            (Readout::LocalFieldPotential, vec![7.0]),
            (Readout::Activity, vec![rate]),
            (Readout::Rate, vec![rate]),
            (Readout::State, vec![0.1, 9.0, 2.0, 0.0, 0.0, 0.0]),
        ] {
            let system = config.init(&place).unwrap();
            let state = system.initial_state(1).unwrap();
            let model = Integrated::new(system, Rk4).with_readout(readout);
            let seen = host(model.dynamics().unwrap().observe(&state)).unwrap();
            assert_eq!(seen.len(), expected.len());
            for (found, expected) in seen.into_iter().zip(expected) {
                assert_close(found, expected, 1e-13);
            }
        }
    }
}
