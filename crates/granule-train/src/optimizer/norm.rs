//! Sums of squares on the host.

/// Elements summed in one run; part of the result, so it depends on nothing.
const SUM_CHUNK: usize = 4096;

pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let chunk = |chunk: &[f32]| {
        let mut lanes = [0.0f64; 8];
        let (heads, tail) = chunk.as_chunks::<8>();
        for head in heads {
            for (lane, x) in lanes.iter_mut().zip(head) {
                *lane += f64::from(*x) * f64::from(*x);
            }
        }
        let tail: f64 = tail.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        lanes.iter().sum::<f64>() + tail
    };
    values.chunks(SUM_CHUNK).map(chunk).sum()
}
