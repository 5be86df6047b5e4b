//! Routing from Burn's tensors to the kernels.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]
#![allow(
    clippy::too_many_arguments,
    reason = "a backend extension takes its tensors one by one"
)]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use super::cpu::{Number, Step};
use super::sweep::{Sink, Source, sweep};
use super::{ConductanceStep, Layout, Slot};
use crate::host::{HostBackend, on_host_all};

/// Steps of cells as the CPU backends take them; documented at [`ConductanceStep::step`]. An inflow that there is not has no
/// rows; an m that follows the voltage is not read.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait ConductanceStepBackend: Backend {
    fn conductance_step_forward(
        v: FloatTensor<Self>,
        m: FloatTensor<Self>,
        h: FloatTensor<Self>,
        n: FloatTensor<Self>,
        inflow: FloatTensor<Self>,
        shared: FloatTensor<Self>,
        each: FloatTensor<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>>;
}

pub(super) fn run(
    cells: &ConductanceStep,
    v: &Tensor<2>,
    gates: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    dt: f64,
) -> Vec<Tensor<2>> {
    let (m, h, n) = match gates {
        [m, h, n] => (m, h, n),
        [h, n] => (v, h, n),
        _ => return Vec::new(),
    };
    let inflow = inflow.unwrap_or_else(|| cells.nothing.clone());
    let next = <Dispatch as ConductanceStepBackend>::conductance_step_forward(
        v.clone().into_dispatch(),
        m.clone().into_dispatch(),
        h.clone().into_dispatch(),
        n.clone().into_dispatch(),
        inflow.into_dispatch(),
        cells.shared.clone().into_dispatch(),
        cells.each.clone().into_dispatch(),
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

fn forward<B: HostBackend>(
    tensors: &[FloatTensor<B>; 7],
    layout: &Layout,
    dt: f64,
) -> Vec<FloatTensor<B>> {
    let [v, .., inflow, _, _] = tensors;
    let g = Geometry::new::<B>(v, inflow);
    let next = on_host_all!(B, "conductance_step", tensors, slices => {
        step(g, layout, dt, &slices)
    });
    let shape = v.shape();
    next.into_iter()
        .map(|values| B::write(values, shape.clone()))
        .collect()
}

fn step<T: Number>(g: Geometry, layout: &Layout, dt: f64, slices: &[&[T]]) -> Vec<Vec<T>> {
    let [v, m, h, n, inflow, shared, each] = *slices else {
        return Vec::new();
    };
    let gates = [m, h, n];
    let rates = |gate: usize| {
        let slots = layout.rates[gate].iter().flatten();
        constants(slots, [shared, each], g.cells)
    };
    let mut inputs = vec![Source::All(v), g.inflow(inflow)];
    for gate in layout.gates() {
        inputs.push(Source::All(gates[gate]));
        inputs.extend(rates(gate));
    }
    inputs.extend(constants(&layout.membrane, [shared, each], g.cells));
    if layout.instantaneous_m {
        inputs.extend(rates(0));
    }
    let body = Step {
        layout,
        dt: T::of(dt),
    };
    let sinks = [Sink::All; 4];
    sweep(
        &body,
        g.sizes(),
        &inputs,
        &sinks[..1 + layout.gates().len()],
    )
}

macro_rules! host_conductance_step {
    ($backend:ty) => {
        impl ConductanceStepBackend for $backend {
            fn conductance_step_forward(
                v: FloatTensor<Self>,
                m: FloatTensor<Self>,
                h: FloatTensor<Self>,
                n: FloatTensor<Self>,
                inflow: FloatTensor<Self>,
                shared: FloatTensor<Self>,
                each: FloatTensor<Self>,
                layout: Arc<Layout>,
                dt: f64,
            ) -> Vec<FloatTensor<Self>> {
                forward::<Self>(&[v, m, h, n, inflow, shared, each], &layout, dt)
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
    use burn::tensor::Shape;

    use super::super::backward;
    use super::*;
    use crate::host::HostVec;

    /// A gate on the tape, of m, h and n.
    #[derive(Debug)]
    struct Gate;

    #[derive(Debug)]
    struct Voltage;

    /// What the backward pass of one variable computes from.
    #[derive(Clone, Debug)]
    struct Kept<V, const N: usize> {
        /// The last two are the tables.
        tensors: [V; N],
        layout: Arc<Layout>,
        dt: f64,
    }

    /// Hands out gradients, of the shapes of the tensors.
    fn register<B: HostBackend, const N: usize>(
        grads: &mut Gradients,
        ops: &Ops<impl Clone + Send + core::fmt::Debug + 'static, N>,
        shapes: [Shape; N],
        gradients: Vec<HostVec>,
    ) {
        for ((node, shape), gradient) in ops.parents.iter().zip(shapes).zip(gradients) {
            if let Some(node) = node
                && !gradient.is_empty()
            {
                grads.register::<B>(node.id, B::write(gradient, shape));
            }
        }
    }

    impl<B: HostBackend> Backward<B, 4> for Gate {
        type State = (usize, Kept<FloatTensor<B>, 4>);

        fn backward(
            self,
            ops: Ops<Self::State, 4>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let (gate, kept) = &ops.state;
            let [v, x, shared, each] = &kept.tensors;
            let g = Geometry::new::<B>(v, x);
            let wanted = [&ops.parents[2], &ops.parents[3]].map(Option::is_some);
            let tensors = [grad, v.clone(), x.clone(), shared.clone(), each.clone()];
            let gradients = on_host_all!(B, "conductance_step", &tensors, slices => {
                backward::gate(g, &kept.layout, kept.dt, *gate, wanted, &slices)
            });
            let shapes = [v, x, shared, each].map(|tensor| tensor.shape());
            register::<B, 4>(grads, &ops, shapes, gradients);
        }
    }

    impl<B: HostBackend> Backward<B, 7> for Voltage {
        type State = Kept<FloatTensor<B>, 7>;

        fn backward(
            self,
            ops: Ops<Self::State, 7>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<B>(&ops.node);
            let kept = &ops.state;
            let [v, _, _, _, inflow, _, _] = &kept.tensors;
            let g = Geometry::new::<B>(v, inflow);
            let wanted = [4, 5, 6].map(|parent: usize| ops.parents[parent].is_some());
            let shapes = kept.tensors.each_ref().map(|tensor| tensor.shape());
            let tensors: Vec<_> = core::iter::once(grad).chain(kept.tensors.clone()).collect();
            let gradients = on_host_all!(B, "conductance_step", &tensors, slices => {
                backward::voltage(g, &kept.layout, kept.dt, wanted, &slices)
            });
            register::<B, 7>(grads, &ops, shapes, gradients);
        }
    }

    impl<B: HostBackend, C: CheckpointStrategy> ConductanceStepBackend for Autodiff<B, C> {
        fn conductance_step_forward(
            v: FloatTensor<Self>,
            m: FloatTensor<Self>,
            h: FloatTensor<Self>,
            n: FloatTensor<Self>,
            inflow: FloatTensor<Self>,
            shared: FloatTensor<Self>,
            each: FloatTensor<Self>,
            layout: Arc<Layout>,
            dt: f64,
        ) -> Vec<FloatTensor<Self>> {
            let tensors = [&v, &m, &h, &n, &inflow, &shared, &each];
            let tensors = tensors.map(|tensor| tensor.primitive().clone());
            let mut values = forward::<B>(&tensors, &layout, dt).into_iter();
            let Some(next_v) = values.next() else {
                return Vec::new();
            };
            // Each variable is a node of its own; the voltage comes from the new gates.
            let old = [&m, &h, &n];
            let mut gates: Vec<FloatTensor<Self>> = Vec::with_capacity(4);
            for (gate, value) in layout.gates().zip(values) {
                let parents = [&v, old[gate], &shared, &each];
                let prep = Gate
                    .prepare::<C>(parents.map(|tensor| tensor.node()))
                    .compute_bound()
                    .stateful();
                gates.push(match prep {
                    OpsKind::Tracked(prep) => {
                        let kept = Kept {
                            tensors: parents.map(|tensor| tensor.primitive().clone()),
                            layout: layout.clone(),
                            dt,
                        };
                        prep.finish((gate, kept), value)
                    }
                    OpsKind::UnTracked(prep) => prep.finish(value),
                });
            }
            let (m, h, n) = match &gates[..] {
                [m, h, n] => (m, h, n),
                [h, n] => (&v, h, n),
                _ => return Vec::new(),
            };
            let parents = [&v, m, h, n, &inflow, &shared, &each];
            let prep = Voltage
                .prepare::<C>(parents.map(|tensor| tensor.node()))
                .compute_bound()
                .stateful();
            let next_v = match prep {
                OpsKind::Tracked(prep) => {
                    let kept = Kept {
                        tensors: parents.map(|tensor| tensor.primitive().clone()),
                        layout: layout.clone(),
                        dt,
                    };
                    prep.finish(kept, next_v)
                }
                OpsKind::UnTracked(prep) => prep.finish(next_v),
            };
            gates.insert(0, next_v);
            gates
        }
    }
}
