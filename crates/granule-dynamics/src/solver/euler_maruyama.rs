use burn::tensor::Tensor;

use super::Solver;
use super::noise::increments;
use crate::model::{Clock, Field};
use crate::random::NormalNoise;
use crate::{DynamicsError, State};

/// The method of Maruyama (1955) for dx = f dt + g dW in the sense of Itô, x ← x + dt·f + g·ΔW. Strong order ½, weak
/// order 1; strong order 1 where g does not depend on x. One evaluation a step.
///
/// Every element of the state has its own Wiener process. A field without [`diffusion`](Field::diffusion) gets a forward
/// Euler step.
#[derive(Clone, Copy, Debug, Default)]
pub struct EulerMaruyama {
    /// The Wiener processes.
    pub noise: NormalNoise,
}

impl Solver for EulerMaruyama {
    fn name(&self) -> &'static str {
        "euler-maruyama"
    }

    fn order(&self) -> usize {
        1
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn relative_step(&self) -> f64 {
        0.2
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let drift = field.derivative(at.time, state, input);
        let next = state.add_scaled(&drift, at.dt);
        Ok(match field.diffusion(at.time, state) {
            Some(diffusion) => {
                let kick = diffusion.zip(increments(&self.noise, at, state), |g, w| g * w);
                next.zip(kick, |x, kick| x + kick)
            }
            None => next,
        })
    }
}
