//! One pass over the values of a parameter, their gradient and an optimiser's state.

#[cfg(gpu)]
mod cube;

use burn::tensor::Tensor;

use crate::vectorised::{Kernel, vectorised};

/// The fewest elements that threads share: fewer stay in the cache of the one that updates them in every step, and to bring them
/// from that of another takes longer than the update.
const SHARED: usize = 1 << 19;
/// Elements of a task.
const PART: usize = 1 << 16;

/// Replaces every weight and its `S` numbers of state by what `rule` makes of them and of the weight's gradient.
///
/// Elements do not depend on each other: many are shared out over the threads, and all run on the widest vectors that the
/// processor has, which changes no bit of what `rule` computes.
///
/// # Panics
/// When the slices differ in length.
pub fn update<const S: usize>(
    weight: &mut [f32],
    gradient: &[f32],
    state: [&mut [f32]; S],
    rule: impl Fn(f32, f32, [f32; S]) -> (f32, [f32; S]) + Copy + Send + Sync,
) {
    let len = weight.len();
    assert!(
        gradient.len() == len && state.iter().all(|slot| slot.len() == len),
        "update: a gradient and a state as long as the weights"
    );
    let pass = Pass {
        weight,
        gradient,
        state,
        rule,
    };
    if len < SHARED {
        vectorised(pass);
    } else {
        pass.divided();
    }
}

/// What an optimiser does with a weight `w`, its gradient `g` and its state, `g ← g + decay·w` coming first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `w ← keep·w − rate·g`
    Plain {
        /// What the weight is multiplied by.
        keep: f32,
        /// What of the weight is added to its gradient.
        decay: f32,
        /// The learning rate.
        rate: f32,
    },
    /// `b ← momentum·b + g`, `w ← keep·w − rate·b`, after Nesterov `w ← keep·w − rate·(g + momentum·b)`; the state is `b`.
    Momentum {
        /// What the weight is multiplied by.
        keep: f32,
        /// What of the weight is added to its gradient.
        decay: f32,
        /// The learning rate.
        rate: f32,
        /// 0 to 1.
        momentum: f32,
        /// Whether after Nesterov.
        nesterov: bool,
    },
    /// `m ← beta₁·m + rest₁·g`, `v ← beta₂·v + rest₂·g²`, `w ← keep·w − step·m/(root·√v + epsilon)`; the state is `m` and `v`.
    Adam {
        /// What the weight is multiplied by.
        keep: f32,
        /// What of the weight is added to its gradient.
        decay: f32,
        /// Of both means.
        beta: [f32; 2],
        /// What they lack of 1.
        rest: [f32; 2],
        /// The learning rate over what `m` lacks of a mean.
        step: f32,
        /// One over the root of what `v` lacks of one.
        root: f32,
        /// What keeps the quotient finite.
        epsilon: f32,
    },
}

impl UpdateRule {
    /// How many numbers of state a weight has.
    pub fn slots(&self) -> usize {
        match self {
            Self::Plain { .. } => 0,
            Self::Momentum { .. } => 1,
            Self::Adam { .. } => 2,
        }
    }
}

/// The weights `[n]` and the state, `[n]` each, after an update by a gradient `[n]`, of which `scale` `[1]`, where it is given, is
/// a factor: one launch on a GPU in f32. `None` elsewhere, and for shapes that do not fit.
pub fn update_on_gpu(
    weight: &Tensor<1>,
    gradient: &Tensor<1>,
    scale: Option<&Tensor<1>>,
    state: &[Tensor<1>],
    rule: UpdateRule,
) -> Option<(Tensor<1>, Vec<Tensor<1>>)> {
    #[cfg(gpu)]
    return cube::update(weight, gradient, scale, state, rule);
    #[cfg(not(gpu))]
    {
        let _ = (weight, gradient, scale, state, rule);
        None
    }
}

struct Pass<'a, const S: usize, F> {
    weight: &'a mut [f32],
    gradient: &'a [f32],
    state: [&'a mut [f32]; S],
    rule: F,
}

impl<const S: usize, F> Pass<'_, S, F>
where
    F: Fn(f32, f32, [f32; S]) -> (f32, [f32; S]) + Copy + Send + Sync,
{
    /// In parts, by all threads.
    fn divided(self) {
        let len = self.weight.len();
        if len <= PART {
            return vectorised(self);
        }
        let middle = (len / 2).next_multiple_of(PART);
        let rule = self.rule;
        let (weight, other_weight) = self.weight.split_at_mut(middle);
        let (gradient, other_gradient) = self.gradient.split_at(middle);
        let mut halves = self.state.map(|slot| slot.split_at_mut(middle));
        let state = halves.each_mut().map(|(slot, _)| core::mem::take(slot));
        let other_state = halves.map(|(_, slot)| slot);
        let half = Pass {
            weight,
            gradient,
            state,
            rule,
        };
        let other = Pass {
            weight: other_weight,
            gradient: other_gradient,
            state: other_state,
            rule,
        };
        rayon::join(|| half.divided(), || other.divided());
    }
}

impl<const S: usize, F: Fn(f32, f32, [f32; S]) -> (f32, [f32; S])> Kernel for Pass<'_, S, F> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let len = self.weight.len();
        let gradient = &self.gradient[..len];
        let mut state = self.state.map(|slot| &mut slot[..len]);
        for (i, weight) in self.weight.iter_mut().enumerate() {
            let before = core::array::from_fn(|k| state[k][i]);
            let (after, slots) = (self.rule)(*weight, gradient[i], before);
            *weight = after;
            for (slot, value) in state.iter_mut().zip(slots) {
                slot[i] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::testing::{assert_close, gpu, values};

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let values = crate::testing::numbers(count, seed);
        values.into_iter().map(|x| x as f32).collect()
    }

    #[test]
    fn every_element_is_updated_once_by_the_same_bits() {
        let rule = |w: f32, g: f32, [m, v]: [f32; 2]| {
            let (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
            (w - 0.1 * m / (v.sqrt() + 1e-8), [m, v])
        };
        for len in [0, 1, 15, 16, 17, 1000, SHARED, SHARED + PART + 3] {
            let gradient = numbers(len, 1);
            let (mut weight, mut m) = (numbers(len, 2), numbers(len, 3));
            let mut v: Vec<f32> = numbers(len, 4).into_iter().map(f32::abs).collect();
            let expected: Vec<(f32, [f32; 2])> = (0..len)
                .map(|i| rule(weight[i], gradient[i], [m[i], v[i]]))
                .collect();
            update(&mut weight, &gradient, [&mut m, &mut v], rule);
            for (i, (w, slots)) in expected.into_iter().enumerate() {
                assert_eq!((weight[i], [m[i], v[i]]), (w, slots), "{i} of {len}");
            }
        }
    }

    const RULES: [UpdateRule; 4] = [
        UpdateRule::Plain {
            keep: 0.99,
            decay: 0.02,
            rate: 0.1,
        },
        UpdateRule::Momentum {
            keep: 1.0,
            decay: 0.02,
            rate: 0.1,
            momentum: 0.9,
            nesterov: false,
        },
        UpdateRule::Momentum {
            keep: 0.98,
            decay: 0.0,
            rate: 0.1,
            momentum: 0.9,
            nesterov: true,
        },
        UpdateRule::Adam {
            keep: 0.99,
            decay: 0.02,
            beta: [0.9, 0.99],
            rest: [0.1, 0.01],
            step: 0.1,
            root: 2.0,
            epsilon: 1e-6,
        },
    ];

    /// The same in double precision.
    fn by_hand(rule: UpdateRule, w: f64, g: f64, state: &mut [f64]) -> f64 {
        let of = f64::from;
        match (rule, state) {
            (UpdateRule::Plain { keep, decay, rate }, _) => {
                of(keep) * w - of(rate) * (g + of(decay) * w)
            }
            (
                UpdateRule::Momentum {
                    keep,
                    decay,
                    rate,
                    momentum,
                    nesterov,
                },
                [b],
            ) => {
                let g = g + of(decay) * w;
                *b = of(momentum) * *b + g;
                let direction = if nesterov { g + of(momentum) * *b } else { *b };
                of(keep) * w - of(rate) * direction
            }
            (
                UpdateRule::Adam {
                    keep,
                    decay,
                    beta,
                    rest,
                    step,
                    root,
                    epsilon,
                },
                [m, v],
            ) => {
                let g = g + of(decay) * w;
                *m = of(beta[0]) * *m + of(rest[0]) * g;
                *v = of(beta[1]) * *v + of(rest[1]) * g * g;
                of(keep) * w - of(step) * *m / (of(root) * v.sqrt() + of(epsilon))
            }
            _ => panic!("{rule:?} with another state"),
        }
    }

    #[test]
    fn a_gpu_updates_by_the_same_rules() {
        let Some(gpu) = gpu() else { return };
        let on = |values: &[f64], device: &Device| {
            let data: Vec<f32> = values.iter().map(|x| *x as f32).collect();
            Tensor::<1>::from_data(TensorData::new(data, [values.len()]), device)
        };
        for (rule, len) in RULES
            .into_iter()
            .flat_map(|rule| [0, 1, 7, 1001].map(|len| (rule, len)))
        {
            for scale in [None, Some(0.5)] {
                let numbers =
                    |seed| -> Vec<f64> { numbers(len, seed).into_iter().map(f64::from).collect() };
                let mut weight = numbers(1);
                let mut state = vec![vec![0.0; len]; rule.slots()];
                let mut found = on(&weight, &gpu);
                let mut found_state: Vec<_> = state.iter().map(|x| on(x, &gpu)).collect();
                for step in 0..3 {
                    let gradient = numbers(2 + step);
                    for (at, w) in weight.iter_mut().enumerate() {
                        let mut own: Vec<f64> = state.iter().map(|slot| slot[at]).collect();
                        let g = gradient[at] * scale.unwrap_or(1.0);
                        *w = by_hand(rule, *w, g, &mut own);
                        for (slot, value) in state.iter_mut().zip(own) {
                            slot[at] = value;
                        }
                    }
                    let scale = scale.map(|scale| on(&[scale], &gpu));
                    let gradient = on(&gradient, &gpu);
                    let next = update_on_gpu(&found, &gradient, scale.as_ref(), &found_state, rule);
                    (found, found_state) = next.unwrap();
                }
                let what = format!("{rule:?} {len}");
                assert_close(&values(found), &weight, 1e-6, &what);
                for (found, expected) in found_state.into_iter().zip(&state) {
                    assert_close(&values(found), expected, 1e-6, &what);
                }
            }
        }
        let (three, four) = (on(&[0.0; 3], &gpu), on(&[0.0; 4], &gpu));
        assert!(update_on_gpu(&three, &four, None, &[], RULES[0]).is_none());
        assert!(update_on_gpu(&three, &three, None, &[], RULES[1]).is_none());
        let host = on(&[0.0; 3], &Device::flex());
        assert!(update_on_gpu(&host, &host, None, &[], RULES[0]).is_none());
    }

    #[test]
    fn a_rule_may_have_no_state() {
        let mut weight = [1.0, -2.0, 4.0];
        update(&mut weight, &[2.0, 4.0, -8.0], [], |w, g, []| {
            (w - 0.5 * g, [])
        });
        assert_eq!(weight, [0.0, -4.0, 8.0]);
    }

    #[test]
    #[should_panic(expected = "as long as the weights")]
    fn slices_of_another_length_are_refused() {
        update(&mut [1.0, 2.0], &[1.0], [], |w, _, []| (w, []));
    }
}
