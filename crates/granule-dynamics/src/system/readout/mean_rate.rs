use burn::tensor::Tensor;

use crate::DynamicsError;
use crate::setting::Range;

/// The rate of a population in consecutive windows, in Hz: `[windows, batch, 1]`.
///
/// `spikes` are `[steps, batch, units]`, the number of spikes of each unit in each step of `dt` ms; steps after the
/// last whole window are left out. Differentiable with respect to the spikes.
///
/// # Errors
///
/// [`DynamicsError::Config`] for a `dt` that is not positive or a window of 0 steps or more than there are.
pub fn mean_rate(spikes: Tensor<3>, dt: f64, window: usize) -> Result<Tensor<3>, DynamicsError> {
    Range::Positive.check("dt", dt)?;
    let [steps, batch, units] = spikes.dims();
    if window == 0 || window > steps {
        return Err(DynamicsError::config(
            "window",
            window,
            format!("1 to {steps} steps"),
        ));
    }
    let windows = steps / window;
    let counts = spikes.narrow(0, 0, windows * window).sum_dim(2);
    let counts = counts.reshape([windows, window, batch]).sum_dim(1);
    let seconds = window as f64 * dt * 1e-3;
    Ok(counts
        .reshape([windows, batch, 1])
        .mul_scalar(1.0 / (seconds * units.max(1) as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::testing::f64_place;

    #[test]
    fn spikes_are_counted_by_window_and_row() {
        let place = f64_place();
        // Two rows of two units, five steps of 0.5 ms in windows of two.
        let spikes = vec![
            1.0, 0.0, 0.0, 0.0, //
            0.0, 1.0, 0.0, 0.0, //
            0.0, 0.0, 1.0, 0.0, //
            0.0, 0.0, 0.0, 0.0, //
            1.0, 1.0, 1.0, 1.0,
        ];
        let spikes = || place.tensor(spikes.clone(), [5, 2, 2]);
        let rate = mean_rate(spikes(), 0.5, 2).unwrap();
        assert_eq!(rate.dims(), [2, 2, 1]);
        assert_eq!(host(rate).unwrap(), [1000.0, 0.0, 0.0, 500.0]);
        assert!(mean_rate(spikes(), 0.5, 6).is_err());
        assert!(mean_rate(spikes(), 0.5, 0).is_err());
        assert!(mean_rate(spikes(), -1.0, 2).is_err());
    }
}
