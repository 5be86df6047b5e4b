//! The course of a step between its ends, and where it crosses a value.

use burn::tensor::{Bool, Tensor};

use crate::state::{is_tracked, plain, taped};

/// Steps of Newton's method to the crossing, after a linear guess; each doubles the digits.
const ROOT_STEPS: usize = 5;

/// The cubic through both ends of a step with their slopes, over the part θ of the step: Hermite's interpolation, whose
/// error is of fourth order.
pub(super) struct Cubic {
    begin: Tensor<2>,
    rise: Tensor<2>,
    /// Of θ, θ² and θ³.
    powers: [Tensor<2>; 3],
}

impl Cubic {
    /// `slopes` are those at both ends, times the step.
    pub(super) fn new(begin: Tensor<2>, end: Tensor<2>, slopes: [Tensor<2>; 2]) -> Self {
        let [first, last] = slopes;
        let rise = end - begin.clone();
        let square = rise.clone() * 3.0 - first.clone() * 2.0 - last.clone();
        let cube = first.clone() + last - rise.clone() * 2.0;
        Self {
            begin,
            rise,
            powers: [first, square, cube],
        }
    }

    pub(super) fn at(&self, theta: &Tensor<2>) -> Tensor<2> {
        let [one, two, three] = self.powers.clone();
        let sum = (three * theta.clone() + two) * theta.clone() + one;
        self.begin.clone() + sum * theta.clone()
    }

    fn slope(&self, theta: &Tensor<2>) -> Tensor<2> {
        let [one, two, three] = self.powers.clone();
        (three * theta.clone() * 3.0 + two * 2.0) * theta.clone() + one
    }

    /// Where in the step the cubic reaches `value`; 1 where the mask is true.
    ///
    /// The root is sought off the tape. A last step of Newton's method changes nothing but carries the derivatives, which
    /// are those of the implicit function.
    pub(super) fn root(&self, value: &Tensor<2>, masked: &Tensor<2, Bool>) -> Tensor<2> {
        let tracked = is_tracked(&self.rise);
        let off = |x: &Tensor<2>| {
            if tracked { plain(x.clone()) } else { x.clone() }
        };
        let on = |x: Tensor<2>| if tracked { taped(x) } else { x };
        let [one, two, three] = &self.powers;
        let off_tape = Self {
            begin: off(&self.begin),
            rise: off(&self.rise),
            powers: [off(one), off(two), off(three)],
        };
        let target = off(value);
        let masked_off = if tracked {
            masked.clone().without_autodiff()
        } else {
            masked.clone()
        };
        // A slope that is not upwards leads out of the step, and is cut there.
        let safe = |slope: Tensor<2>| slope.clamp_min(1e-20).mask_fill(masked_off.clone(), 1.0);
        let guess = (target.clone() - off_tape.begin.clone()) / safe(off_tape.rise.clone());
        let mut theta = guess.clamp(0.0, 1.0);
        for _ in 0..ROOT_STEPS {
            let miss = off_tape.at(&theta) - target.clone();
            theta = (theta.clone() - miss / safe(off_tape.slope(&theta))).clamp(0.0, 1.0);
        }
        let mut root = theta.clone();
        if tracked {
            let per_slope = on(safe(off_tape.slope(&theta)).recip());
            let known = on(off_tape.at(&theta) - target);
            let theta = on(theta);
            let miss = self.at(&theta) - value.clone();
            root = theta - (miss - known) * per_slope;
        }
        root.mask_fill(masked.clone(), 1.0)
    }
}
