//! The step on the tape.
//!
//! All variables are one node, so that the backward pass goes over them once. A node of Burn's has one tensor: this one's is
//! of a single element that means nothing, and each variable hangs on it as a node that hands its adjoint over.

#[cfg(gpu)]
mod gpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host;

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::{DType, Shape};

use super::program::MOST_READS;

/// What a step depends on, at most: the state, the inflow, both tables and the couplings.
const PARENTS: usize = MOST_READS + 4;

/// The adjoints of the variables after a step, as far as they are known.
#[derive(Debug)]
struct Adjoints<V>(Mutex<Vec<Option<V>>>);

impl<V> Adjoints<V> {
    fn new(variables: usize) -> Self {
        Self(Mutex::new((0..variables).map(|_| None).collect()))
    }

    /// Whether it is the first.
    fn put(&self, variable: usize, adjoint: V) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all.iter().all(Option::is_none);
        if let Some(place) = all.get_mut(variable) {
            *place = Some(adjoint);
        }
        first
    }

    fn take(&self) -> Vec<Option<V>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The tensor of a node, beside another one.
fn token<B: Backend>(beside: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_empty(Shape::new([1, 1]), &beside.device(), DType::F32.into())
}

/// A variable after a step.
#[derive(Debug)]
struct Variable;

impl<B: Backend> Backward<B, 1> for Variable {
    type State = (Arc<Adjoints<FloatTensor<B>>>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (adjoints, variable) = &ops.state;
        let adjoint = grads.consume::<B>(&ops.node);
        let token = token::<B>(&adjoint);
        let first = adjoints.put(*variable, adjoint);
        if let ([Some(step)], true) = (&ops.parents, first) {
            grads.register::<B>(step.id, token);
        }
    }
}

/// Which gradients parents ask for that come after those of the state: the inflow, both tables and the couplings.
fn wanted<S>(ops: &Ops<S, PARENTS>, states: usize) -> [bool; 4] {
    let wants = |parent: usize| ops.parents.get(parent).is_some_and(Option::is_some);
    [0, 1, 2, 3].map(|after| wants(states + after))
}

/// Hands gradients to the parents that are on the tape, each as `write` makes it for its tensor.
fn register<B: Backend, S, G>(
    ops: &Ops<S, PARENTS>,
    tensors: &[FloatTensor<B>],
    gradients: Vec<G>,
    grads: &mut Gradients,
    write: impl Fn(G, &FloatTensor<B>) -> FloatTensor<B>,
) {
    for ((node, tensor), gradient) in ops.parents.iter().zip(tensors).zip(gradients) {
        if let Some(node) = node {
            grads.register::<B>(node.id, write(gradient, tensor));
        }
    }
}

/// The parents of a step on the tape; a placeholder fills the places of absent ones.
fn parents<B: Backend, C: CheckpointStrategy>(
    tensors: &[FloatTensor<Autodiff<B, C>>],
    nothing: FloatTensor<B>,
) -> [NodeGuard; PARENTS] {
    let nothing = FloatTensor::<Autodiff<B, C>>::new(nothing);
    std::array::from_fn(|i| tensors.get(i).unwrap_or(&nothing).node())
}

/// Variables that hang on a step.
fn variables<B: Backend, C: CheckpointStrategy>(
    step: &FloatTensor<Autodiff<B, C>>,
    adjoints: &Arc<Adjoints<FloatTensor<B>>>,
    values: Vec<FloatTensor<B>>,
) -> Vec<FloatTensor<Autodiff<B, C>>> {
    let variables = values.into_iter().enumerate().map(|(variable, value)| {
        let prep = Variable.prepare::<C>([step.node()]).compute_bound();
        match prep.stateful() {
            OpsKind::Tracked(prep) => prep.finish((adjoints.clone(), variable), value),
            OpsKind::UnTracked(prep) => prep.finish(value),
        }
    });
    variables.collect()
}
