//! Coordinates in which an upstroke is smooth.

use burn::tensor::Tensor;

use crate::State;
use crate::Variable;
use crate::model::Field;

/// Coordinates of a cell of two variables, the potential v and a recovery, in which a solver moves it: where v goes to infinity
/// within a time, they pass through a number at a finite speed. A step of a Runge–Kutta method then has its order across a
/// spike.
pub trait Coordinates: Field {
    /// The coordinates of v and recovery.
    fn smooth(&self, v: Tensor<2>, recovery: Tensor<2>) -> [Tensor<2>; 2];

    /// v and recovery of coordinates, which may be those behind the peak.
    fn rough(&self, at: [Tensor<2>; 2]) -> [Tensor<2>; 2];

    /// The same, with how the coordinates change with v and with each other.
    fn upstroke(&self, at: [Tensor<2>; 2]) -> Upstroke;
}

/// A point of the smooth coordinates (y, z).
#[derive(Clone, Debug)]
pub struct Upstroke {
    /// v
    pub v: Tensor<2>,
    /// The recovery.
    pub recovery: Tensor<2>,
    /// dy/dv
    pub slope: Tensor<2>,
    /// dz/dy at constant recovery; none where z is the recovery itself.
    pub shear: Option<Tensor<2>>,
}

/// A field in its smooth coordinates, at a speed of its own for each cell.
pub(super) struct Smooth<'a, F> {
    pub(super) field: &'a F,
    /// The part of the step that each cell moves through; all of it if there is none.
    pub(super) share: Option<Tensor<2>>,
}

impl<F: Coordinates> Field for Smooth<'_, F> {
    fn name(&self) -> &str {
        self.field.name()
    }

    fn variables(&self) -> &[Variable] {
        self.field.variables()
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let at = self.field.upstroke([state[0].clone(), state[1].clone()]);
        let state = State::new(vec![at.v, at.recovery]);
        let slopes = self.field.derivative(time, &state, input);
        let dy = slopes[0].clone() * at.slope;
        let dz = match at.shear {
            Some(shear) => slopes[1].clone() + shear * dy.clone(),
            None => slopes[1].clone(),
        };
        State::new(vec![dy, dz]).map(|slope| match &self.share {
            Some(share) => slope * share.clone(),
            None => slope,
        })
    }
}
