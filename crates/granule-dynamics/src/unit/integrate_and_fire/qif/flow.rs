//! The Möbius map of a quadratic cell.

use std::f64::consts::FRAC_PI_2;

use burn::tensor::{Bool, Tensor};

use crate::quantity::Quantity;

/// Below this size of (η + u)·t² the series of cos and sin, three terms long, are exact in double precision.
const SMALL: f64 = 1e-4;

/// A denominator closer to zero is moved away from it: a shift of the spike by this part of a step.
pub(super) const TINY: f64 = 1e-9;

/// The coefficients of the Möbius map.
pub(super) struct Flow {
    /// cos st, or 1.
    pub(super) cos: Tensor<2>,
    /// sin(st)/s, or tanh(st)/s.
    pub(super) sin: Tensor<2>,
    /// s·t where η + u > 0, else 0.
    pub(super) angle: Tensor<2>,
    /// s, or 1 where η + u ≤ 0 or close to it.
    pub(super) root: Tensor<2>,
    /// √|η + u|, or 1 where that is close to 0.
    size: Tensor<2>,
    /// Where the series serve.
    small: Tensor<2, Bool>,
    /// Where η + u is above 0 and not close to it.
    oscillates: Tensor<2, Bool>,
}

impl Flow {
    pub(super) fn new(drive: &Tensor<2>, time: &Quantity) -> Self {
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
    pub(super) fn since_spike(&self, v: Tensor<2>, drive: Tensor<2>) -> Tensor<2> {
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
