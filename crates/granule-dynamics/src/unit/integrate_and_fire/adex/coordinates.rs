use burn::tensor::Tensor;

use super::AdexField;
use crate::solver::linear::phi1;
use crate::unit::integrate_and_fire::{Coordinates, Upstroke};

/// −y is kept above this, where v is some seventy Δ_T above V_T and takes no time to the peak.
const SUMMIT: f64 = 1e-30;

/// What the functions of p = −y share.
#[derive(Clone)]
struct Depth {
    p: Tensor<2>,
    /// ln p
    ln: Tensor<2>,
    /// ln(1 + p)
    one: Tensor<2>,
    /// (1 − exp(−p))/p
    phi: Tensor<2>,
}

impl Depth {
    fn new(y: Tensor<2>) -> Self {
        let p = y.neg().clamp_min(SUMMIT);
        Self {
            ln: p.clone().log(),
            one: p.clone().log1p(),
            phi: phi1(p.clone().neg()),
            p,
        }
    }
}

impl AdexField {
    /// v and w.
    fn unfold(&self, depth: &Depth, z: Tensor<2>) -> [Tensor<2>; 2] {
        let Depth { p, ln, one, phi } = depth.clone();
        let x = (p.clone() + ln.clone() + phi.log()).neg();
        let bend = one.clone() + p * (one - ln);
        let v = x * &self.values.slope + &self.values.threshold;
        [v, z - bend * &self.shear]
    }
}

/// With p = ln(1 + exp(−x)) and x = (v − V_T)/Δ_T the coordinates are y = −p and
/// z = w + κ((1 + p)ln(1 + p) − p ln p), κ = a Δ_T C/(τ_w g_L), whose last term takes from dz/dt the logarithm by which
/// a(v − E_L)/τ_w goes to infinity.
impl Coordinates for AdexField {
    fn smooth(&self, v: Tensor<2>, w: Tensor<2>) -> [Tensor<2>; 2] {
        let x = (v - &self.values.threshold) / &self.values.slope;
        let above = x.clone().greater_elem(0.0);
        let low = x.clone().mask_fill(above.clone(), 0.0);
        let high = x.mask_fill(above.clone().bool_not(), 0.0);
        let p = (low.clone().exp().log1p() - low).mask_where(above, high.neg().exp().log1p());
        let p = p.clamp_min(SUMMIT);
        let one = p.clone().log1p();
        let bend = one.clone() + p.clone() * (one - p.clone().log());
        [p.neg(), w + bend * &self.shear]
    }

    fn rough(&self, [y, z]: [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        self.unfold(&Depth::new(y), z)
    }

    fn upstroke(&self, [y, z]: [Tensor<2>; 2]) -> Upstroke {
        let depth = Depth::new(y);
        let [v, recovery] = self.unfold(&depth, z);
        Upstroke {
            v,
            recovery,
            slope: depth.phi * depth.p / &self.values.slope,
            shear: Some((depth.ln - depth.one) * &self.shear),
        }
    }
}
