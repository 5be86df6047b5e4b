use std::f64::consts::FRAC_1_PI;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Observed, Surrogate};
use crate::model::{Clock, Dynamics, Model};
use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::{DynamicsError, Place, State, Variable};

/// Settings of [`Qif`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QifConfig {
    /// The number of cells.
    pub cells: usize,
    /// Membrane time constant τ, ms.
    pub time_constant: Values,
    /// Constant drive η, dimensionless, added to the input; above 0 the cell fires on its own.
    pub drive: Values,
    /// v at the beginning, dimensionless.
    pub initial: Values,
    /// The parameters that training may move.
    pub trainable: Vec<String>,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for QifConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            time_constant: 10.0.into(),
            drive: 0.0.into(),
            initial: (-1.0).into(),
            trainable: Vec::new(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl QifConfig {
    fn settings(&self) -> [Setting<'_>; 3] {
        [
            Setting::new("time_constant", &self.time_constant, Bounds::Above(0.0)),
            Setting::new("drive", &self.drive, Bounds::Free),
            Setting::new("initial", &self.initial, Bounds::Free),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.cells == 0 {
            return Err(DynamicsError::config("cells", 0, "at least 1"));
        }
        parameter::validate(self.cells, &self.settings(), &self.trainable)?;
        self.surrogate.validate()
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Qif, DynamicsError> {
        self.validate()?;
        let make = |setting: Setting<'_>| setting.init(&self.trainable, place);
        let [time_constant, drive, initial] = self.settings();
        Ok(Qif {
            time_constant: make(time_constant)?,
            drive: make(drive)?,
            initial: make(initial)?,
            cells: self.cells,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

/// Quadratic integrate-and-fire cells, the normal form of class I excitability: τ dv/dt = v² + η + u, with a spike and a
/// reset to −∞ where v reaches +∞ (Ermentrout & Kopell 1986; Montbrió, Pazó & Roxin 2015).
///
/// The equation is of Riccati's kind, whose flow over a time t, in units of τ, is a Möbius map,
/// v ↦ (v·cos st + s·sin st)/(cos st − v·sin(st)/s) with s = √(η + u), or its hyperbolic twin where η + u < 0. The map
/// passes through infinity, so that the step is exact for an input that is constant over it, at any dt and without a
/// finite peak: a spike is a change of sign of the denominator. The gradient of v is exact too; the spike itself has
/// the surrogate's.
///
/// Input: drive, dimensionless, `[batch or 1, cells or 1]`. State: `v`, `spike` (more than one in a long step).
#[derive(Module, Debug)]
pub struct Qif {
    /// τ, ms.
    pub time_constant: Parameter,
    /// η.
    pub drive: Parameter,
    /// v at the beginning.
    pub initial: Parameter,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    observed: Observed,
}

impl Model for Qif {
    type Dynamics = QifDynamics;

    fn dynamics(&self) -> Result<QifDynamics, DynamicsError> {
        Ok(QifDynamics {
            variables: ["v", "spike"].map(|name| Variable::new(name, "1", self.cells)),
            rate: self.time_constant.value().recip(),
            drive: self.drive.value(),
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let v = self.initial.value().expand([batch, self.cells]);
        let spike = v.zeros_like();
        Ok(State::new(vec![v, spike]))
    }
}

/// [`Qif`] with its parameters' values, each `[1, 1]` or `[1, cells]`.
#[derive(Clone, Debug)]
pub struct QifDynamics {
    variables: [Variable; 2],
    rate: Tensor<2>,
    drive: Tensor<2>,
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
}

impl Flow {
    fn new(drive: &Tensor<2>, time: Tensor<2>) -> Self {
        let scaled = drive.clone() * time.clone() * time.clone();
        let small = scaled.clone().abs().lower_elem(SMALL);
        let oscillates = scaled.clone().greater_equal_elem(SMALL);
        let rests = oscillates.clone().bool_not();

        // What is not used stays away from the singularities of its derivative.
        let root = drive.clone().abs().mask_fill(small.clone(), 1.0).sqrt();
        let angle = root.clone() * time.clone();
        let cos = angle.clone().cos().mask_fill(rests.clone(), 1.0);
        let hyperbolic = angle.clone().tanh();
        let sin = hyperbolic.mask_where(oscillates, angle.clone().sin()) / root.clone();

        let x = scaled.mask_fill(small.clone().bool_not(), 0.0);
        let series = |a: f64, b: f64| (x.clone() * b + a) * x.clone() + 1.0;
        let near_cos = series(-1.0 / 2.0, 1.0 / 24.0);
        let near_sin = series(-1.0 / 6.0, 1.0 / 120.0) * time;
        Self {
            cos: cos.mask_where(small.clone(), near_cos),
            sin: sin.mask_where(small, near_sin),
            angle: angle.mask_fill(rests.clone(), 0.0),
            root: root.mask_fill(rests, 1.0),
        }
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
        let drive = match input {
            Some(u) => self.drive.clone() + u.clone(),
            None => self.drive.clone(),
        };
        let flow = Flow::new(&drive, self.rate.clone() * at.dt);
        let below = flow.cos.clone() - v.clone() * flow.sin.clone();
        let singular = below.clone().abs().lower_elem(TINY);
        let below = below.mask_fill(singular, -TINY);
        let above = v.clone() * flow.cos + drive * flow.sin;

        // The sign of the denominator tells whether the number of spikes is odd, the phase how many pairs there are.
        let odd = below
            .clone()
            .detach()
            .lower_elem(0.0)
            .float()
            .cast(v.dtype());
        let phase = flow.angle.detach() + (v.detach() / flow.root.detach()).atan();
        let pairs = (phase * FRAC_1_PI - odd.clone()) * 0.5;
        let spikes = odd + pairs.round().clamp_min(0.0) * 2.0;
        Ok(State::new(vec![
            above / below.clone(),
            self.surrogate.attach(spikes, -below),
        ]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[1].clone(),
        }
    }
}
