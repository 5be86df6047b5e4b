mod coordinates;
mod field;

use std::sync::Arc;

pub use field::IzhikevichField;

use super::{Firing, ParameterRules, integrate_and_fire};
use crate::model::Model;
use crate::setting::Settings;
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

integrate_and_fire! {
    /// Settings of [`Izhikevich`]. The defaults make regularly spiking cells.
    config IzhikevichConfig,
    /// A population of Izhikevich's cells (2003, doi:10.1109/TNN.2003.820440):
    ///
    /// dv/dt = 0.04v² + 5v + 140 − u + I, du/dt = a(bv − u); where v reaches the peak: v ← c, u ← u + d.
    ///
    /// The crossing of the peak is located inside the step and the cell starts anew from it, as [`Firing`] does: spike times
    /// do not lie on the grid. The solver moves y = x − √(1 + x²), x = (v + 62.5)/25, in place of v, whose upstroke is slower
    /// by far. Spike times have the **order of the solver**, up to the fourth: `rk4` is of fourth order.
    ///
    /// Gradients pass through the time of a spike; the spike itself has the surrogate's, over y.
    ///
    /// Input: current, mV/ms, `[batch or 1, cells or 1]`. State: `v`, `u`, `spike`, `since_spike`.
    module Izhikevich moved by solver,
    "Izhikevich's cells" (IzhikevichParameters, IzhikevichConstants, IzhikevichValues),
    /// The constant part of the current, mV/ms; what comes as input is added.
    current: "mV/ms";
    settings: {
        /// Where v is cut and counts as a spike, mV.
        peak = 30.0, Any;
    }
    /// The parameters that training may change, by name: those below, `current`, and `v` and `u` at the beginning.
    trainable;
    parameters: {
        /// Rate of the recovery.
        a: "1/ms", Positive, 0.02;
        /// Sensitivity of the recovery to v.
        b: "1/ms", Any, 0.2;
        /// v after a spike, below the peak.
        c: "mV", Any, -65.0;
        /// Jump of u at a spike.
        d: "mV/ms", Any, 8.0;
    }
    /// The state of [`Izhikevich`] cells at the beginning.
    initial IzhikevichInitial: {
        /// The potential, mV; below the peak.
        v = -65.0;
    }
    balanced: {
        /// The recovery, mV/ms; without, b·v.
        u;
    }
}

impl ParameterRules for IzhikevichConfig {
    fn keep(&self, all: &mut Settings<'_>) {
        all.keep("c", Bounds::Below(self.peak));
        all.keep("v", Bounds::Below(self.peak));
    }

    fn check(&self, settings: &Settings<'_>) -> Result<(), DynamicsError> {
        settings.below_peak(self.peak, &["c", "v"])
    }

    fn shortest_time_constant(&self) -> Option<f64> {
        Some((1.0 / self.parameters.a.highest()).min(2.0))
    }
}

/// The cells of Izhikevich (2003), figure 2.
impl IzhikevichConfig {
    fn kind(a: f64, b: f64, c: f64, d: f64) -> Self {
        let [a, b, c, d] = [a, b, c, d].map(Values::One);
        Self {
            parameters: IzhikevichParameters { a, b, c, d },
            ..Self::default()
        }
    }

    /// RS: the most common excitatory cell of the cortex; the default.
    pub fn regular_spiking() -> Self {
        Self::default()
    }

    /// IB: a burst first, then single spikes.
    pub fn intrinsically_bursting() -> Self {
        Self::kind(0.02, 0.2, -55.0, 4.0)
    }

    /// CH: bursts of closely spaced spikes.
    pub fn chattering() -> Self {
        Self::kind(0.02, 0.2, -50.0, 2.0)
    }

    /// FS: an inhibitory cell without adaptation.
    pub fn fast_spiking() -> Self {
        Self::kind(0.1, 0.2, -65.0, 2.0)
    }

    /// LTS: an inhibitory cell with a low threshold and adaptation.
    pub fn low_threshold_spiking() -> Self {
        Self::kind(0.02, 0.25, -65.0, 2.0)
    }
}

impl Izhikevich {
    /// The equations between two spikes, with the parameters' values taken.
    pub fn field(&self) -> IzhikevichField {
        IzhikevichField {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("u", "mV/ms", self.cells),
            ],
            values: self.values(),
            current: self.current.quantity() + 140.0,
            summit: IzhikevichField::summit(self.peak),
        }
    }
}

impl Model for Izhikevich {
    type Dynamics = Firing<IzhikevichField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Firing::new(
            (self.field(), self.solver.clone()),
            self.peak,
            (self.surrogate, self.observed),
            &Place::of(&self.origin),
        ))
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = self.zeros(batch);
        let v = zeros.clone() + &self.v.quantity();
        let u = match &self.u {
            Some(u) => zeros + &u.quantity(),
            None => v.clone() * &self.parameters.b.quantity(),
        };
        Ok(Self::Dynamics::start(v, u))
    }
}
