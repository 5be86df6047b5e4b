//! Steps of the CPU backends.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};

use super::super::backend::ConductanceStepBackend;
use super::super::backward::{Taped, Wanted, gradients};
use super::super::cpu::Number;
use super::super::geometry::Geometry;
use super::super::joint::Joined;
use super::super::single::forward;
use super::super::tensors::Tensors;
use super::super::{Layout, Plan, course};
use super::{Adjoints, PARENTS, parents, register, token, variables};
use crate::host::{HostBackend, HostVec, on_host_all};

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

fn wanted<S>(ops: &Ops<S, PARENTS>, states: usize) -> Wanted {
    let [inflow, shared, each, couplings] = super::wanted(ops, states);
    Wanted {
        inflow,
        tables: [shared, each],
        couplings,
    }
}

/// A gradient like a tensor: zeros where nothing depends on it, for Burn asks each parent for its own.
fn write<B: HostBackend>(gradient: HostVec, tensor: &FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    B::write(gradient.or_zeros(shape.num_elements()), shape)
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
        register::<B, _, _>(&ops, &kept.tensors, gradients, grads, write::<B>);
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
        register::<B, _, _>(&ops, &kept.tensors, gradients, grads, write::<B>);
    }
}

impl<B: HostBackend, C: CheckpointStrategy> ConductanceStepBackend for Autodiff<B, C> {
    fn conductance_step_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>> {
        let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
        let stepped = forward::<B>(&plain, &layout, dt);
        let Some(token) = plain.first().map(token::<B>) else {
            return Vec::new();
        };
        let prep = Step.prepare::<C>(parents::<B, C>(&tensors.0, token.clone()));
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
        let step = prep.finish(kept, token);
        variables::<B, C>(&step, &adjoints, stepped.next)
    }

    fn conductance_course_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        plan: Arc<Plan>,
    ) -> Vec<FloatTensor<Self>> {
        let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
        let Some(token) = plain.first().map(token::<B>) else {
            return Vec::new();
        };
        let own = layout.given().min(tensors.0.len());
        let prep = Course.prepare::<C>(parents::<B, C>(&tensors.0[..own], token.clone()));
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
        let course: FloatTensor<Self> = prep.finish(kept, token);
        variables::<B, C>(&course, &adjoints, results)
    }
}
