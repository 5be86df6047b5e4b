use std::sync::Arc;

use burn::tensor::Tensor;

use super::{Bound, Firing, Resetting, Upstroke, integrate_and_fire};
use crate::model::{Field, Model};
use crate::quantity::Quantity;
use crate::setting::Settings;
use crate::solver::Solver;
use crate::unit::input::fits;
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

impl Bound for IzhikevichConfig {
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
            summit: SUMMIT.min(0.125 * distance(self.peak)),
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

/// [`Izhikevich`] between two spikes, with its parameters' values. State: `v`, `u`.
#[derive(Clone, Debug)]
pub struct IzhikevichField {
    variables: [Variable; 2],
    values: IzhikevichValues,
    /// With the equation's constant.
    current: Quantity,
    /// −y is kept above this.
    summit: f64,
}

impl Field for IzhikevichField {
    fn name(&self) -> &str {
        "izhikevich"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (v, u) = (state[0].clone(), state[1].clone());
        let IzhikevichValues { a, b, .. } = &self.values;
        let mut dv = (v.clone() * 0.04 + 5.0) * v.clone() - u.clone() + &self.current;
        if let Some(input) = input {
            dv = dv + input.clone();
        }
        let du = (v * b - u) * a;
        State::new(vec![dv, du])
    }
}

/// Where the parabola of dv/dt has its vertex, mV.
const VERTEX: f64 = -62.5;

/// The distance from the vertex at which the coordinate bends, mV: between threshold and peak.
const BEND: f64 = 25.0;

/// −y where a step behind the peak is stopped, on the way to infinity at 0.
const SUMMIT: f64 = 0.02;

/// −y of a potential.
fn distance(v: f64) -> f64 {
    let x = (v - VERTEX) / BEND;
    let root = x.hypot(1.0);
    if x > 0.0 { 1.0 / (root + x) } else { root - x }
}

/// The coordinates are y = x − √(1 + x²) = −q with x = (v − vertex)/bend = (1/q − q)/2, and u.
impl Resetting for IzhikevichField {
    fn smooth(&self, v: Tensor<2>, u: Tensor<2>) -> [Tensor<2>; 2] {
        let x = (v - VERTEX) * (1.0 / BEND);
        let above = x.clone().greater_elem(0.0);
        let root = (x.clone() * x.clone()).add_scalar(1.0).sqrt();
        let low = x.clone().mask_fill(above.clone(), 0.0);
        let high = x.mask_fill(above.clone().bool_not(), 0.0);
        // Each without a difference of large numbers.
        let q = (root.clone() - low).mask_where(above, (root + high).recip());
        [q.neg(), u]
    }

    fn rough(&self, [y, u]: [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        let q = y.neg().clamp_min(self.summit);
        [(q.clone().recip() - q) * (0.5 * BEND) + VERTEX, u]
    }

    fn upstroke(&self, [y, u]: [Tensor<2>; 2]) -> Upstroke {
        let q = y.clone().neg().clamp_min(self.summit);
        let square = q.clone() * q;
        let [v, recovery] = self.rough([y, u]);
        Upstroke {
            v,
            recovery,
            slope: square.clone() * (2.0 / BEND) / (square + 1.0),
            shear: None,
        }
    }

    fn reset(&self, v: Tensor<2>) -> Tensor<2> {
        v.zeros_like() + &self.values.c
    }

    fn jump(&self, u: Tensor<2>) -> Tensor<2> {
        u + &self.values.d
    }
}
