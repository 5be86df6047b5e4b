//! Routing from Burn's tensors to the kernels.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::course::{self, Plan};
use super::cpu::{Number, Step};
use super::joint;
use super::program::{Program, Slot};
use super::sweep::{Sink, Source, sweep};
use super::tensors::Tensors;
use super::{ConductanceStep, Layout, Ran};
use crate::host::{HostBackend, on_host_all};

/// Steps of cells as the CPU backends take them; documented at [`ConductanceStep::step`]. The tensors are the state, the
/// inflow, which has no rows where there is none, both tables of constants, and the couplings of compartments.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait ConductanceStepBackend: Backend {
    fn conductance_step_forward(
        #[extension_type] tensors: Tensors<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>>;

    /// Many steps; after the couplings come inflows of each step. Gives what is seen, then the last state.
    fn conductance_course_forward(
        #[extension_type] tensors: Tensors<Self>,
        layout: Arc<Layout>,
        plan: Arc<Plan>,
    ) -> Vec<FloatTensor<Self>>;
}

/// What a step takes, in the order of [`Layout::given`].
fn given(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
) -> impl Iterator<Item = Tensor<2>> {
    let inflow = inflow.unwrap_or_else(|| cells.nothing.clone());
    let others = [inflow, cells.shared.clone(), cells.each.clone()];
    let others = others.into_iter().chain(couplings.cloned());
    state.iter().cloned().chain(others)
}

pub(super) fn run_course(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
    (plan, inflows): (Arc<Plan>, Vec<Tensor<2>>),
) -> Option<Ran> {
    let tensors = given(cells, state, inflow, couplings).chain(inflows);
    let results = <Dispatch as ConductanceStepBackend>::conductance_course_forward(
        Tensors(tensors.map(Tensor::into_dispatch).collect()),
        cells.layout.clone(),
        plan,
    );
    let mut results = results.into_iter();
    Some(Ran {
        seen: Tensor::from_dispatch(results.next()?),
        state: results.map(Tensor::from_dispatch).collect(),
    })
}

pub(super) fn run(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
    dt: f64,
) -> Vec<Tensor<2>> {
    let tensors = given(cells, state, inflow, couplings);
    let next = <Dispatch as ConductanceStepBackend>::conductance_step_forward(
        Tensors(tensors.map(Tensor::into_dispatch).collect()),
        cells.layout.clone(),
        dt,
    );
    next.into_iter().map(Tensor::from_dispatch).collect()
}

/// Sizes of the tensors.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) cells: usize,
    inflow: [usize; 2],
}

impl Geometry {
    pub(super) fn new<B: Backend>(v: &FloatTensor<B>, inflow: &FloatTensor<B>) -> Self {
        let (shape, of_inflow) = (v.shape(), inflow.shape());
        Self {
            batch: shape[0],
            cells: shape[1],
            inflow: [of_inflow[0], of_inflow[1]],
        }
    }

    /// Elements, and those of a row.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.batch * self.cells, self.cells)
    }

    pub(super) fn inflow<'a, T: Number>(&self, inflow: &'a [T]) -> Source<'a, T> {
        match (inflow, self.inflow) {
            ([], _) => Source::One(T::ZERO),
            ([one], _) => Source::One(*one),
            (_, [rows, columns]) if rows == self.batch && columns == self.cells => {
                Source::All(inflow)
            }
            (_, [1, _]) => Source::Cells(inflow),
            _ => Source::Rows(inflow),
        }
    }

    /// From a gradient of every element to that of the inflow.
    #[cfg(feature = "autodiff")]
    pub(super) fn fold_inflow<T: Number>(&self, gradient: &mut Vec<T>) {
        let [rows, columns] = self.inflow;
        if gradient.is_empty() || (rows, columns) == (self.batch, self.cells) {
            return;
        }
        let mut folded = vec![T::ZERO; rows * columns];
        for (index, value) in gradient.iter().enumerate() {
            let (row, column) = (index / self.cells % rows, index % self.cells % columns);
            folded[row * columns + column] += *value;
        }
        *gradient = folded;
    }
}

/// The constants, from their slots.
pub(super) fn constants<'a, T: Number>(
    slots: impl IntoIterator<Item = &'a Slot>,
    [shared, each]: [&'a [T]; 2],
    cells: usize,
) -> impl Iterator<Item = Source<'a, T>> {
    slots.into_iter().map(move |slot| match *slot {
        Slot::Number(value) => Source::One(T::of(value)),
        Slot::Shared(row) => Source::One(shared[row]),
        Slot::Each(row) => Source::Cells(&each[row * cells..][..cells]),
    })
}

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
    let mut inputs: Vec<_> = states.iter().map(|x| Source::All(x)).collect();
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

macro_rules! host_conductance_step {
    ($backend:ty) => {
        impl ConductanceStepBackend for $backend {
            fn conductance_step_forward(
                tensors: Tensors<Self>,
                layout: Arc<Layout>,
                dt: f64,
            ) -> Vec<FloatTensor<Self>> {
                forward::<Self>(&tensors.0, &layout, dt).next
            }

            fn conductance_course_forward(
                tensors: Tensors<Self>,
                layout: Arc<Layout>,
                plan: Arc<Plan>,
            ) -> Vec<FloatTensor<Self>> {
                course::forward::<Self>(&tensors.0, &layout, &plan, false).0
            }
        }
    };
}

#[cfg(feature = "flex")]
host_conductance_step!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_conductance_step!(crate::host::ndarray::NdArray);
