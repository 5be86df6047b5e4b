mod coordinates;
mod field;

use std::sync::Arc;

pub use field::AdexField;

use super::{Firing, ParameterRules, integrate_and_fire};
use crate::model::Model;
use crate::setting::Settings;
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Place, State, Variable};

integrate_and_fire! {
    /// Settings of [`Adex`]. The defaults are those of Brette & Gerstner (2005), a regularly spiking pyramidal cell.
    config AdexConfig,
    /// A population of adaptive exponential integrate-and-fire cells (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005):
    ///
    /// C dv/dt = −g_L(v − E_L) + g_L Δ_T exp((v − V_T)/Δ_T) − w + I + u, τ_w dw/dt = a(v − E_L) − w;
    /// where v reaches the peak: v ← reset, w ← w + b, and v stays at the reset for the refractory period.
    ///
    /// The crossing of the peak is located inside the step and the cell starts anew from it, as [`Firing`] does: spike times
    /// do not lie on the grid, and the refractory period ends inside a step. The solver moves
    /// y = −ln(1 + exp(−(v − V_T)/Δ_T)) in place of v, which goes to 0 at a finite speed where v goes to infinity. Spike
    /// times are then of **second order** with `rk4`, `heun` and all methods of higher order, and of first order with `euler`:
    /// what is left is the logarithm by which v goes to infinity.
    ///
    /// Gradients pass through the time of a spike; the spike itself has the surrogate's, over y.
    ///
    /// Input: current, pA, `[batch or 1, cells or 1]`. State: `v`, `w`, `spike`, `since_spike`.
    module Adex moved by solver,
    "adaptive exponential integrate-and-fire cells" (AdexParameters, AdexConstants, AdexValues),
    /// The constant part of the current, pA; what comes as input is added.
    current: "pA";
    settings: {
        /// Where the upstroke is cut and counts as a spike, mV.
        peak = 20.0, Any;
        /// Absolute refractory period, ms, during which v stays at the reset.
        refractory = 0.0, NonNegative;
    }
    /// The parameters that training may change, by name: those below, `current`, and `v` and `w` at the beginning.
    trainable;
    parameters: {
        /// Membrane capacitance C.
        capacitance: "pF", Positive, 281.0;
        /// Conductance of the leak g_L.
        g_l: "nS", Positive, 30.0;
        /// Reversal potential of the leak E_L.
        e_l: "mV", Any, -70.6;
        /// Threshold of the exponential V_T.
        threshold: "mV", Any, -50.4;
        /// Slope factor Δ_T.
        slope: "mV", Positive, 2.0;
        /// Time constant of adaptation τ_w.
        adaptation_time_constant: "ms", Positive, 144.0;
        /// Subthreshold adaptation a.
        adaptation: "nS", Any, 4.0;
        /// Spike-triggered adaptation b.
        adaptation_jump: "pA", Any, 80.5;
        /// Potential after a spike, below the peak.
        reset: "mV", Any, -70.6;
    }
    /// The state of [`Adex`] cells at the beginning.
    initial AdexInitial: {
        /// The potential, mV; below the peak.
        v = -70.6;
    }
    balanced: {
        /// The adaptation, pA; without, in balance with the potential.
        w;
    }
}

impl ParameterRules for AdexConfig {
    fn keep(&self, all: &mut Settings<'_>) {
        all.keep("reset", Bounds::Below(self.peak));
        all.keep("v", Bounds::Below(self.peak));
    }

    fn check(&self, settings: &Settings<'_>) -> Result<(), DynamicsError> {
        settings.below_peak(self.peak, &["reset", "v"])
    }

    /// Half the time in which the coordinate of v that the solver moves passes a spike: C/(2 g_L).
    fn shortest_time_constant(&self) -> Option<f64> {
        let own = &self.parameters;
        let membrane = 0.5 * own.capacitance.lowest() / own.g_l.highest();
        Some(membrane.min(own.adaptation_time_constant.lowest()))
    }
}

impl Adex {
    /// The equations between two spikes, with the parameters' values taken.
    pub fn field(&self) -> AdexField {
        let values = self.values();
        let AdexValues {
            capacitance,
            g_l,
            e_l,
            slope,
            adaptation_time_constant,
            adaptation,
            reset,
            ..
        } = &values;
        AdexField {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("w", "pA", self.cells),
            ],
            shear: adaptation * slope * capacitance / g_l / adaptation_time_constant,
            balance_at_reset: (reset - e_l) * adaptation,
            current: self.current.quantity(),
            refractory: self.refractory,
            values,
        }
    }
}

impl Model for Adex {
    type Dynamics = Firing<AdexField, Arc<dyn Solver>>;

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
        let w = match &self.w {
            Some(w) => zeros + &w.quantity(),
            None => {
                let AdexConstants {
                    e_l, adaptation, ..
                } = &self.parameters;
                (v.clone() - &e_l.quantity()) * &adaptation.quantity()
            }
        };
        Ok(Self::Dynamics::start(v, w))
    }
}
