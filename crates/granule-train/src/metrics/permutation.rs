use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether answers have to do with the truth: how often they would be right if the truth were permuted.
///
/// The model is trained once and its answers stay as they are; the classes of the test samples are permuted, which under
/// the hypothesis that they are independent of the answers changes nothing but by chance. `p_value` is
/// (1 + rounds at least as good) / (1 + rounds), which is valid for any number of rounds (Phipson and Smyth 2010,
/// doi:10.2202/1544-6115.1585).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermutationTest {
    /// The share of rounds at least as good as the model, the model itself among them.
    pub p_value: f64,
    /// Whether the truth was shifted in a circle, which keeps how neighbouring bins of a recording hang together, and not
    /// drawn in another order.
    pub shifted: bool,
    /// How many samples were scored.
    pub samples: u64,
    /// Right answers of the model.
    pub correct: u64,
    /// The null distribution: numbers of right answers, rising, each with the number of rounds that had so many.
    pub null: Vec<(u64, u64)>,
}

impl PermutationTest {
    /// Compares `predicted` with `truth`, and with the truth as `permuted` gives it for so many rounds; none of no round.
    pub(crate) fn new(
        truth: &[usize],
        predicted: &[usize],
        shifted: bool,
        rounds: usize,
        permuted: impl Fn(usize) -> Vec<usize>,
    ) -> Option<Self> {
        let right = |truth: &[usize]| {
            let pairs = truth.iter().zip(predicted);
            pairs.filter(|(a, b)| a == b).count() as u64
        };
        let correct = right(truth);
        let mut null = BTreeMap::new();
        for round in 0..rounds {
            *null.entry(right(&permuted(round))).or_insert(0) += 1;
        }
        let as_good: u64 = null.range(correct..).map(|(_, rounds)| rounds).sum();
        (rounds > 0).then(|| Self {
            p_value: (1 + as_good) as f64 / (1 + rounds) as f64,
            shifted,
            samples: truth.len() as u64,
            correct,
            null: null.into_iter().collect(),
        })
    }

    /// How often the truth was permuted.
    pub fn rounds(&self) -> u64 {
        self.null.iter().map(|(_, rounds)| rounds).sum()
    }

    /// The mean accuracy of the rounds.
    pub fn mean(&self) -> f64 {
        let right = self.null.iter().map(|&(right, rounds)| right * rounds);
        right.sum::<u64>() as f64 / (self.rounds() * self.samples).max(1) as f64
    }

    /// The accuracy that this share of the rounds, 0 to 1, does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.rounds() as f64;
        let mut before = 0;
        let found = self.null.iter().find(|(_, rounds)| {
            before += rounds;
            before as f64 >= wanted
        });
        let last = found.or(self.null.last());
        last.map_or(0.0, |(right, _)| *right as f64 / self.samples.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(truth: &[usize], predicted: &[usize]) -> PermutationTest {
        let shifted = |round: usize| {
            let mut all = truth.to_vec();
            all.rotate_left(round + 1);
            all
        };
        PermutationTest::new(truth, predicted, true, truth.len() - 1, shifted).unwrap()
    }

    #[test]
    fn the_model_is_one_of_the_rounds() {
        // Shifted by 1 to 4, a truth of five classes is never right.
        let truth = [0, 1, 2, 3, 4];
        let found = test(&truth, &truth);
        assert_eq!(found.null, [(0, 4)]);
        assert_eq!((found.correct, found.p_value), (5, 0.2));
        // Always the same answer is right as often whatever the order.
        let found = test(&truth, &[2; 5]);
        assert_eq!(found.null, [(1, 4)]);
        assert_eq!(found.p_value, 1.0);
        assert_eq!((found.mean(), found.quantile(0.95)), (0.2, 0.2));
    }

    #[test]
    fn quantiles_are_of_rounds() {
        let found = PermutationTest {
            p_value: 0.05,
            shifted: false,
            samples: 10,
            correct: 9,
            null: vec![(1, 50), (2, 45), (5, 5)],
        };
        assert_eq!(found.rounds(), 100);
        assert_eq!(found.quantile(0.5), 0.1);
        assert_eq!(found.quantile(0.95), 0.2);
        assert_eq!(found.quantile(1.0), 0.5);
        assert!((found.mean() - 0.165).abs() < 1e-12);
    }

    #[test]
    fn without_a_round_there_is_no_test() {
        let never = |_| Vec::new();
        assert_eq!(PermutationTest::new(&[1], &[1], true, 0, never), None);
    }
}
