mod step;

pub use step::LifDynamics;

use super::firing::{exact_start, exact_variables};
use super::{ParameterRules, integrate_and_fire};
use crate::model::Model;
use crate::setting::Settings;
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

impl ParameterRules for LifConfig {
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
