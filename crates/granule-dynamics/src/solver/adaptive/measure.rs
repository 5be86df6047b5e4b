use burn::tensor::Tensor;

use super::AdaptiveConfig;
use crate::model::{Clock, Field};
use crate::state::host;
use crate::{DynamicsError, State, Variable};

/// What an error is measured with.
pub(super) struct Tolerance {
    rtol: f64,
    atol: f64,
}

impl Tolerance {
    pub(super) fn new(config: &AdaptiveConfig) -> Self {
        Self {
            rtol: config.rtol,
            atol: config.atol,
        }
    }

    /// `error` in units of the tolerance of a step from `before` to `after`.
    pub(super) fn scale(&self, error: State, before: &State, after: &State) -> Scaled {
        let sizes = before.clone().zip(after.clone(), |a, b| {
            let (a, b) = (a.without_autodiff(), b.without_autodiff());
            a.abs().max_pair(b.abs())
        });
        Scaled(error.without_autodiff().zip(sizes, |error, size| {
            error / size.mul_scalar(self.rtol).add_scalar(self.atol)
        }))
    }

    /// A first step, from two evaluations of the field, of which `slope` is the first; Hairer, Nørsett and Wanner (1993,
    /// II.4).
    pub(super) fn first_step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        slope: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<f64, DynamicsError> {
        let size = |x: &State| self.scale(x.clone(), state, state).measure(state, state);
        let d0 = size(state)?.error;
        let d1 = size(slope)?.error;
        let guess = if d0 < 1e-5 || d1 < 1e-5 {
            1e-6
        } else {
            0.01 * d0 / d1
        }
        .min(at.dt);
        let there = field.derivative(at.time + guess, &state.add_scaled(slope, guess), input);
        let curvature = size(&there.add_scaled(slope, -1.0))?;
        let d2 = curvature.error / guess;
        if !(curvature.finite && d2.is_finite()) {
            return Ok(guess);
        }
        let step = if d1.max(d2) <= 1e-15 {
            (1e-3 * guess).max(1e-6)
        } else {
            (0.01 / d1.max(d2)).powf(0.2)
        };
        Ok(step.min(100.0 * guess))
    }
}

/// Errors in units of the tolerance, for every component.
pub(super) struct Scaled(State);

/// What is known of an attempt.
pub(super) struct Measure {
    /// The root mean square over the components of the worst trajectory.
    pub(super) error: f64,
    /// Whether errors and result are finite.
    pub(super) finite: bool,
    /// Whether the field settled on another state than the result.
    pub(super) moved: bool,
}

impl Scaled {
    /// Looks at an attempt that led to `next`, on which the field settled as `settled`; waits for the device once.
    pub(super) fn measure(&self, next: &State, settled: &State) -> Result<Measure, DynamicsError> {
        let sum = |terms: Vec<Tensor<2>>| terms.into_iter().reduce(|a, b| a + b);
        let errors = self.0.tensors().iter();
        let squares = sum(errors
            .map(|e| e.clone().powi_scalar(2).sum_dim(1))
            .collect());
        let Some(squares) = squares.filter(|x| x.dims()[0] > 0) else {
            return Ok(Measure {
                error: 0.0,
                finite: true,
                moved: false,
            });
        };
        let width: usize = self.0.tensors().iter().map(|x| x.dims()[1]).sum();
        let total = |x: Tensor<2>| x.sum_dim(0).sum_dim(1);
        // x − x is 0 or NaN.
        let doubt = |x: &Tensor<2>| total(x.clone() - x.clone());
        let next = next.clone().without_autodiff();
        let settled = settled.clone().without_autodiff();
        let doubts = next.tensors().iter().map(doubt);
        let doubts = sum(doubts.chain([doubt(&squares)]).collect());
        let moves = settled.zip(next, |a, b| total((a - b).abs()));
        let worst = squares.div_scalar(width as f64).max_dim(0).sqrt();
        let row = [Some(worst), doubts, sum(moves.into_tensors())];
        let row = host(Tensor::cat(row.into_iter().flatten().collect(), 1))?;
        Ok(Measure {
            error: row[0],
            finite: row[1] == 0.0,
            moved: row[2] != 0.0,
        })
    }

    /// The component with the largest error; one that is not a number before all others.
    pub(super) fn worst(&self, variables: &[Variable]) -> Result<Component, DynamicsError> {
        let mut worst = Component {
            variable: String::new(),
            batch: 0,
            unit: 0,
        };
        let mut largest = f64::NEG_INFINITY;
        for (variable, errors) in variables.iter().zip(self.0.tensors()) {
            for (index, error) in host(errors.clone())?.into_iter().enumerate() {
                let size = if error.is_nan() {
                    f64::INFINITY
                } else {
                    error.abs()
                };
                if size > largest {
                    largest = size;
                    worst = Component {
                        variable: variable.name.clone(),
                        batch: index / variable.width,
                        unit: index % variable.width,
                    };
                }
            }
        }
        Ok(worst)
    }
}

/// An element of a state.
pub(super) struct Component {
    pub(super) variable: String,
    pub(super) batch: usize,
    pub(super) unit: usize,
}
