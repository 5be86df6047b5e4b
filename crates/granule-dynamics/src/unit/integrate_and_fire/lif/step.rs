use burn::tensor::Tensor;

use super::LifValues;
use crate::model::{Clock, Dynamics};
use crate::quantity::Quantity;
use crate::unit::input::fits;
use crate::unit::integrate_and_fire::firing::{NEVER, heard};
use crate::unit::{Observed, Surrogate};
use crate::{DynamicsError, State, Variable};

/// `Lif` with its parameters' values.
#[derive(Clone, Debug)]
pub struct LifDynamics {
    pub(super) variables: [Variable; 4],
    pub(super) values: LifValues,
    /// rest + R·I
    pub(super) drive: Quantity,
    /// θ − reset
    pub(super) span: Quantity,
    pub(super) surrogate: Surrogate,
    pub(super) observed: Observed,
}

impl LifDynamics {
    fn decay(&self, time: Tensor<2>) -> Tensor<2> {
        (time / &self.values.time_constant).neg().exp()
    }
}

impl Dynamics for LifDynamics {
    fn name(&self) -> &str {
        "lif"
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
        let (v, quiet_for) = (state[0].clone(), state[2].clone());
        let LifValues {
            time_constant,
            threshold,
            reset,
            refractory,
            resistance,
            ..
        } = &self.values;
        let driven = match input {
            Some(u) => {
                fits(u, &v, self.name())?;
                u.clone() * resistance
            }
            None => v.zeros_like(),
        };
        let end = driven + &self.drive;
        let waiting = quiet_for.clone().neg() + refractory;
        let active = waiting.neg().add_scalar(at.dt).clamp(0.0, at.dt);
        let gap = (end.clone() - v) * self.decay(active.clone());
        let free = end.clone() - gap.clone();
        let over = free.clone() - threshold;
        let fired = over.clone().greater_equal_elem(0.0);
        let quiet = fired.clone().bool_not();

        // The time since the first crossing: end − v decays from end − θ to the gap.
        let tiny = f64::from(f32::MIN_POSITIVE);
        let beyond = over.clone().mask_fill(quiet.clone(), 0.0);
        let gap = gap.mask_fill(quiet.clone(), 1.0).clamp_min(tiny);
        let ratio = (beyond.clone() / gap.clone()).log1p();
        let since = (ratio * time_constant).min_pair(active);
        // From one spike to the next end − v decays from end − reset to end − θ.
        let ratio = ((beyond + gap).recip() * &self.span).log1p();
        let cycle = ratio * time_constant + refractory;
        let more = since.clone().detach() / cycle.clone().detach().clamp_min(tiny);
        let more = more.floor().mask_fill(quiet, 0.0);
        let since = (since - cycle.clone() * more.clone()).clamp_min(0.0);
        let rising = (since.clone() - refractory).clamp_min(0.0);
        let risen = end.clone() - (end - reset) * self.decay(rising);

        let spikes = fired.clone().float().cast(over.dtype()) + more.clone();
        let several = more.greater_elem(0.0);
        let later = quiet_for.add_scalar(at.dt).clamp_max(NEVER);
        Ok(State::new(vec![
            free.mask_where(fired.clone(), risen),
            self.surrogate.attach(spikes, over / &self.span),
            later.mask_where(fired, since),
            cycle.detach().mask_fill(several.bool_not(), 0.0),
        ]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[1].clone(),
        }
    }

    fn jump(&self, state: &State, by: Tensor<2>) -> State {
        let by = heard(by, &state[2], &self.values.refractory);
        let mut after = state.clone();
        after.replace(0, state[0].clone() + by);
        after
    }

    fn progress(&self, state: &State) -> Option<Tensor<2>> {
        Some((state[0].clone() - &self.values.reset) / &self.span)
    }
}
