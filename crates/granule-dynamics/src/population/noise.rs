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

    /// The noise of a step, `[batch, units]`, row-major.
    fn values(&self, step: usize, batch: usize, units: usize) -> Vec<f64> {
        // Each of a row's units, and last what they share: a row is the same in every batch.
        let width = units + 1;
        let drawn = self.source.values(step, batch * width);
        let rows = drawn.chunks_exact(width);
        rows.flat_map(|row| {
            let common = self.shared * row[units];
            row[..units].iter().map(move |x| self.private * x + common)
        })
        .collect()
    }

    /// The noise of a step, `[batch, units]`.
    pub(super) fn at(&self, step: usize, batch: usize, units: usize, place: &Place) -> Tensor<2> {
        let own = *self;
        numbers_of_step(step, [batch, units], place, move |step| {
            own.values(step, batch, units)
        })
    }

    /// The noise of the first steps, `[steps, batch, units]`.
    pub(super) fn sequence(&self, shape: [usize; 3], place: &Place) -> Tensor<3> {
        let [steps, batch, units] = shape;
        let values = (0..steps).flat_map(|step| self.values(step, batch, units));
        place.tensor(values.collect(), shape)
    }
}
