use std::f64::consts::{FRAC_1_PI, FRAC_PI_2, PI};

use burn::tensor::{Bool, Tensor};

use super::firing::{NEVER, exact_start, exact_variables};
use super::{Bound, integrate_and_fire};
use crate::model::{Clock, Dynamics, Model};
use crate::quantity::Quantity;
use crate::unit::input::fits;
use crate::unit::{Observed, Surrogate};
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

impl Bound for QifConfig {}

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

/// [`Qif`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct QifDynamics {
    variables: [Variable; 4],
    values: QifValues,
    drive: Quantity,
    surrogate: Surrogate,
    observed: Observed,
}

/// Below this size of (η + u)·t² the series of cos and sin, three terms long, are exact in double precision.
const SMALL: f64 = 1e-4;

/// A denominator closer to zero is moved away from it: a shift of the spike by this part of a step.
const TINY: f64 = 1e-9;

/// The coefficients of the Möbius map.
struct Flow {
    /// cos st, or 1.
    cos: Tensor<2>,
    /// sin(st)/s, or tanh(st)/s.
    sin: Tensor<2>,
    /// s·t where η + u > 0, else 0.
    angle: Tensor<2>,
    /// s, or 1 where η + u ≤ 0 or close to it.
    root: Tensor<2>,
    /// √|η + u|, or 1 where that is close to 0.
    size: Tensor<2>,
    /// Where the series serve.
    small: Tensor<2, Bool>,
    /// Where η + u is above 0 and not close to it.
    oscillates: Tensor<2, Bool>,
}

impl Flow {
    fn new(drive: &Tensor<2>, time: &Quantity) -> Self {
        let scaled = drive.clone() * &(time * time);
        let small = scaled.clone().abs().lower_elem(SMALL);
        let oscillates = scaled.clone().greater_equal_elem(SMALL);
        let rests = oscillates.clone().bool_not();

        // What is not used stays away from the singularities of its derivative.
        let root = drive.clone().abs().mask_fill(small.clone(), 1.0).sqrt();
        let angle = root.clone() * time;
        let cos = angle.clone().cos().mask_fill(rests.clone(), 1.0);
        let hyperbolic = angle.clone().tanh();
        let sin = hyperbolic.mask_where(oscillates.clone(), angle.clone().sin()) / root.clone();

        let x = scaled.mask_fill(small.clone().bool_not(), 0.0);
        let series = |a: f64, b: f64| (x.clone() * b + a) * x.clone() + 1.0;
        let near_cos = series(-1.0 / 2.0, 1.0 / 24.0);
        let near_sin = series(-1.0 / 6.0, 1.0 / 120.0) * time;
        Self {
            cos: cos.mask_where(small.clone(), near_cos),
            sin: sin.mask_where(small.clone(), near_sin),
            size: root.clone(),
            small,
            oscillates,
            angle: angle.mask_fill(rests.clone(), 0.0),
            root: root.mask_fill(rests, 1.0),
        }
    }

    /// The time, in units of τ, since v was at −∞, for cells that have come from there to `v` under a `drive`.
    fn since_spike(&self, v: Tensor<2>, drive: Tensor<2>) -> Tensor<2> {
        let size = self.size.clone().detach();
        let scaled = v.clone() / size.clone();
        // cot, coth, and the series of both, of which v is the negative.
        let turning = scaled.atan().add_scalar(FRAC_PI_2) / size.clone();
        let apart = (v.clone().neg() - size.clone()).clamp_min(f64::from(f32::MIN_POSITIVE));
        let creeping = (size.clone() * 2.0 / apart).log1p() * 0.5 / size;
        let per = v.neg().clamp_min(TINY).recip();
        let x = drive * per.clone() * per.clone();
        let near = ((x.clone() * (1.0 / 5.0) - 1.0 / 3.0) * x + 1.0) * per;
        let far = creeping.mask_where(self.oscillates.clone(), turning);
        far.mask_where(self.small.clone(), near)
    }
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
