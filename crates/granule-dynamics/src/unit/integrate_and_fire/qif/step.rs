use std::f64::consts::{FRAC_1_PI, PI};

use burn::tensor::Tensor;

use super::QifValues;
use super::flow::{Flow, TINY};
use crate::model::{Clock, Dynamics};
use crate::quantity::Quantity;
use crate::unit::input::fits;
use crate::unit::integrate_and_fire::firing::NEVER;
use crate::unit::{Observed, Surrogate};
use crate::{DynamicsError, State, Variable};

/// `Qif` with its parameters' values.
#[derive(Clone, Debug)]
pub struct QifDynamics {
    pub(super) variables: [Variable; 4],
    pub(super) values: QifValues,
    pub(super) drive: Quantity,
    pub(super) surrogate: Surrogate,
    pub(super) observed: Observed,
}

impl Dynamics for QifDynamics {
    fn name(&self) -> &str {
        "qif"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let v = state[0].clone();
        let given = match input {
            Some(u) => {
                fits(u, &v, self.name())?;
                u.clone()
            }
            None => v.zeros_like(),
        };
        let drive = given + &self.drive;
        let time_constant = &self.values.time_constant;
        let flow = Flow::new(&drive, &(time_constant.reciprocal() * at.dt));
        let below = flow.cos.clone() - v.clone() * flow.sin.clone();
        let singular = below.clone().abs().lower_elem(TINY);
        let below = below.mask_fill(singular, -TINY);
        let above = v.clone() * flow.cos.clone() + drive.clone() * flow.sin.clone();

        // The sign of the denominator tells whether the number of spikes is odd, the phase how many pairs there are.
        let odd = below
            .clone()
            .detach()
            .lower_elem(0.0)
            .float()
            .cast(v.dtype());
        let root = flow.root.clone().detach();
        let phase = flow.angle.clone().detach() + (v.detach() / root.clone()).atan();
        let pairs = (phase * FRAC_1_PI - odd.clone()) * 0.5;
        let spikes = odd + pairs.round().clamp_min(0.0) * 2.0;

        let v = above / below.clone();
        let time_constant = &time_constant.without_tape();
        let since = flow.since_spike(v.clone().detach(), drive.detach());
        let since = (since * time_constant).clamp(0.0, at.dt);
        let quiet = spikes.clone().lower_elem(0.5);
        let later = state[2].clone().add_scalar(at.dt).clamp_max(NEVER);
        let single = spikes.clone().lower_elem(1.5);
        let interval = root.recip() * PI * time_constant;
        Ok(State::new(vec![
            v,
            self.surrogate.attach(spikes, -below),
            since.mask_where(quiet, later),
            interval.mask_fill(single, 0.0),
        ]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[1].clone(),
        }
    }
}
