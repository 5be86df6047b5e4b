use burn::tensor::Tensor;

use super::Solver;
use super::noise::increments;
use crate::model::{Clock, Field};
use crate::random::NormalNoise;
use crate::{DynamicsError, State};

/// The stochastic Heun method (Rümelin 1982) for dx = f dt + g ∘ dW in the sense of **Stratonovich**: an Euler step with
/// the noise, then the means of drift and amplitude at both its ends. Strong and weak order 1 for the independent noise
/// of a [`Field`] whose amplitude of a variable depends on that variable alone; order 2 without noise. Two evaluations a
/// step.
///
/// Where g does not depend on x, Itô and Stratonovich agree; elsewhere the Itô equation with drift f has the Stratonovich
/// drift f − ½ g ∂g/∂x. Every element of the state has its own Wiener process.
#[derive(Clone, Copy, Debug, Default)]
pub struct StochasticHeun {
    /// The Wiener processes.
    pub noise: NormalNoise,
}

impl Solver for StochasticHeun {
    fn name(&self) -> &'static str {
        "stochastic-heun"
    }

    fn order(&self) -> usize {
        2
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let Clock { time, dt, .. } = at;
        let drift = field.derivative(time, state, input);
        let guess = state.add_scaled(&drift, dt);
        let Some(diffusion) = field.diffusion(time, state) else {
            let there = field.derivative(time + dt, &guess, input);
            return Ok(state.add_scaled(&drift.add_scaled(&there, 1.0), 0.5 * dt));
        };
        let times = |a: Tensor<2>, b: Tensor<2>| a * b;
        let increments = increments(&self.noise, at, state);
        let guess = guess.add_scaled(&diffusion.clone().zip(increments.clone(), times), 1.0);
        let drift = drift.add_scaled(&field.derivative(time + dt, &guess, input), 1.0);
        let diffusion = match field.diffusion(time + dt, &guess) {
            Some(there) => diffusion.add_scaled(&there, 1.0),
            None => diffusion,
        };
        let kick = diffusion.zip(increments, times);
        Ok(state.add_scaled(&drift, 0.5 * dt).add_scaled(&kick, 0.5))
    }
}
