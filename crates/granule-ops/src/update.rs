//! One pass over the values of a parameter, their gradient and an optimiser's state.

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
    use super::*;

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
