use burn::tensor::Tensor;

use super::firing::{NEVER, exact_start, exact_variables};
use super::{Bound, integrate_and_fire};
use crate::model::{Clock, Dynamics, Model};
use crate::quantity::Quantity;
use crate::setting::Settings;
use crate::unit::input::fits;
use crate::unit::{Observed, Surrogate};
use crate::{Bounds, DynamicsError, State, Variable};

integrate_and_fire! {
    /// Settings of [`Lif`]. The defaults are those of the reference numbers, section 3.
    config LifConfig,
    /// A population of leaky integrate-and-fire cells: τ dv/dt = rest − v + R·(I + u); at v = θ a spike, then `reset` for
    /// the refractory period (Lapicque 1907).
    ///
    /// The step is exact, at any dt, for an input u that is constant over it: the crossings of the threshold are found inside
    /// the step, however many there are, and what is left of the step goes to the refractory period and to the way up from the
    /// reset. Where the input changes during a step, spike times are of second order for its mean. Gradients pass through the
    /// time of the crossing; the spike itself has the surrogate's.
    ///
    /// Input: current, µA/cm², `[batch or 1, cells or 1]`. State: `v`, `spike` (the number of spikes in the step),
    /// `since_spike` (since the last one), `spike_interval` (between those of a step with several).
    module Lif,
    "leaky integrate-and-fire cells" (LifParameters, LifConstants, LifValues),
    /// The constant part of the current, µA/cm²; what comes as input is added.
    current: "µA/cm²";
    settings: {}
    /// The parameters that training may change, by name: those below, `current`, and `v` at the beginning. The reset
    /// stays below the threshold while only one of the two is trained.
    trainable;
    parameters: {
        /// Membrane time constant τ.
        time_constant: "ms", Positive, 10.0;
        /// Resting potential.
        rest: "mV", Any, 0.0;
        /// Threshold θ, above `reset`.
        threshold: "mV", Any, 10.0;
        /// Potential after a spike.
        reset: "mV", Any, 0.0;
        /// Absolute refractory period.
        refractory: "ms", NonNegative, 5.0;
        /// Specific membrane resistance R: mV per µA/cm².
        resistance: "kΩ·cm²", Positive, 1.0;
    }
    /// The state of [`Lif`] cells at the beginning.
    initial LifInitial: {
        /// The potential, mV; below the threshold.
        v = 0.0;
    }
    balanced: {}
}

impl Bound for LifConfig {
    fn keep(&self, all: &mut Settings<'_>) {
        // Where lists of both cross, one number cannot keep them apart.
        let lowest = self.parameters.threshold.lowest();
        let highest = self.parameters.reset.highest();
        if lowest > highest {
            all.keep("threshold", Bounds::Above(highest));
            all.keep("reset", Bounds::Below(lowest));
        }
    }

    fn check(&self, settings: &Settings<'_>) -> Result<(), DynamicsError> {
        settings.ordered("threshold", "reset")?;
        settings.ordered("threshold", "v")
    }
}

impl Model for Lif {
    type Dynamics = LifDynamics;

    fn dynamics(&self) -> Result<LifDynamics, DynamicsError> {
        let values = self.values();
        let v = Variable::new("v", "mV", self.cells);
        Ok(LifDynamics {
            variables: exact_variables(v),
            drive: &values.resistance * &self.current.quantity() + &values.rest,
            span: &values.threshold - &values.reset,
            values,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        Ok(exact_start(self.zeros(batch) + &self.v.quantity()))
    }
}

/// [`Lif`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct LifDynamics {
    variables: [Variable; 4],
    values: LifValues,
    /// rest + R·I
    drive: Quantity,
    /// θ − reset
    span: Quantity,
    surrogate: Surrogate,
    observed: Observed,
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
}
