//! One step of a circuit.

use burn::tensor::Tensor;

use super::gap::BoundJunctions;
use super::plan::{Kind, LinkKind, LinkPlan, Plan, PopulationPlan, Receptor};
use crate::model::{Clock, Dynamics};
use crate::plasticity::{Activity, PlasticConnection, Rules, ShortTermPlasticity};
use crate::population::Activation;
use crate::synapse::BoundWeights;
use crate::{DynamicsError, Place, State, Variable};

/// Units of a rate with their parameters' values.
pub(super) struct BoundRates {
    /// −1/τ
    pub(super) minus_rate: Tensor<2>,
    pub(super) current: Tensor<2>,
    pub(super) transfer: Activation,
}

/// [`Circuit`](super::Circuit) with its parameters' values.
pub struct CircuitDynamics {
    pub(super) neurons: Vec<Box<dyn Dynamics>>,
    pub(super) rates: Vec<BoundRates>,
    pub(super) matrices: Vec<BoundWeights>,
    pub(super) plastic: Vec<(PlasticConnection<Rules>, Option<Tensor<2>>)>,
    pub(super) facilitating: Vec<(ShortTermPlasticity, BoundWeights)>,
    pub(super) gaps: Vec<BoundJunctions>,
    pub(super) currents: Vec<Variable>,
    pub(super) plan: Plan,
}

fn add(sum: &mut Option<Tensor<2>>, term: Tensor<2>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + term,
        None => term,
    });
}

impl CircuitDynamics {
    /// What arrives at each port at the beginning of a step.
    fn arriving(&self, state: &State) -> Vec<Option<Tensor<2>>> {
        let plan = &self.plan;
        let mut arrived = vec![None; plan.ports.len()];
        let past = |delay: usize| state[plan.past.start + delay - 1].clone();
        for (matrix, weights) in plan.matrices.iter().zip(&self.matrices) {
            let sent = match matrix.delays[..] {
                [delay] => past(delay),
                _ => Tensor::cat(matrix.delays.iter().map(|delay| past(*delay)).collect(), 1),
            };
            let all = weights.arriving(sent);
            for (port, first, width) in &matrix.ports {
                let own = if *width == matrix.columns {
                    all.clone()
                } else {
                    all.clone().narrow(1, *first, *width)
                };
                add(&mut arrived[*port], own);
            }
        }
        for link in &plan.links {
            let sent = state[link.past.end - 1].clone();
            let own = match link.kind {
                LinkKind::Direct(weight) => sent * weight,
                LinkKind::Plastic(index) => {
                    let (connection, _) = &self.plastic[index];
                    connection.transmit(&part(state, link), sent)
                }
                LinkKind::ShortTerm(index) => self.facilitating[index].1.arriving(sent),
            };
            add(&mut arrived[link.port], own);
        }
        arrived
    }

    /// The current through gap junctions into each population, by the potentials at the beginning of a step.
    fn through_gaps(&self, state: &State) -> Vec<Option<Tensor<2>>> {
        let populations = &self.plan.populations;
        let v = |population: usize| state[populations[population].variables.start].clone();
        let mut all = vec![None; populations.len()];
        for (gap, junctions) in self.plan.gaps.iter().zip(&self.gaps) {
            let current = junctions.current(v(gap.from), v(gap.to));
            add(&mut all[gap.to], current);
        }
        all
    }

    /// Moves the ports of a population from `state` on to `next`. Returns by how much its potential jumps, and the input that comes
    /// through its synapses at the potential `v`.
    fn open(
        &self,
        to: usize,
        v: &Tensor<2>,
        (state, next): (&State, &mut State),
        arrived: &[Option<Tensor<2>>],
    ) -> [Option<Tensor<2>>; 2] {
        let (mut jump, mut input) = (None, None);
        for at in &self.plan.populations[to].ports {
            let (port, arrived) = (&self.plan.ports[*at], &arrived[*at]);
            let Receptor {
                kinetics,
                effect,
                rates,
            } = &self.plan.receptors[port.receptor];
            match kinetics {
                Some(kinetics) => {
                    let before = &state.tensors()[port.variables.clone()];
                    let begin = kinetics.step(0.0, before, arrived.clone());
                    let end = kinetics.step(self.plan.dt, &begin, None);
                    let open = kinetics.mean(self.plan.dt, &begin);
                    add(&mut input, effect.current(open, v));
                    for (variable, value) in port.variables.clone().zip(end) {
                        next.replace(variable, value);
                    }
                }
                None => {
                    let sum = if *rates { &mut input } else { &mut jump };
                    arrived.iter().for_each(|arrived| add(sum, arrived.clone()));
                }
            }
        }
        [jump, input]
    }

    fn neurons(
        &self,
        (index, threshold): (usize, Option<f64>),
        at: Clock,
        mut own: State,
        [jump, input]: [Option<Tensor<2>>; 2],
    ) -> Result<State, DynamicsError> {
        let dynamics = self.neurons[index].as_ref();
        let Some(threshold) = threshold else {
            if let Some(jump) = jump {
                own = dynamics.jump(&own, jump);
            }
            return dynamics.step(at, &own, input.as_ref());
        };
        let cells = dynamics.variables().len();
        let mut bare = State::new(own.tensors()[..cells].to_vec());
        let before = bare[0].clone();
        if let Some(jump) = jump {
            bare = dynamics.jump(&bare, jump);
        }
        let next = dynamics.step(at, &bare, input.as_ref())?;
        let after = next[0].clone();
        let below = before.clone().lower_elem(threshold);
        let fired = below.bool_and(after.clone().greater_equal_elem(threshold));
        let silent = fired.bool_not();
        let rise = (after.clone() - before).mask_fill(silent.clone(), 1.0);
        let since = (after.clone() - threshold) / rise * at.dt;
        let spikes = after
            .zeros_like()
            .add_scalar(1.0)
            .mask_fill(silent.clone(), 0.0);
        let mut all = next.into_tensors();
        all.extend([spikes, since.mask_fill(silent, 0.0)]);
        Ok(State::new(all))
    }

    fn moved(
        &self,
        population: &PopulationPlan,
        at: Clock,
        own: State,
        [jump, input]: [Option<Tensor<2>>; 2],
    ) -> Result<State, DynamicsError> {
        match &population.kind {
            Kind::Unit(index, threshold) => {
                self.neurons((*index, *threshold), at, own, [jump, input])
            }
            Kind::Rate(index) => {
                let BoundRates {
                    minus_rate,
                    current,
                    transfer,
                } = &self.rates[*index];
                let mut x = own[0].clone();
                if let Some(jump) = jump {
                    x = x + jump;
                }
                let steady = match input {
                    Some(input) => input + current.clone(),
                    None => x.zeros_like() + current.clone(),
                };
                let left = minus_rate.clone().mul_scalar(at.dt).exp();
                let x = steady.clone() + (x - steady) * left;
                Ok(State::new(vec![x.clone(), transfer.rate(x)]))
            }
            Kind::Source(source) => {
                let place = Place::of(&own[0]);
                let shape = own[0].dims();
                let of = (self.plan.seed, population.name.as_str());
                let spikes = source.spikes((at.step, at.dt), shape, &place, of);
                Ok(State::new(spikes.into_iter().collect()))
            }
        }
    }

    /// What a population hands out as a reward in a step, `[batch, 1]`.
    fn reward(&self, from: usize, dt: f64, next: &State) -> Tensor<2> {
        let population = &self.plan.populations[from];
        let mean = next[population.sent].clone().mean_dim(1);
        match population.kind {
            Kind::Rate(_) => mean.mul_scalar(dt),
            _ => mean,
        }
    }

    /// Moves what plastic connections remember, and the past.
    fn remember(&self, dt: f64, state: &State, next: &mut State) -> Result<(), DynamicsError> {
        let plan = &self.plan;
        let sent = |from: usize| state[plan.populations[from].sent].clone();
        for link in &plan.links {
            let mut latest = sent(link.from);
            match link.kind {
                LinkKind::Direct(_) => {}
                LinkKind::Plastic(index) => {
                    let (connection, connected) = &self.plastic[index];
                    let to = plan.ports[link.port].to;
                    let activity = Activity {
                        pre: state[link.past.end - 1].clone(),
                        post: next[plan.populations[to].sent].clone(),
                        dt,
                        reward: link.reward.map(|from| self.reward(from, dt, next)),
                    };
                    let learnt = connection.learn_in_turn(&part(state, link), &activity)?;
                    let mut learnt = learnt.into_tensors();
                    if let (Some(connected), Some(weights)) = (connected, learnt.first_mut()) {
                        *weights = weights.clone() * connected.clone();
                    }
                    for (variable, value) in link.own.clone().zip(learnt) {
                        next.replace(variable, value);
                    }
                }
                LinkKind::ShortTerm(index) => {
                    let (short_term, _) = &self.facilitating[index];
                    let (efficacy, after) = short_term.step(&latest, dt, &part(state, link));
                    latest = latest * efficacy;
                    for (variable, value) in link.own.clone().zip(after.into_tensors()) {
                        next.replace(variable, value);
                    }
                }
            }
            shift(state, next, link.past.clone(), latest);
        }
        if !plan.past.is_empty() {
            let mut all: Vec<Tensor<2>> = plan.senders.iter().map(|from| sent(*from)).collect();
            let latest = match all.len() {
                1 => all.swap_remove(0),
                _ => Tensor::cat(all, 1),
            };
            shift(state, next, plan.past.clone(), latest);
        }
        Ok(())
    }
}

/// What a projection remembers.
fn part(state: &State, link: &LinkPlan) -> State {
    State::new(state.tensors()[link.own.clone()].to_vec())
}

/// Moves the past on by one step.
fn shift(state: &State, next: &mut State, past: std::ops::Range<usize>, latest: Tensor<2>) {
    let mut latest = latest;
    for variable in past {
        next.replace(variable, latest);
        latest = state[variable].clone();
    }
}

impl Dynamics for CircuitDynamics {
    fn name(&self) -> &str {
        "circuit"
    }

    fn variables(&self) -> &[Variable] {
        &self.plan.variables
    }

    /// Of each population the currents of its neurons, of its synapses with a time course, kind by kind, and of its gap junctions.
    fn currents(&self) -> &[Variable] {
        &self.currents
    }

    fn currents_of(&self, state: &State) -> Vec<Tensor<2>> {
        let plan = &self.plan;
        let mut through_gaps = self.through_gaps(state);
        let mut all = Vec::new();
        for (index, population) in plan.populations.iter().enumerate() {
            let Kind::Unit(neuron, _) = population.kind else {
                continue;
            };
            let own = &state.tensors()[population.variables.clone()];
            let neurons = self.neurons[neuron].as_ref();
            let bare = own.iter().take(neurons.variables().len());
            all.extend(neurons.currents_of(&State::new(bare.cloned().collect())));
            for port in population.ports.iter().map(|at| &plan.ports[*at]) {
                let receptor = &plan.receptors[port.receptor];
                if let Some(kinetics) = &receptor.kinetics {
                    let open = kinetics.open(&state.tensors()[port.variables.clone()]);
                    all.push(receptor.effect.current(open, &own[0]).neg());
                }
            }
            all.extend(through_gaps[index].take().map(Tensor::neg));
        }
        all
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let plan = &self.plan;
        if (at.dt - plan.dt).abs() > 1e-9 * plan.dt {
            let allowed = format!("the step that the network was made for, {}", plan.dt);
            return Err(DynamicsError::config("dt", at.dt, allowed));
        }
        if let Some(input) = input
            && input.dims()[1] != plan.inputs
        {
            return Err(DynamicsError::Shape {
                what: "the input [batch, cells of all populations that take input]".into(),
                expected: vec![input.dims()[0], plan.inputs],
                found: input.dims().to_vec(),
            });
        }
        let arrived = self.arriving(state);
        let mut through_gaps = self.through_gaps(state);
        let mut next = state.clone();
        for (index, population) in plan.populations.iter().enumerate() {
            let own = state.tensors()[population.variables.clone()].to_vec();
            let [jump, mut synaptic] = self.open(index, &own[0], (state, &mut next), &arrived);
            if let (Some(first), Some(input)) = (population.external, input) {
                let own = input.clone().narrow(1, first, population.size);
                add(&mut synaptic, own);
            }
            if let Some(current) = through_gaps[index].take() {
                add(&mut synaptic, current);
            }
            let own = self.moved(population, at, State::new(own), [jump, synaptic])?;
            for (variable, value) in population.variables.clone().zip(own.into_tensors()) {
                next.replace(variable, value);
            }
        }
        self.remember(at.dt, state, &mut next)?;
        Ok(next)
    }
}
