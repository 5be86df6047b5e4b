//! Adam and AdamW, as in PyTorch; `t` counts from 1:
//!
//! ```text
//! g ← g + λ·w                    (Adam)      w ← w·(1 − η·λ)   (AdamW)
//! m ← β₁·m + (1 − β₁)·g
//! v ← β₂·v + (1 − β₂)·g²
//! w ← w − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
//! ```
//!
//! Kingma, Ba, *Adam: a method for stochastic optimization*, ICLR 2015 (arXiv:1412.6980); Loshchilov, Hutter,
//! *Decoupled weight decay regularization*, ICLR 2019 (arXiv:1711.05101).

use burn::tensor::Tensor;
use granule_ops::UpdateRule;

use super::{Rule, UpdateContext};
use crate::config::{AdamConfig, AdamWConfig};

pub(super) struct Adam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    decoupled: bool,
}

/// The constants of one step.
struct Factors {
    /// What the weight is multiplied by.
    keep: f64,
    /// What of the weight is added to the gradient.
    l2: f64,
    /// η/(1 − β₁ᵗ)
    step: f64,
    /// 1/√(1 − β₂ᵗ)
    root: f64,
}

impl Adam {
    pub(super) fn l2(config: AdamConfig) -> Self {
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            weight_decay: config.weight_decay,
            decoupled: false,
        }
    }

    pub(super) fn decoupled(config: AdamWConfig) -> Self {
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            weight_decay: config.weight_decay,
            decoupled: true,
        }
    }

    fn factors(&self, at: &UpdateContext) -> Factors {
        let t = at.step as f64;
        let (keep, l2) = if self.decoupled {
            (1.0 - at.lr * self.weight_decay, 0.0)
        } else {
            (1.0, self.weight_decay)
        };
        Factors {
            keep,
            l2,
            step: at.lr / (1.0 - self.beta1.powf(t)),
            root: 1.0 / (1.0 - self.beta2.powf(t)).sqrt(),
        }
    }
}

impl Rule for Adam {
    fn slots(&self) -> Vec<&'static str> {
        vec!["exp_avg", "exp_avg_sq"]
    }

    fn is_of_squares(&self, slot: &str) -> bool {
        slot == "exp_avg_sq"
    }

    fn update(
        &self,
        at: &UpdateContext,
        weight: &mut [f32],
        gradient: &[f32],
        state: &mut [&mut [f32]],
    ) {
        let [mean, square] = state else {
            return;
        };
        let factors = self.factors(at);
        let (keep, l2) = (factors.keep as f32, factors.l2 as f32);
        let (step, root) = (factors.step as f32, factors.root as f32);
        let (beta1, rest1) = (self.beta1 as f32, (1.0 - self.beta1) as f32);
        let (beta2, rest2) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
        let (epsilon, scale) = (self.epsilon as f32, at.gradient_scale);
        granule_ops::update(weight, gradient, [mean, square], |w, g, [m, v]| {
            let g = g * scale + l2 * w;
            let m = beta1 * m + rest1 * g;
            let v = beta2 * v + rest2 * g * g;
            (w * keep - step * m / (v.sqrt() * root + epsilon), [m, v])
        });
    }

    fn on_gpu(&self, at: &UpdateContext) -> Option<UpdateRule> {
        let factors = self.factors(at);
        Some(UpdateRule::Adam {
            keep: factors.keep as f32,
            decay: factors.l2 as f32,
            beta: [self.beta1 as f32, self.beta2 as f32],
            rest: [(1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32],
            step: factors.step as f32,
            root: factors.root as f32,
            epsilon: self.epsilon as f32,
        })
    }

    fn update_tensor(
        &self,
        at: &UpdateContext,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut [Tensor<1>],
    ) -> Tensor<1> {
        let [mean, square] = state else {
            return weight;
        };
        let factors = self.factors(at);
        let gradient = if factors.l2 > 0.0 {
            gradient.add(weight.clone().mul_scalar(factors.l2))
        } else {
            gradient
        };
        let weight = if factors.keep < 1.0 {
            weight.mul_scalar(factors.keep)
        } else {
            weight
        };
        *mean = mean
            .clone()
            .mul_scalar(self.beta1)
            .add(gradient.clone().mul_scalar(1.0 - self.beta1));
        *square = square
            .clone()
            .mul_scalar(self.beta2)
            .add(gradient.square().mul_scalar(1.0 - self.beta2));
        let root = square
            .clone()
            .sqrt()
            .mul_scalar(factors.root)
            .add_scalar(self.epsilon);
        weight.sub(mean.clone().div(root).mul_scalar(factors.step))
    }
}
