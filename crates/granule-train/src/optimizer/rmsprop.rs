//! RMSprop, as in PyTorch:
//!
//! ```text
//! g ← g + λ·w
//! s ← α·s + (1 − α)·g²
//! a ← α·a + (1 − α)·g,  s′ = s − a²   (centred; else s′ = s)
//! d = g / (√s′ + ε)
//! b ← µ·b + d,  w ← w − η·b           (without momentum: w ← w − η·d)
//! ```
//!
//! Tieleman, Hinton, *Neural networks for machine learning*, lecture 6.5, 2012; the centred form is from Graves,
//! *Generating sequences with recurrent neural networks*, 2013 (arXiv:1308.0850).

use burn::tensor::Tensor;

use super::{Rule, UpdateContext};
use crate::config::RmsPropConfig;

pub(super) struct RmsProp {
    config: RmsPropConfig,
}

impl RmsProp {
    pub(super) fn new(config: RmsPropConfig) -> Self {
        Self { config }
    }
}

impl Rule for RmsProp {
    fn slots(&self) -> Vec<&'static str> {
        let mut slots = vec!["square_avg"];
        if self.config.centered {
            slots.push("grad_avg");
        }
        if self.config.momentum > 0.0 {
            slots.push("momentum_buffer");
        }
        slots
    }

    fn is_of_squares(&self, slot: &str) -> bool {
        slot == "square_avg"
    }

    fn update(
        &self,
        at: &UpdateContext,
        weight: &mut [f32],
        gradient: &[f32],
        state: &mut [&mut [f32]],
    ) {
        let (lr, l2, scale) = (
            at.lr as f32,
            self.config.weight_decay as f32,
            at.gradient_scale,
        );
        let (alpha, rest) = (self.config.alpha as f32, (1.0 - self.config.alpha) as f32);
        let (mu, epsilon) = (self.config.momentum as f32, self.config.epsilon as f32);
        let square_of = move |w: f32, g: f32, s: f32| {
            let g = g * scale + l2 * w;
            (g, alpha * s + rest * g * g)
        };
        let centred = move |g: f32, s: f32, a: f32| {
            let a = alpha * a + rest * g;
            // Rounding can take the difference below zero.
            ((s - a * a).max(0.0), a)
        };
        let direction = move |g: f32, spread: f32| g / (spread.sqrt() + epsilon);
        match state {
            [square] => granule_ops::update(weight, gradient, [square], |w, g, [s]| {
                let (g, s) = square_of(w, g, s);
                (w - lr * direction(g, s), [s])
            }),
            [square, centre] if self.config.centered => {
                granule_ops::update(weight, gradient, [square, centre], |w, g, [s, a]| {
                    let (g, s) = square_of(w, g, s);
                    let (spread, a) = centred(g, s, a);
                    (w - lr * direction(g, spread), [s, a])
                });
            }
            [square, buffer] => {
                granule_ops::update(weight, gradient, [square, buffer], |w, g, [s, b]| {
                    let (g, s) = square_of(w, g, s);
                    let b = mu * b + direction(g, s);
                    (w - lr * b, [s, b])
                });
            }
            [square, centre, buffer] => {
                let state = [&mut **square, &mut **centre, &mut **buffer];
                granule_ops::update(weight, gradient, state, |w, g, [s, a, b]| {
                    let (g, s) = square_of(w, g, s);
                    let (spread, a) = centred(g, s, a);
                    let b = mu * b + direction(g, spread);
                    (w - lr * b, [s, a, b])
                });
            }
            _ => {}
        }
    }

    fn update_tensor(
        &self,
        at: &UpdateContext,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut [Tensor<1>],
    ) -> Tensor<1> {
        let Some((square, state)) = state.split_first_mut() else {
            return weight;
        };
        let (centre, buffer) = match (self.config.centered, state) {
            (true, [centre, buffer]) => (Some(centre), Some(buffer)),
            (true, [centre]) => (Some(centre), None),
            (false, [buffer]) => (None, Some(buffer)),
            _ => (None, None),
        };
        let (alpha, rest) = (self.config.alpha, 1.0 - self.config.alpha);
        let gradient = if self.config.weight_decay > 0.0 {
            gradient.add(weight.clone().mul_scalar(self.config.weight_decay))
        } else {
            gradient
        };
        *square = square
            .clone()
            .mul_scalar(alpha)
            .add(gradient.clone().square().mul_scalar(rest));
        let mut spread = square.clone();
        if let Some(centre) = centre {
            *centre = centre
                .clone()
                .mul_scalar(alpha)
                .add(gradient.clone().mul_scalar(rest));
            spread = spread.sub(centre.clone().square()).clamp_min(0.0);
        }
        let mut direction = gradient.div(spread.sqrt().add_scalar(self.config.epsilon));
        if let Some(buffer) = buffer {
            *buffer = buffer
                .clone()
                .mul_scalar(self.config.momentum)
                .add(direction);
            direction = buffer.clone();
        }
        weight.sub(direction.mul_scalar(at.lr))
    }
}
