//! Stochastic gradient descent with momentum, as in PyTorch:
//!
//! ```text
//! g ← g + λ·w                    (L2)        w ← w·(1 − η·λ)   (decoupled)
//! b ← µ·b + g
//! w ← w − η·b                    (Nesterov: w ← w − η·(g + µ·b))
//! ```
//!
//! Sutskever, Martens, Dahl, Hinton, *On the importance of initialization and momentum in deep learning*, ICML 2013.

use burn::tensor::Tensor;
use granule_ops::UpdateRule;

use super::{Rule, UpdateContext};
use crate::config::SgdConfig;

pub(super) struct Sgd {
    config: SgdConfig,
}

impl Sgd {
    pub(super) fn new(config: SgdConfig) -> Self {
        Self { config }
    }

    /// (what the weight is multiplied by, what of it is added to the gradient)
    fn decay(&self, lr: f64) -> (f64, f64) {
        if self.config.decoupled {
            (1.0 - lr * self.config.weight_decay, 0.0)
        } else {
            (1.0, self.config.weight_decay)
        }
    }
}

impl Rule for Sgd {
    fn slots(&self) -> Vec<&'static str> {
        if self.config.momentum > 0.0 {
            vec!["momentum_buffer"]
        } else {
            Vec::new()
        }
    }

    fn update(
        &self,
        at: &UpdateContext,
        weight: &mut [f32],
        gradient: &[f32],
        state: &mut [&mut [f32]],
    ) {
        let (keep, l2) = self.decay(at.lr);
        let (keep, l2) = (keep as f32, l2 as f32);
        let (lr, mu, scale) = (at.lr as f32, self.config.momentum as f32, at.gradient_scale);
        match state {
            [buffer] if self.config.nesterov => {
                granule_ops::update(weight, gradient, [buffer], |w, g, [b]| {
                    let g = g * scale + l2 * w;
                    let b = mu * b + g;
                    (w * keep - lr * (g + mu * b), [b])
                });
            }
            [buffer] => granule_ops::update(weight, gradient, [buffer], |w, g, [b]| {
                let b = mu * b + (g * scale + l2 * w);
                (w * keep - lr * b, [b])
            }),
            _ => granule_ops::update(weight, gradient, [], |w, g, []| {
                (w * keep - lr * (g * scale + l2 * w), [])
            }),
        }
    }

    fn on_gpu(&self, at: &UpdateContext) -> Option<UpdateRule> {
        let (keep, decay) = self.decay(at.lr);
        let (keep, decay, rate) = (keep as f32, decay as f32, at.lr as f32);
        Some(if self.config.momentum > 0.0 {
            UpdateRule::Momentum {
                keep,
                decay,
                rate,
                momentum: self.config.momentum as f32,
                nesterov: self.config.nesterov,
            }
        } else {
            UpdateRule::Plain { keep, decay, rate }
        })
    }

    fn update_tensor(
        &self,
        at: &UpdateContext,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut [Tensor<1>],
    ) -> Tensor<1> {
        let (keep, l2) = self.decay(at.lr);
        let gradient = if l2 > 0.0 {
            gradient.add(weight.clone().mul_scalar(l2))
        } else {
            gradient
        };
        let weight = if keep < 1.0 {
            weight.mul_scalar(keep)
        } else {
            weight
        };
        let direction = match state {
            [buffer] => {
                let mu = self.config.momentum;
                *buffer = buffer.clone().mul_scalar(mu).add(gradient.clone());
                if self.config.nesterov {
                    gradient.add(buffer.clone().mul_scalar(mu))
                } else {
                    buffer.clone()
                }
            }
            _ => gradient,
        };
        weight.sub(direction.mul_scalar(at.lr))
    }
}
