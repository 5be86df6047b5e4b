use burn::tensor::Tensor;

use super::IzhikevichField;
use crate::unit::integrate_and_fire::{Coordinates, Upstroke};

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

impl IzhikevichField {
    /// −y is kept above this: well behind the peak.
    pub(super) fn summit(peak: f64) -> f64 {
        SUMMIT.min(0.125 * distance(peak))
    }
}

/// The coordinates are y = x − √(1 + x²) = −q with x = (v − vertex)/bend = (1/q − q)/2, and u.
impl Coordinates for IzhikevichField {
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
}
