use burn::tensor::Tensor;

use crate::DynamicsError;

/// A proxy of the local field potential of a population of point neurons: Σ I_AMPA(t − lag) − ratio·Σ I_GABA(t)
/// (Mazzoni et al. 2015, PLoS Computational Biology 11:e1004584, with a lag of 6 ms and a ratio of 1.65).
///
/// `excitatory` and `inhibitory` are the synaptic currents on the pyramidal cells, `[steps, batch, cells]`, with their signs:
/// an excitatory current is inward and so negative for a current density of the membrane, an inhibitory one positive. The result,
/// `[steps − lag, batch, 1]`, begins `lag` steps later than they do. Differentiable with respect to both.
///
/// # Errors
///
/// [`DynamicsError::Shape`] when the currents have different shapes; [`DynamicsError::Config`] for a ratio that is not finite, or
/// a lag that leaves no step.
pub fn weighted_synaptic_currents(
    excitatory: Tensor<3>,
    inhibitory: Tensor<3>,
    lag: usize,
    ratio: f64,
) -> Result<Tensor<3>, DynamicsError> {
    let steps = excitatory.dims()[0];
    if excitatory.dims() != inhibitory.dims() {
        return Err(DynamicsError::Shape {
            what: "the inhibitory currents".into(),
            expected: excitatory.dims().to_vec(),
            found: inhibitory.dims().to_vec(),
        });
    }
    if lag >= steps {
        return Err(DynamicsError::config(
            "lag",
            lag,
            format!("less than the {steps} steps"),
        ));
    }
    if !ratio.is_finite() {
        return Err(DynamicsError::config("ratio", ratio, "a finite number"));
    }
    let kept = steps - lag;
    let excitation = excitatory.narrow(0, 0, kept).sum_dim(2);
    let inhibition = inhibitory.narrow(0, lag, kept).sum_dim(2);
    Ok(excitation - inhibition.mul_scalar(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::testing::f64_place;

    #[test]
    fn excitation_lags_and_inhibition_is_weighted() {
        let place = f64_place();
        let excitatory = || place.tensor(vec![-1.0, -2.0, -3.0, -4.0, -5.0, -6.0], [3, 1, 2]);
        let inhibitory = place.tensor(vec![1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [3, 1, 2]);
        let proxy = weighted_synaptic_currents(excitatory(), inhibitory.clone(), 1, 1.65).unwrap();
        assert_eq!(proxy.dims(), [2, 1, 1]);
        assert_eq!(host(proxy).unwrap(), [-3.0 - 1.65 * 4.0, -7.0 - 1.65 * 6.0]);
        assert!(weighted_synaptic_currents(excitatory(), inhibitory.clone(), 3, 1.65).is_err());
        let narrow = inhibitory.narrow(2, 0, 1);
        assert!(weighted_synaptic_currents(excitatory(), narrow, 1, 1.65).is_err());
    }
}
