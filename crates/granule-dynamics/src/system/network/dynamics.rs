use burn::tensor::Tensor;
use granule_io::words::counted;

use super::{Coupling, Network};
use crate::model::{Clock, Dynamics, Field, Linear};
use crate::solver::Solver;
use crate::system::readout::Readout;
use crate::system::{System, plus};
use crate::{DynamicsError, Place, State, Variable};

/// A [`Network`] with its parameters' values.
pub struct NetworkDynamics<F, V> {
    /// The nodes' equations.
    pub field: F,
    solver: V,
    variables: Vec<Variable>,
    channel: usize,
    dt: f64,
    readout: Readout,
    /// Of links without delay: a·wᵀ.
    instant: Option<Tensor<2>>,
    /// a·Σⱼ wᵢⱼ of diffusive coupling, `[1, nodes]`.
    leaving: Option<Tensor<2>>,
    delayed: Option<Delayed>,
}

/// The links with delays as one matrix.
struct Delayed {
    /// Steps back, rising; 0 is the activity at the beginning of the step.
    slots: Vec<usize>,
    /// `[slots·nodes, 2·nodes]`: to the coupling at the beginning of a step, then to that at its end.
    matrix: Tensor<2>,
}

impl<F: Field, V: Solver + Clone> NetworkDynamics<F, V> {
    pub(super) fn new<S: System<Field = F>>(network: &Network<S, V>, field: F) -> Self
    where
        V: 'static,
    {
        let links = &network.links;
        let nodes = links.nodes;
        let matrix = network.matrix();
        let place = Place::of(&matrix);
        let transposed = matrix.clone().transpose();
        let instant = links.instant().map(|mask| {
            let mask = place.tensor(mask, [nodes, nodes]);
            transposed.clone() * mask.transpose()
        });
        let leaving = match network.coupling {
            Coupling::Additive => None,
            Coupling::Diffusive => Some(matrix.sum_dim(1).transpose()),
        };
        let (slots, shares) = links.delayed();
        let delayed = (!slots.is_empty()).then(|| {
            let shares = place.tensor(shares, [slots.len(), nodes, 2, nodes]);
            let weights = transposed.reshape([1, nodes, 1, nodes]);
            let matrix = (shares * weights).reshape([slots.len() * nodes, 2 * nodes]);
            Delayed { slots, matrix }
        });
        let activity = field.activity();
        let past = (1..=links.history).map(|steps| {
            Variable::new(
                format!("{} {} ago", activity.name, counted(steps, "step")),
                activity.unit,
                nodes,
            )
        });
        Self {
            variables: field.variables().iter().cloned().chain(past).collect(),
            solver: network.solver.clone(),
            channel: network.channel,
            dt: network.dt,
            readout: network.readout,
            field,
            instant,
            leaving,
            delayed,
        }
    }

    /// The nodes' part of a state and their past activity, the latest first.
    fn split<'a>(&self, state: &'a State) -> (State, &'a [Tensor<2>]) {
        let (nodes, past) = state.tensors().split_at(self.field.variables().len());
        (State::new(nodes.to_vec()), past)
    }

    /// The coupling equations of a step that begins with the nodes at activity `now`.
    fn coupled(&self, at: Clock, now: &Tensor<2>, past: &[Tensor<2>]) -> Coupled<'_, F, V> {
        let ends = self.delayed.as_ref().map(|delayed| {
            let activity = delayed.slots.iter().map(|slot| match slot.checked_sub(1) {
                Some(back) => past[back].clone(),
                None => now.clone(),
            });
            let both = Tensor::cat(activity.collect(), 1).matmul(delayed.matrix.clone());
            let nodes = now.dims()[1];
            let begin = both.clone().narrow(1, 0, nodes);
            (begin, both.narrow(1, nodes, nodes))
        });
        Coupled {
            network: self,
            at,
            ends,
        }
    }
}

impl<F: Field, V: Solver + Clone> Dynamics for NetworkDynamics<F, V> {
    fn name(&self) -> &str {
        self.field.name()
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
        if (at.dt - self.dt).abs() > 1e-9 * self.dt {
            let allowed = format!(
                "{}, the step that the network's delays are laid out for",
                self.dt
            );
            return Err(DynamicsError::config("dt", at.dt, allowed));
        }
        self.field.check_input(state, input)?;
        let (nodes, past) = self.split(state);
        let now = self.field.output(&nodes);
        let coupled = self.coupled(at, &now, past);
        let next = self.solver.step(&coupled, at, &nodes, input)?;
        let next = self.field.after_step(at.time + at.dt, &nodes, next);
        let mut tensors = next.into_tensors();
        if let Some((_, kept)) = past.split_last() {
            tensors.push(now);
            tensors.extend_from_slice(kept);
        }
        Ok(State::new(tensors))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let (nodes, past) = self.split(state);
        if self.readout != Readout::Rate {
            return self.readout.read(&self.field, &nodes, None);
        }
        let at = Clock {
            step: 0,
            time: 0.0,
            dt: self.dt,
        };
        let coupled = self.coupled(at, &self.field.output(&nodes), past);
        let input = coupled.input(at.time, &nodes, None);
        self.readout.read(&self.field, &nodes, input.as_ref())
    }
}

/// The nodes' equations during one step, with the coupling in their input.
struct Coupled<'a, F, V> {
    network: &'a NetworkDynamics<F, V>,
    at: Clock,
    /// What comes over delayed links at the beginning and at the end of the step.
    ends: Option<(Tensor<2>, Tensor<2>)>,
}

impl<F: Field, V> Coupled<'_, F, V> {
    fn coupling(&self, time: f64, state: &State) -> Option<Tensor<2>> {
        let share = (time - self.at.time) / self.at.dt;
        let delayed = self.ends.as_ref().map(|(begin, end)| {
            if share == 0.0 {
                return begin.clone();
            }
            begin.clone().mul_scalar(1.0 - share) + end.clone().mul_scalar(share)
        });
        let network = self.network;
        if network.instant.is_none() && network.leaving.is_none() {
            return delayed;
        }
        let now = network.field.output(state);
        let arriving = match &network.instant {
            Some(matrix) => Some(plus(now.clone().matmul(matrix.clone()), delayed)),
            None => delayed,
        };
        match &network.leaving {
            Some(leaving) => Some(plus((now * leaving.clone()).neg(), arriving)),
            None => arriving,
        }
    }

    /// The nodes' input: what comes from outside plus the coupling in its channel.
    fn input(&self, time: f64, state: &State, external: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let Some(coupling) = self.coupling(time, state) else {
            return external.cloned();
        };
        let channels = self.network.field.inputs();
        if channels.len() == 1 {
            return Some(plus(coupling, external.cloned()));
        }
        let rows = coupling.dims()[0];
        let place = Place::of(&coupling);
        let mut parts = Vec::with_capacity(channels.len());
        for (index, channel) in channels
            .iter()
            .enumerate()
            .filter(|(_, channel)| channel.width > 0)
        {
            let outside = crate::system::channel(channels, index, external);
            parts.push(match (index == self.network.channel, outside) {
                (true, outside) => plus(coupling.clone(), outside),
                (false, Some(outside)) => outside.expand([rows, channel.width]),
                (false, None) => place.full(0.0, [rows, channel.width]),
            });
        }
        Some(Tensor::cat(parts, 1))
    }
}

impl<F: Field, V> Field for Coupled<'_, F, V> {
    fn name(&self) -> &str {
        self.network.field.name()
    }

    fn variables(&self) -> &[Variable] {
        self.network.field.variables()
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let input = self.input(time, state, input);
        self.network.field.derivative(time, state, input.as_ref())
    }

    fn groups(&self) -> &[Vec<usize>] {
        self.network.field.groups()
    }

    fn linear(
        &self,
        group: usize,
        time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        let input = self.input(time, state, input);
        self.network
            .field
            .linear(group, time, state, input.as_ref())
    }

    fn diffusion(&self, time: f64, state: &State) -> Option<State> {
        self.network.field.diffusion(time, state)
    }
}
