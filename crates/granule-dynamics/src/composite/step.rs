//! One step of all levels together.

use burn::tensor::Tensor;

use super::coupler::BoundCoupler;
use super::plan::{LevelPlan, Shown};
use crate::model::{Clock, Dynamics};
use crate::plasticity::Signal;
use crate::state::is_tracked;
use crate::synapse::BoundEffect;
use crate::whole::numbers_of_step;
use crate::{DynamicsError, Place, State, Variable};

/// A level with its parameters bound.
pub(super) struct BoundLevel {
    pub(super) dynamics: Box<dyn Dynamics>,
    pub(super) plan: LevelPlan,
}

/// The levels of a [`super::MultiGranularityModel`] with their couplers, as one model that moves in steps.
///
/// Within a step every level takes its own, smaller steps. What it receives from the others stays as it was at the step's
/// beginning; a coupler with a time constant filters over all the steps of its sender. At its end the weights of plastic
/// couplers move: by what arrived in it and the rates that the receiver has come to or, by a rule of spikes, by how many spikes
/// the two levels had in it.
///
/// Input: the columns of the levels that take input from outside, one level after the other. State: the variables of the
/// levels, as `level.variable`, then weights and traces of plastic couplers, as `coupler[0].weights`, and counts of spikes that
/// are observed, then filters and delay lines of the couplers.
pub struct Composite {
    pub(super) dt: f64,
    pub(super) variables: Vec<Variable>,
    pub(super) levels: Vec<BoundLevel>,
    pub(super) currents: Vec<Variable>,
    pub(super) couplers: Vec<BoundCoupler>,
    pub(super) observed: Vec<Shown>,
    pub(super) shown: usize,
    /// Columns of the input from outside.
    pub(super) inputs: usize,
    pub(super) every: usize,
}

impl Composite {
    /// One level as it moves by itself.
    pub fn level(&self, level: usize) -> Option<&dyn Dynamics> {
        Some(self.levels.get(level)?.dynamics.as_ref())
    }

    /// How many variables are the levels' and the plastic couplers'; what is on its way in filters and delay lines comes after
    /// them.
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// The variables of one level in the state of the whole; none where there is no such level.
    pub fn level_state(&self, level: usize, whole: &State) -> Option<State> {
        (level < self.levels.len()).then(|| self.own(level, whole))
    }

    pub(super) fn own(&self, level: usize, whole: &State) -> State {
        let range = self.levels[level].plan.variables.clone();
        State::new(whole.tensors()[range].to_vec())
    }

    /// The input of a level: what comes from outside and what the couplers bring, added.
    fn input(
        &self,
        level: usize,
        states: &[State],
        whole: &State,
        external: Option<&Tensor<2>>,
    ) -> Option<Tensor<2>> {
        let own = self.levels[level].plan.external.zip(external);
        let own = own.filter(|((_, width), _)| *width > 0);
        let own = own.map(|((first, width), input)| input.clone().narrow(1, first, width));
        let couplers = self
            .couplers
            .iter()
            .filter(|coupler| coupler.plan.to == level && coupler.plan.effect.is_none());
        couplers
            .map(|coupler| self.sent(coupler, states, whole))
            .chain(own)
            .reduce(|sum, term| sum + term)
    }

    /// The conductances that couplers open in the cells of a level.
    fn opened(
        &self,
        level: usize,
        states: &[State],
        whole: &State,
    ) -> Vec<(&BoundEffect, Tensor<2>)> {
        let couplers = self.couplers.iter().filter(|c| c.plan.to == level);
        couplers
            .filter_map(|coupler| {
                let effect = coupler.plan.effect.as_ref()?;
                Some((effect, self.sent(coupler, states, whole)))
            })
            .collect()
    }

    /// What arrives at the end of a coupler.
    fn arriving(&self, coupler: &BoundCoupler, states: &[State], whole: &State) -> Tensor<2> {
        let from = coupler.plan.source.level;
        let sender = &self.levels[from];
        let dt = self.dt / sender.plan.substeps as f64;
        coupler.arriving(sender.dynamics.as_ref(), &states[from], whole, dt)
    }

    /// What a coupler brings to its receiver.
    fn sent(&self, coupler: &BoundCoupler, states: &[State], whole: &State) -> Tensor<2> {
        coupler.output(self.arriving(coupler, states, whole), whole)
    }

    /// Moves the weights of plastic couplers from `whole`, in which the levels were in `states`, on to `next`. `counts` are the
    /// spikes of each level in the step.
    fn learn(
        &self,
        (whole, states): (&State, &[State]),
        next: &mut State,
        counts: &[Option<Tensor<2>>],
    ) -> Result<(), DynamicsError> {
        for coupler in &self.couplers {
            let Some(plastic) = &coupler.plastic else {
                continue;
            };
            let (from, to) = (coupler.plan.source.level, coupler.plan.to);
            let sides = match plastic.plan.signal {
                Signal::Rates => {
                    let receiver = self.levels[to].dynamics.as_ref();
                    let pre = self.arriving(coupler, states, whole);
                    Some((pre, receiver.observe(&self.own(to, next))))
                }
                Signal::Spikes => counts[from].clone().zip(counts[to].clone()),
            };
            if let Some(sides) = sides {
                plastic.learn(whole, next, sides, self.dt)?;
            }
        }
        Ok(())
    }

    /// One step of the whole. `watch` hears of every step of every level: which one, the time after it and its state.
    ///
    /// # Errors
    ///
    /// Those of the levels' steps and of `watch`.
    pub fn step_watched(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
        watch: &mut dyn FnMut(usize, f64, &State) -> Result<(), DynamicsError>,
    ) -> Result<State, DynamicsError> {
        if (at.dt - self.dt).abs() > 1e-9 * self.dt {
            return Err(DynamicsError::config(
                "dt",
                at.dt,
                format!("the step that the model was made for, {}", self.dt),
            ));
        }
        if let Some(input) = input
            && input.dims()[1] != self.inputs
        {
            return Err(DynamicsError::Shape {
                what: "the input [batch, columns of all levels that take input]".into(),
                expected: vec![input.dims()[0], self.inputs],
                found: input.dims().to_vec(),
            });
        }
        let before: Vec<State> = (0..self.levels.len()).map(|i| self.own(i, state)).collect();
        let mut next = state.clone();
        let mut counts: Vec<Option<Tensor<2>>> = vec![None; self.levels.len()];
        for (index, level) in self.levels.iter().enumerate() {
            let input = self.input(index, &before, state, input);
            let opened = self.opened(index, &before, state);
            let LevelPlan {
                substeps,
                variables,
                counted,
                ..
            } = level.plan.clone();
            let sends = |coupler: &&BoundCoupler| coupler.plan.source.level == index;
            let mut own = before[index].clone();
            let dt = at.dt / substeps as f64;
            for coupler in self.couplers.iter().filter(sends) {
                coupler.advance(level.dynamics.as_ref(), &own, state, &mut next, dt);
            }
            for substep in 0..substeps {
                let at = Clock {
                    step: at.step * substeps + substep,
                    time: at.time + substep as f64 * dt,
                    dt,
                };
                // The first variable of all cells is their potential.
                let currents = opened
                    .iter()
                    .map(|(effect, open)| effect.current(open.clone(), &own[0]));
                let input = currents.chain(input.clone()).reduce(|sum, term| sum + term);
                own = level.dynamics.step(at, &own, input.as_ref())?;
                if let Some(spikes) = counted.map(|variable| own[variable].clone()) {
                    counts[index] = Some(match counts[index].take() {
                        Some(before) => before + spikes,
                        None => spikes,
                    });
                }
                watch(index, at.time + dt, &own)?;
                for coupler in self.couplers.iter().filter(sends) {
                    let count = (substep, substeps);
                    coupler.filter(level.dynamics.as_ref(), &own, dt, count, &mut next);
                }
            }
            for (variable, value) in variables.zip(own.into_tensors()) {
                next.replace(variable, value);
            }
        }
        for (index, count) in counts.iter().enumerate() {
            let level = &self.levels[index];
            if let (Some((total, _)), Some(count)) = (level.plan.total, count) {
                let progress = |own: &State| level.dynamics.progress(own);
                let ways = progress(&before[index]).zip(progress(&self.own(index, &next)));
                let count = smooth(count.clone(), ways.map(|(from, to)| to - from));
                next.replace(total, self.counted(at.step, count, &state[total]));
            }
        }
        self.learn((state, &before), &mut next, &counts)?;
        Ok(next)
    }
}

impl Composite {
    /// The spikes since the last sample, with those of a step; the first step after a sample begins anew.
    fn counted(&self, step: usize, count: Tensor<2>, before: &Tensor<2>) -> Tensor<2> {
        if self.every == 1 {
            return count;
        }
        let every = self.every;
        let goes_on = move |step: usize, own: &mut [f64]| {
            own.fill(f64::from(!step.is_multiple_of(every)));
        };
        count.clone() + before.clone() * numbers_of_step(step, [1, 1], &Place::of(&count), goes_on)
    }
}

/// A number of spikes with the derivative of the way that the cells made, in cycles from spike to spike: the number jumps where
/// the rest of the way does, and their sum, of which this is the whole part, has that derivative everywhere.
fn smooth(spikes: Tensor<2>, way: Option<Tensor<2>>) -> Tensor<2> {
    match way {
        Some(way) if is_tracked(&way) => spikes.detach() + (way.clone() - way.detach()),
        _ => spikes,
    }
}

impl Dynamics for Composite {
    fn name(&self) -> &str {
        "multi-granularity"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        self.step_watched(at, state, input, &mut |_, _, _| Ok(()))
    }

    /// Those of the levels, as `level.current`.
    fn currents(&self) -> &[Variable] {
        &self.currents
    }

    fn currents_of(&self, state: &State) -> Vec<Tensor<2>> {
        let levels = self.levels.iter().enumerate();
        let all =
            levels.flat_map(|(index, level)| level.dynamics.currents_of(&self.own(index, state)));
        all.collect()
    }

    fn counts_over(&self) -> Option<usize> {
        let counts = self.levels.iter().any(|level| level.plan.total.is_some());
        counts.then_some(self.every)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let parts = self.observed.iter().map(|shown| match *shown {
            Shown::Variable(variable) => state[variable].clone(),
            Shown::Output(level) => {
                let own = self.own(level, state);
                self.levels[level].dynamics.observe(&own)
            }
        });
        Tensor::cat(parts.collect(), 1)
    }
}
