mod flow;
mod step;

pub use step::QifDynamics;

use super::firing::{exact_start, exact_variables};
use super::{ParameterRules, integrate_and_fire};
use crate::model::Model;
use crate::{DynamicsError, QuantityKind, State, Variable};

integrate_and_fire! {
    /// Settings of [`Qif`].
    config QifConfig,
    /// A population of quadratic integrate-and-fire cells, the normal form of class I excitability: τ dv/dt = v² + η + u, with a spike and a
    /// reset to −∞ where v reaches +∞ (Ermentrout & Kopell 1986; Montbrió, Pazó & Roxin 2015).
    ///
    /// The equation is of Riccati's kind, whose flow over a time t, in units of τ, is a Möbius map,
    /// v ↦ (v·cos st + s·sin st)/(cos st − v·sin(st)/s) with s = √(η + u), or its hyperbolic twin where η + u < 0. The map
    /// passes through infinity, so that the step and the spike times in it are exact for an input that is constant over it, at
    /// any dt and without a finite peak: a spike is a change of sign of the denominator. Where the input changes during a step,
    /// they are of second order for its mean. The gradient of v is exact too; the spike itself has the surrogate's.
    ///
    /// Input: drive, dimensionless, `[batch or 1, cells or 1]`. State: `v`, `spike` (the number of spikes in the step),
    /// `since_spike` (since the last one), `spike_interval` (between those of a step with several).
    module Qif,
    "quadratic integrate-and-fire cells" (QifParameters, QifConstants, QifValues),
    /// The constant part of the drive, η, dimensionless; what comes as input is added. A cell above 0 fires.
    current: "1";
    settings: {}
    /// The parameters that training may change, by name: those below, `current`, and `v` at the beginning.
    trainable;
    parameters: {
        /// Membrane time constant τ.
        time_constant: "ms", Positive, 10.0;
    }
    /// The state of [`Qif`] cells at the beginning.
    initial QifInitial: {
        /// The potential, dimensionless.
        v = -1.0;
    }
    balanced: {}
}

impl ParameterRules for QifConfig {}

impl Model for Qif {
    type Dynamics = QifDynamics;

    fn dynamics(&self) -> Result<QifDynamics, DynamicsError> {
        let v = Variable::new("v", "1", self.cells).of_kind(QuantityKind::Potential);
        Ok(QifDynamics {
            variables: exact_variables(v),
            values: self.values(),
            drive: self.current.quantity(),
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        Ok(exact_start(self.zeros(batch) + &self.v.quantity()))
    }
}
