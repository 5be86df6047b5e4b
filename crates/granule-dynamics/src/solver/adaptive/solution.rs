use burn::tensor::Tensor;

use super::{AdaptiveConfig, Method};
use crate::model::{Clock, Input};
use crate::{DynamicsError, Grid, State};

/// What an integration cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Steps that met the tolerance.
    pub accepted: usize,
    /// Steps that were tried again with a smaller `dt`.
    pub rejected: usize,
    /// Evaluations of the derivative.
    pub evaluations: usize,
}

impl Statistics {
    pub(super) fn attempts(&self) -> usize {
        self.accepted + self.rejected
    }
}

/// The result of [`integrate`](super::integrate).
#[derive(Clone, Debug)]
pub struct Solution {
    /// The beginning and the ends of the accepted steps.
    pub times: Vec<f64>,
    /// The states there.
    pub states: Vec<State>,
    /// What it cost.
    pub stats: Statistics,
    method: Method,
    instants: Vec<f64>,
    /// The slopes of every step's stages, where they are kept.
    slopes: Option<Vec<Vec<State>>>,
}

impl Solution {
    pub(super) fn new(config: &AdaptiveConfig, instants: Vec<f64>, initial: State) -> Self {
        Self {
            times: instants[..1].to_vec(),
            states: vec![initial],
            stats: Statistics::default(),
            method: config.method,
            instants,
            slopes: config.dense.then(Vec::new),
        }
    }

    pub(super) fn push(&mut self, time: f64, state: State, slopes: Vec<State>) {
        self.times.push(time);
        self.states.push(state);
        self.stats.accepted += 1;
        if let Some(kept) = &mut self.slopes {
            kept.push(slopes);
        }
    }

    /// The state at the end.
    pub fn last(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    /// The state at any time of the span, between the accepted instants by the method's interpolation of order 4.
    ///
    /// Inside a step it is the solution before [`Field::after_step`](crate::Field::after_step), at its end the one after.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a time outside the span, or without [`AdaptiveConfig::dense`].
    pub fn at(&self, time: f64) -> Result<State, DynamicsError> {
        let (first, last) = (self.times[0], self.times[self.times.len() - 1]);
        if !(first <= time && time <= last) {
            let allowed = format!("between {first} and {last}");
            return Err(DynamicsError::config("time", time, allowed));
        }
        // The last accepted instant that is not after `time`.
        let step = self.times.partition_point(|t| *t <= time) - 1;
        if self.times[step] == time {
            return Ok(self.states[step].clone());
        }
        let Some(slopes) = &self.slopes else {
            return Err(DynamicsError::config(
                "dense",
                false,
                "true, for states between the accepted instants",
            ));
        };
        let dt = self.times[step + 1] - self.times[step];
        let theta = (time - self.times[step]) / dt;
        let tableau = self.method.tableau();
        Ok(tableau.interpolate(&self.states[step], &slopes[step], dt, theta))
    }

    /// The accepted instants as the grid of a run with fixed steps, for [`crate::gradient`] or [`crate::simulate()`] with
    /// [`Method::fixed`] as the solver.
    pub fn grid(&self) -> Grid {
        Grid::Times(self.times.clone())
    }

    /// `input` as this integration saw it, for a run over [`grid`](Self::grid).
    pub fn held<'a>(&self, input: &'a dyn Input) -> HeldInput<'a> {
        HeldInput::new(input, self.instants.clone())
    }
}

/// An input that is read at given instants and held between them, whatever the steps are. The clock it is read with
/// counts the intervals between the instants, so a [`InputSeries`](crate::InputSeries) has one row for each.
pub struct HeldInput<'a> {
    input: &'a dyn Input,
    instants: Vec<f64>,
}

impl<'a> HeldInput<'a> {
    pub(super) fn new(input: &'a dyn Input, instants: Vec<f64>) -> Self {
        Self { input, instants }
    }

    pub(super) fn instants(&self) -> &[f64] {
        &self.instants
    }

    pub(super) fn intervals(&self) -> usize {
        self.instants.len() - 1
    }

    pub(super) fn clock(&self, interval: usize) -> Clock {
        let time = self.instants[interval];
        Clock {
            step: interval,
            time,
            dt: self.instants[interval + 1] - time,
        }
    }
}

impl Input for HeldInput<'_> {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        let after = self.instants.partition_point(|t| *t <= at.time);
        let interval = after.saturating_sub(1).min(self.intervals() - 1);
        self.input.at(self.clock(interval))
    }
}
