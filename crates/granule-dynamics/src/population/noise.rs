use burn::tensor::Tensor;

use crate::Place;
use crate::random::NormalNoise;
use crate::whole::numbers_of_step;

/// Private and shared noise of one run of a network: σ_p ξ_i + σ_s η, where every unit i has its own ξ and all share η.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetworkNoise {
    source: NormalNoise,
    private: f64,
    shared: f64,
}

impl NetworkNoise {
    /// `None` where both amplitudes are zero.
    pub(super) fn new(source: NormalNoise, private: f64, shared: f64) -> Option<Self> {
        (private > 0.0 || shared > 0.0).then_some(Self {
            source,
            private,
            shared,
        })
    }

    /// The noise of a step, `[batch, units]`, row-major, in the place of `values`.
    fn fill(&self, step: usize, units: usize, values: &mut [f64]) {
        // Each of a row's units, and last what they share: a row is the same in every batch.
        let width = units + 1;
        let drawn = self
            .source
            .values(step, values.len() / units.max(1) * width);
        let rows = drawn.chunks_exact(width);
        for (values, row) in values.chunks_exact_mut(units.max(1)).zip(rows) {
            let common = self.shared * row[units];
            for (value, x) in values.iter_mut().zip(row) {
                *value = self.private * x + common;
            }
        }
    }

    /// The noise of a step, `[batch, units]`.
    pub(super) fn at(&self, step: usize, batch: usize, units: usize, place: &Place) -> Tensor<2> {
        let own = *self;
        numbers_of_step(step, [batch, units], place, move |step, values| {
            own.fill(step, units, values);
        })
    }

    /// The noise of the first steps, `[steps, batch, units]`.
    pub(super) fn sequence(&self, shape: [usize; 3], place: &Place) -> Tensor<3> {
        let [steps, batch, units] = shape;
        let mut values = vec![0.0; steps * batch * units];
        let rows = values.chunks_exact_mut((batch * units).max(1));
        rows.enumerate()
            .for_each(|(step, values)| self.fill(step, units, values));
        place.tensor(values, shape)
    }
}
