//! Integration with a step that follows the error.
//!
//! [`integrate`] takes a field from one instant to another with a 5(4) pair. The error of every component, as the pair
//! estimates it, is measured in units of `atol + rtol·max(|x|, |x′|)`, with x and x′ the values before and after the
//! step. **One step serves the whole batch**: a trajectory's error is the root mean square over its components, and the
//! worst trajectory's decides, so each of them is solved at least as exactly as it would be alone.
//!
//! An input is read at the beginning and at every instant of [`AdaptiveConfig::stops`], where a step ends, and held
//! between them ([`HeldInput`]); what drives the field smoothly in time belongs into [`Field::derivative`]'s time.
//! [`Field::after_step`] is applied to every accepted step.
//!
//! For gradients the accepted instants are frozen ([`Solution::grid`]): [`crate::gradient`] replays them with the
//! fixed-step form of the same method and [`Solution::held`] for the input, and differentiates those steps.

mod config;
mod control;
mod measure;
mod solution;
#[cfg(test)]
mod tests;

use std::ops::Range;

use burn::tensor::Tensor;

pub use config::{AdaptiveConfig, Method};
pub use control::Pid;
pub use solution::{HeldInput, Solution, Statistics};

use crate::model::{Clock, Field, Input};
use crate::solver::{Solver, SolverKind};
use crate::{DynamicsError, State, Stop};
use control::Controller;
use measure::{Component, Measure, Scaled, Tolerance};

/// Solves dx/dt = f(t, x, u) from `initial` at `span.start` to `span.end`.
///
/// # Errors
///
/// - [`DynamicsError::Config`] for a setting outside its range, a span that does not rise, or stops outside it;
///   [`DynamicsError::Shape`] for a state that does not fit the field.
/// - [`DynamicsError::StepTooSmall`], [`DynamicsError::TooManySteps`]: the tolerance cannot be met, with the component
///   that holds the step back.
/// - [`DynamicsError::NonFinite`]: the state, or its derivative, is not finite however small the step.
/// - [`DynamicsError::Unsupported`] for a field with noise.
pub fn integrate(
    field: &dyn Field,
    initial: State,
    span: Range<f64>,
    config: &AdaptiveConfig,
    input: &dyn Input,
) -> Result<Solution, DynamicsError> {
    integrate_until(field, initial, span, config, input, &Stop::default())
}

/// As [`integrate`]; being asked to stop is an error, [`DynamicsError::Stopped`].
fn integrate_until(
    field: &dyn Field,
    initial: State,
    span: Range<f64>,
    config: &AdaptiveConfig,
    input: &dyn Input,
    stop: &Stop,
) -> Result<Solution, DynamicsError> {
    config.validate()?;
    let held = HeldInput::new(input, config.instants(&span)?);
    initial.check(field.variables())?;
    initial.check_finite(field.variables(), span.start)?;
    if field.diffusion(span.start, &initial).is_some() {
        return Err(DynamicsError::Unsupported {
            solver: format!("adaptive {}", config.method),
            needed: "a field without noise".into(),
            model: field.name().into(),
            instead: SolverKind::stochastic(),
        });
    }
    let mut run = Attempts {
        field,
        config,
        stop,
        tolerance: Tolerance::new(config),
        controller: Controller::new(config.pid, 5),
        solution: Solution::new(config, held.instants().to_vec(), initial),
        step: config.first_step,
        floor: config.floor(&span),
        scaled: None,
    };
    for index in 0..held.intervals() {
        run.interval(held.clock(index), held.instants()[index + 1], &held)?;
    }
    Ok(run.solution)
}

/// Steps given from outside, inside each of which a 5(4) pair takes as many of its own as the tolerance needs. The
/// input is held over the given step.
///
/// Every given step begins anew: its first step, where [`AdaptiveConfig::first_step`] gives none, is estimated again,
/// which costs evaluations of the field. It is meant for runs, not for gradients: they would go through every attempt
/// and through a choice of steps that depends on the state. [`integrate`] keeps its step over a whole span.
///
/// # Errors
///
/// A step returns those of [`integrate`], and [`DynamicsError::Stopped`].
#[derive(Clone, Debug)]
pub struct Within {
    /// How exact the steps are.
    pub config: AdaptiveConfig,
    /// What ends a step early.
    pub stop: Stop,
}

impl Solver for Within {
    fn name(&self) -> &'static str {
        SolverKind::from(self.config.method).name()
    }

    fn order(&self) -> usize {
        5
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let held = |_: Clock| input.cloned();
        let span = at.time..at.time + at.dt;
        let solution =
            integrate_until(field, state.clone(), span, &self.config, &held, &self.stop)?;
        Ok(solution.last().clone())
    }
}

/// An integration under way.
struct Attempts<'a> {
    field: &'a dyn Field,
    config: &'a AdaptiveConfig,
    stop: &'a Stop,
    tolerance: Tolerance,
    controller: Controller,
    solution: Solution,
    /// The step to try next.
    step: Option<f64>,
    /// The smallest step.
    floor: f64,
    /// The errors of the last attempt.
    scaled: Option<Scaled>,
}

impl Attempts<'_> {
    /// Integrates from `at.time` to `end`, between which the input is held.
    fn interval(&mut self, at: Clock, end: f64, held: &HeldInput<'_>) -> Result<(), DynamicsError> {
        let field = self.field;
        let tableau = self.config.method.tableau();
        let input = held.at(at);
        let input = input.as_ref();
        let mut time = at.time;
        let mut state = self.solution.last().clone();
        let mut slope = field.derivative(time, &state, input);
        self.solution.stats.evaluations += 1;
        slope.check_finite(field.variables(), time)?;
        let largest = self.config.max_step.unwrap_or(f64::INFINITY);
        let mut step = match self.step {
            Some(step) => step,
            None => {
                self.solution.stats.evaluations += 1;
                let step = self
                    .tolerance
                    .first_step(field, at, &state, &slope, input)?;
                step.min(end - time)
            }
        };
        while time < end {
            self.stop.check()?;
            self.check_steps(time)?;
            step = step.min(largest).max(self.floor);
            // A step that nearly reaches the end goes there.
            let lands = time + 1.01 * step >= end;
            let next_time = if lands { end } else { time + step };
            let at = Clock {
                step: self.solution.times.len() - 1,
                time,
                // As a replay of the accepted instants computes it.
                dt: next_time - time,
            };
            let (next, mut slopes) = tableau.step(field, at, &state, input, slope.clone());
            let last = field.derivative(next_time, &next, input);
            self.solution.stats.evaluations += 6;
            slopes.push(last.clone());
            let settled = field.after_step(next_time, &state, next.clone());
            let scaled = self
                .tolerance
                .scale(tableau.error(&slopes, at.dt), &state, &next);
            let Measure {
                error,
                finite,
                moved,
            } = scaled.measure(&next, &settled)?;

            if finite && error <= 1.0 {
                let factor = self.controller.accept(error, lands);
                // One that was cut short to land says little about the one that was meant.
                step = if lands {
                    step.max(at.dt * factor)
                } else {
                    at.dt * factor
                };
                slope = last;
                if moved && !lands {
                    slope = field.derivative(next_time, &settled, input);
                    self.solution.stats.evaluations += 1;
                }
                self.solution.push(next_time, settled.clone(), slopes);
                (time, state) = (next_time, settled);
            } else {
                self.solution.stats.rejected += 1;
                step = at.dt
                    * if finite {
                        self.controller.reject(error)
                    } else {
                        self.controller.shrink()
                    };
                if step < self.floor {
                    next.check_finite(field.variables(), next_time)?;
                    last.check_finite(field.variables(), next_time)?;
                    let Component {
                        variable,
                        batch,
                        unit,
                    } = scaled.worst(field.variables())?;
                    return Err(DynamicsError::StepTooSmall {
                        time,
                        dt: step,
                        variable,
                        batch,
                        unit,
                    });
                }
            }
            self.scaled = Some(scaled);
        }
        self.step = Some(step);
        Ok(())
    }

    fn check_steps(&self, time: f64) -> Result<(), DynamicsError> {
        let steps = self.solution.stats.attempts();
        let Some(scaled) = self
            .scaled
            .as_ref()
            .filter(|_| steps >= self.config.max_steps)
        else {
            return Ok(());
        };
        let worst = scaled.worst(self.field.variables())?;
        Err(DynamicsError::TooManySteps {
            steps,
            time,
            variable: worst.variable,
            batch: worst.batch,
            unit: worst.unit,
        })
    }
}
