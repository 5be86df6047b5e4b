//! Routing from Burn's tensors to the kernels.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Number, Step};
use super::program::Slot;
use super::sweep::{Sink, Source, sweep};
use super::tensors::Tensors;
use super::{ConductanceStep, Layout};
use crate::host::{HostBackend, on_host_all};

/// Steps of cells as the CPU backends take them; documented at [`ConductanceStep::step`]. The tensors are the state, the
/// inflow, which has no rows where there is none, and both tables of constants.
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
}

pub(super) fn run(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    dt: f64,
) -> Vec<Tensor<2>> {
    let inflow = inflow.unwrap_or_else(|| cells.nothing.clone());
    let others = [inflow, cells.shared.clone(), cells.each.clone()];
    let tensors = state.iter().cloned().chain(others);
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

/// The new state, v or its parts first.
fn forward<B: HostBackend>(
    tensors: &[FloatTensor<B>],
    layout: &Layout,
    dt: f64,
) -> Vec<FloatTensor<B>> {
    let [v, .., inflow, _, _] = tensors else {
        return Vec::new();
    };
    let g = Geometry::new::<B>(v, inflow);
    let mut next = on_host_all!(B, "conductance_step", tensors, slices => {
        step(g, layout, dt, &slices)
    });
    // The programs end with the voltage.
    next.rotate_right(layout.parts());
    let shape = v.shape();
    next.into_iter()
        .map(|values| B::write(values, shape.clone()))
        .collect()
}

fn step<T: Number>(g: Geometry, layout: &Layout, dt: f64, slices: &[&[T]]) -> Vec<Vec<T>> {
    let [states @ .., inflow, shared, each] = slices else {
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
    sweep(
        &body,
        g.sizes(),
        &inputs,
        &vec![Sink::All; layout.programs.len()],
    )
}

macro_rules! host_conductance_step {
    ($backend:ty) => {
        impl ConductanceStepBackend for $backend {
            fn conductance_step_forward(
                tensors: Tensors<Self>,
                layout: Arc<Layout>,
                dt: f64,
            ) -> Vec<FloatTensor<Self>> {
                forward::<Self>(&tensors.0, &layout, dt)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_conductance_step!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_conductance_step!(crate::host::ndarray::NdArray);

#[cfg(feature = "autodiff")]
mod autodiff {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::super::backward::gradients;
    use super::*;

    /// A variable on the tape.
    #[derive(Debug)]
    struct Moved;

    /// What the backward pass of one variable computes from.
    #[derive(Clone, Debug)]
    struct Kept<V> {
        /// What it read, the inflow where it takes one, and both tables.
        tensors: Vec<V>,
        /// The number of its program.
        program: usize,
        layout: Arc<Layout>,
        dt: f64,
    }

    impl<B: HostBackend, const N: usize> Backward<B, N> for Moved {
        type State = Kept<FloatTensor<B>>;

        fn backward(
            self,
            ops: Ops<Self::State, N>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let kept = &ops.state;
            let [v, .., inflow, _, _] = &kept.tensors[..] else {
                return;
            };
            let Some(program) = kept.layout.programs.get(kept.program) else {
                return;
            };
            // Without an inflow there is the variable itself in its place.
            let g = Geometry::new::<B>(v, inflow);
            let wanted = [N - 3, N - 2, N - 1].map(|parent| ops.parents[parent].is_some());
            let tensors: Vec<_> = core::iter::once(grad).chain(kept.tensors.clone()).collect();
            let gradients = on_host_all!(B, "conductance_step", &tensors, slices => {
                gradients(g, program, kept.dt, wanted, &slices)
            });
            for ((node, tensor), gradient) in ops.parents.iter().zip(&kept.tensors).zip(gradients) {
                if let Some(node) = node
                    && !gradient.is_empty()
                {
                    grads.register::<B>(node.id, B::write(gradient, tensor.shape()));
                }
            }
        }
    }

    /// A new value as a node, whose parents are the tensors that it was computed from.
    fn node<B: HostBackend, C: CheckpointStrategy, const N: usize>(
        parents: &[&FloatTensor<Autodiff<B, C>>; N],
        (program, layout, dt): (usize, &Arc<Layout>, f64),
        value: FloatTensor<B>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let prep = Moved
            .prepare::<C>(parents.map(|tensor| tensor.node()))
            .compute_bound()
            .stateful();
        match prep {
            OpsKind::Tracked(prep) => {
                let tensors = parents.iter().map(|tensor| tensor.primitive().clone());
                let kept = Kept {
                    tensors: tensors.collect(),
                    program,
                    layout: layout.clone(),
                    dt,
                };
                prep.finish(kept, value)
            }
            OpsKind::UnTracked(prep) => prep.finish(value),
        }
    }

    /// [`node`] for as many parents as there are.
    macro_rules! node_of {
        ($parents:expr, $of:expr, $value:expr; $($n:literal)+) => {
            match $parents.len() {
                $($n => {
                    let parents: Result<&[_; $n], _> = $parents[..].try_into();
                    parents.ok().map(|parents| node::<B, C, $n>(parents, $of, $value))
                })+
                _ => None,
            }
        };
    }

    impl<B: HostBackend, C: CheckpointStrategy> ConductanceStepBackend for Autodiff<B, C> {
        fn conductance_step_forward(
            tensors: Tensors<Self>,
            layout: Arc<Layout>,
            dt: f64,
        ) -> Vec<FloatTensor<Self>> {
            let [states @ .., inflow, shared, each] = &tensors.0[..] else {
                return Vec::new();
            };
            let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
            let mut values = forward::<B>(&plain, &layout, dt);
            if values.is_empty() {
                return Vec::new();
            }
            values.rotate_left(layout.parts());
            // Each variable is a node of its own; the voltage, the last, comes from the new gates.
            let mut next: Vec<FloatTensor<Self>> = Vec::with_capacity(layout.programs.len());
            for ((index, program), value) in layout.programs.iter().enumerate().zip(values) {
                let read = |read: &super::super::program::Read| {
                    if read.moved {
                        next.get(read.state - 1)
                    } else {
                        states.get(read.state)
                    }
                };
                let mut parents: Vec<_> = program.reads.iter().filter_map(read).collect();
                if program.takes_inflow() {
                    parents.push(inflow);
                }
                parents.extend([shared, each]);
                let of = (index, &layout, dt);
                let moved =
                    node_of!(parents, of, value; 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
                drop(parents);
                match moved {
                    Some(moved) => next.push(moved),
                    None => return Vec::new(),
                }
            }
            next.rotate_right(layout.parts());
            next
        }
    }
}
