//! The step on the tape.
//!
//! All variables are one node, so that the backward pass goes over them once. A node of Burn's has one tensor: this one's is
//! of a single element that means nothing, and each variable hangs on it as a node that hands its adjoint over.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::Shape;

use super::Layout;
use super::backend::ConductanceStepBackend;
use super::backward::{Taped, Wanted, gradients};
use super::course::{self, Plan};
use super::cpu::Number;
use super::geometry::Geometry;
use super::joint::Joined;
use super::program::MOST_READS;
use super::single::forward;
use super::tensors::Tensors;
use crate::host::{HostBackend, HostVec, on_host_all};

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

fn token<B: HostBackend>() -> FloatTensor<B> {
    B::write(HostVec::F32(vec![0.0]), Shape::new([1, 1]))
}

/// A variable after a step.
#[derive(Debug)]
struct Variable;

impl<B: HostBackend> Backward<B, 1> for Variable {
    type State = (Arc<Adjoints<FloatTensor<B>>>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (adjoints, variable) = &ops.state;
        let first = adjoints.put(*variable, grads.consume::<B>(&ops.node));
        if let ([Some(step)], true) = (&ops.parents, first) {
            grads.register::<B>(step.id, token::<B>());
        }
    }
}

/// A step.
#[derive(Debug)]
struct Step;

/// What the backward pass of a step computes from.
#[derive(Clone, Debug)]
struct Kept<V> {
    /// The state, the inflow, both tables and the couplings.
    tensors: Vec<V>,
    /// The state after the step, and what was solved of compartments.
    after: Vec<V>,
    adjoints: Arc<Adjoints<V>>,
    layout: Arc<Layout>,
    dt: f64,
}

/// Which gradients parents ask for that come after those of the state.
fn wanted<S>(ops: &Ops<S, PARENTS>, states: usize) -> Wanted {
    let wants = |parent: usize| ops.parents.get(parent).is_some_and(Option::is_some);
    Wanted {
        inflow: wants(states),
        tables: [wants(states + 1), wants(states + 2)],
        couplings: wants(states + 3),
    }
}

/// The known ones of some adjoints as slices, the others empty.
fn slices<'a, T, V>(adjoints: &[Option<V>], known: &[&'a [T]]) -> Vec<&'a [T]> {
    let mut known = known.iter().copied();
    let all = adjoints.iter().map(|adjoint| match adjoint {
        Some(_) => known.next().unwrap_or_default(),
        None => &[],
    });
    all.collect()
}

/// Hands gradients to the parents that are on the tape: zeros where nothing depends on one, for Burn asks each for its own.
fn register<B: HostBackend, S>(
    ops: &Ops<S, PARENTS>,
    tensors: &[FloatTensor<B>],
    gradients: Vec<HostVec>,
    grads: &mut Gradients,
) {
    for ((node, tensor), gradient) in ops.parents.iter().zip(tensors).zip(gradients) {
        if let Some(node) = node {
            let gradient = gradient.or_zeros(tensor.shape().num_elements());
            grads.register::<B>(node.id, B::write(gradient, tensor.shape()));
        }
    }
}

impl<B: HostBackend> Backward<B, PARENTS> for Step {
    type State = Kept<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _ = grads.consume::<B>(&ops.node);
        let kept = &ops.state;
        let layout = &kept.layout;
        let states = layout.states;
        let (Some(v), Some(inflow)) = (kept.tensors.first(), kept.tensors.get(states)) else {
            return;
        };
        let g = Geometry::new::<B>(v, inflow);
        let wanted = wanted(&ops, states);
        let adjoints = kept.adjoints.take();
        let all = kept.tensors.iter().chain(&kept.after);
        let all = all.chain(adjoints.iter().flatten()).map(B::values);
        let gradients = on_host_all!("conductance_step", all, all => {
            let (given, rest) = all.split_at(kept.tensors.len());
            let (after, known) = rest.split_at(kept.after.len());
            let adjoints = slices(&adjoints, known);
            step_gradients(g, layout, (kept.dt, wanted), [given, after, &adjoints])
        });
        register::<B, _>(&ops, &kept.tensors, gradients, grads);
    }
}

fn step_gradients<T: Number>(
    g: Geometry,
    layout: &Layout,
    (dt, wanted): (f64, Wanted),
    [given, after, adjoints]: [&[&[T]]; 3],
) -> Vec<Vec<T>> {
    let (states, rest) = given.split_at(layout.states);
    let [inflow, shared, each, couplings @ ..] = rest else {
        return Vec::new();
    };
    let (after, solved) = after.split_at(layout.states);
    let joined = match (&layout.joint, couplings, solved) {
        (Some(joint), [couplings], [reciprocals, x @ ..]) => Some(Joined {
            joint,
            couplings,
            x: x.first().unwrap_or(&after[0]),
            reciprocals,
        }),
        _ => None,
    };
    let taped = Taped {
        states,
        inflow,
        tables: [shared, each],
        moved: &after[1..],
        joined,
        adjoints,
    };
    gradients(g, layout, dt, wanted, &taped)
}

/// Many steps.
#[derive(Debug)]
struct Course;

/// What the backward pass of many steps computes from.
#[derive(Clone, Debug)]
struct KeptCourse<V> {
    /// The state, the inflow, both tables and the couplings, then the inflows of each step.
    tensors: Vec<V>,
    trace: Arc<Vec<HostVec>>,
    adjoints: Arc<Adjoints<V>>,
    layout: Arc<Layout>,
    plan: Arc<Plan>,
}

impl<B: HostBackend> Backward<B, PARENTS> for Course {
    type State = KeptCourse<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _ = grads.consume::<B>(&ops.node);
        let kept = &ops.state;
        let layout = &kept.layout;
        let Some(sizes) = course::Sizes::new::<B>(&kept.tensors, layout) else {
            return;
        };
        let wanted = wanted(&ops, layout.states);
        let adjoints = kept.adjoints.take();
        let tensors = kept.tensors.iter().map(B::values);
        let trace = kept.trace.iter().map(HostVec::values);
        let known = adjoints.iter().flatten().map(B::values);
        let gradients = on_host_all!("conductance_course", tensors.chain(trace).chain(known), all => {
            let (given, rest) = all.split_at(kept.tensors.len());
            let (trace, known) = rest.split_at(kept.trace.len());
            let adjoints = slices(&adjoints, known);
            match adjoints.split_first() {
                Some((by_seen, by_last)) => course::backward(
                    sizes,
                    layout,
                    (&kept.plan, wanted),
                    (given, trace),
                    (by_seen, by_last),
                ),
                None => Vec::new(),
            }
        });
        register::<B, _>(&ops, &kept.tensors, gradients, grads);
    }
}

/// The parents of a step on the tape; a placeholder fills the places of absent ones.
fn parents<B: HostBackend, C: CheckpointStrategy>(
    tensors: &[FloatTensor<Autodiff<B, C>>],
) -> [NodeGuard; PARENTS] {
    let nothing = FloatTensor::<Autodiff<B, C>>::new(token::<B>());
    std::array::from_fn(|i| tensors.get(i).unwrap_or(&nothing).node())
}

/// Variables that hang on a step.
fn variables<B: HostBackend, C: CheckpointStrategy>(
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

impl<B: HostBackend, C: CheckpointStrategy> ConductanceStepBackend for Autodiff<B, C> {
    fn conductance_step_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>> {
        let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
        let stepped = forward::<B>(&plain, &layout, dt);
        let prep = Step.prepare::<C>(parents::<B, C>(&tensors.0));
        let OpsKind::Tracked(prep) = prep.compute_bound().stateful() else {
            let next = stepped.next.into_iter();
            return next.map(FloatTensor::<Self>::new).collect();
        };
        let adjoints = Arc::new(Adjoints::new(stepped.next.len()));
        let after = stepped.next.iter().cloned().chain(stepped.solved);
        let kept = Kept {
            tensors: plain,
            after: after.collect(),
            adjoints: adjoints.clone(),
            layout,
            dt,
        };
        let step = prep.finish(kept, token::<B>());
        variables::<B, C>(&step, &adjoints, stepped.next)
    }

    fn conductance_course_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        plan: Arc<Plan>,
    ) -> Vec<FloatTensor<Self>> {
        let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
        let own = layout.given().min(tensors.0.len());
        let prep = Course.prepare::<C>(parents::<B, C>(&tensors.0[..own]));
        let OpsKind::Tracked(prep) = prep.compute_bound().stateful() else {
            let (results, _) = course::forward::<B>(&plain, &layout, &plan, false);
            return results.into_iter().map(FloatTensor::<Self>::new).collect();
        };
        let (results, trace) = course::forward::<B>(&plain, &layout, &plan, true);
        let adjoints = Arc::new(Adjoints::new(results.len()));
        let kept = KeptCourse {
            tensors: plain,
            trace: Arc::new(trace),
            adjoints: adjoints.clone(),
            layout,
            plan,
        };
        let course: FloatTensor<Self> = prep.finish(kept, token::<B>());
        variables::<B, C>(&course, &adjoints, results)
    }
}
