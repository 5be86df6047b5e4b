//! One step on the host.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::Layout;
use super::cpu::{Number, Step};
use super::geometry::{Geometry, constants};
use super::joint;
use super::program::Program;
use super::sweep::{Operand, Sink, sweep};
use crate::host::{HostBackend, on_host_all};

/// A step on the host.
pub(super) struct Stepped<B: Backend> {
    /// The new state, v first.
    pub(super) next: Vec<FloatTensor<B>>,
    /// Of compartments, the reciprocals of the pivots, and the solution where it is not the new voltages.
    pub(super) solved: Vec<FloatTensor<B>>,
}

pub(super) fn forward<B: HostBackend>(
    tensors: &[FloatTensor<B>],
    layout: &Layout,
    dt: f64,
) -> Stepped<B> {
    let mut stepped = Stepped {
        next: Vec::new(),
        solved: Vec::new(),
    };
    let (Some(v), Some(inflow)) = (tensors.first(), tensors.get(layout.states)) else {
        return stepped;
    };
    let g = Geometry::new::<B>(v, inflow);
    let values = tensors.iter().map(B::values);
    let values = on_host_all!("conductance_step", values, slices => {
        step(g, layout, dt, &slices)
    });
    let mut values = values.into_iter();
    let next = values.by_ref().take(layout.states);
    let next = next.map(|values| B::write(values, v.shape()));
    stepped.next = next.collect();
    if let Some(joint) = &layout.joint {
        let shape = Shape::new([g.batch, joint.tree.len()]);
        let solved = values.filter(|values| !values.is_empty());
        let solved = solved.map(|values| B::write(values, shape.clone()));
        stepped.solved = solved.collect();
    }
    stepped
}

/// The new state, v first, and what a joint step has besides.
pub(super) fn step<T: Number>(
    g: Geometry,
    layout: &Layout,
    dt: f64,
    slices: &[&[T]],
) -> Vec<Vec<T>> {
    let (states, rest) = slices.split_at(layout.states);
    let [inflow, shared, each, couplings @ ..] = rest else {
        return Vec::new();
    };
    let mut inputs: Vec<_> = states.iter().map(|x| Operand::All(x)).collect();
    inputs.push(g.inflow(inflow));
    for program in &layout.programs {
        inputs.extend(constants(&program.slots, [shared, each], g.cells));
    }
    let body = Step {
        layout,
        dt: T::of(dt),
    };
    let outputs = layout.programs.iter().map(Program::outputs).sum();
    let mut next = sweep(&body, g.sizes(), &inputs, &vec![Sink::All; outputs]);
    let mut solved = Vec::new();
    // The programs end with the voltage.
    let moved = match (&layout.joint, couplings) {
        (Some(joint), [couplings]) => {
            let (drive, decay) = (next.pop(), next.pop());
            let (decay, drive) = (decay.unwrap_or_default(), drive.unwrap_or_default());
            let given = [states[0], &decay, &drive, couplings];
            let [moved, reciprocals, x] = joint::forward(joint, g.sizes(), dt, given);
            solved = vec![reciprocals, x];
            Some(moved)
        }
        _ => next.pop(),
    };
    moved.into_iter().chain(next).chain(solved).collect()
}
