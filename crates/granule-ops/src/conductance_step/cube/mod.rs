//! Steps of cells on GPUs: a launch for many steps, in which each unit moves one cell of one row, its state in registers, and
//! another for their gradient.
//!
//! The kernels are written out of a list of operations, which the [`graph`] of a step is; its gradient is derived from that. A
//! course of which the gradient is asked for keeps the state before each step. Long courses are several launches.

mod graph;
mod kernels;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::program::{Program, Slot};
use super::{Layout, Plan};
use crate::gpu::{
    most_elements_of, one_for_each, row_major, steps_of_launch, unwritten, upload, upload_indices,
};
pub(super) use graph::Code;
use graph::Wanted;
use kernels::{SizesLaunch, StridesLaunch};

/// Operations of a step that a kernel has at most: what compiles a kernel takes its time for each.
const MOST: usize = 1000;
/// Operations of a gradient for each of a step, about.
const BACKWARD: usize = 4;
/// The buffers of the backward pass besides those of the variables, and those that CubeCL adds.
const BINDINGS: usize = 10;

/// The operations of a step, where the kernels serve cells of these programs that live where `like` does.
pub(super) fn code(programs: &[Program], like: &Tensor<2>) -> Option<Code> {
    let mut slots = programs.iter().flat_map(|program| &program.slots);
    // What the languages of shaders can write.
    let written = slots.all(|slot| match slot {
        Slot::Number(value) => (*value as f32).is_finite(),
        _ => true,
    });
    let fits = written
        && crate::gpu::serves(like)
        && crate::gpu::bindings(like) as usize >= 2 * programs.len() + BINDINGS;
    let code = fits.then(|| Code::forward(programs))?;
    (code.len() <= MOST).then_some(code)
}

/// Whether there is something to compute, and buffers have the room for it, its gradients and what else has so many numbers.
pub(super) fn hold(layout: &Layout, rows: usize, others: usize, like: &Tensor<2>) -> bool {
    let slots: usize = layout.programs.iter().map(|x| x.slots.len()).sum();
    let elements = rows.saturating_mul(layout.cells);
    let widest = elements.saturating_mul(slots + layout.states + 1);
    let most = crate::gpu::most_elements(like);
    elements > 0 && widest.max(others) <= most
}

/// The states before the steps of each launch of a course, `[steps, states, elements]`.
pub(super) type Trace = Vec<CubeTensor>;

/// What a course is computed from, row-major.
struct Course<'a> {
    layout: &'a Layout,
    plan: &'a Plan,
    state: Vec<CubeTensor>,
    shared: CubeTensor,
    each: CubeTensor,
    inflow: CubeTensor,
    /// Of the inflow: whether each step has its own, and its rows and columns.
    inflow_shape: (bool, [usize; 2]),
    lengths: CubeTensor,
    /// What the kernels call the plan.
    places: CubeTensor,
    rows: usize,
    /// The rows of both tables.
    tables: [usize; 2],
}

/// Something in the place of a tensor without elements.
fn or_one(tensor: CubeTensor) -> CubeTensor {
    if tensor.shape().num_elements() == 0 {
        unwritten(&tensor, Shape::new([1]))
    } else {
        row_major(tensor)
    }
}

impl<'a> Course<'a> {
    /// Of the tensors that a backend is given; `None` without a state.
    fn new(tensors: &[CubeTensor], layout: &'a Layout, plan: &'a Plan) -> Option<Self> {
        let (state, rest) = tensors.split_at_checked(layout.states)?;
        let ([inflow, shared, each], inflows) = rest.split_first_chunk::<3>()?;
        let v = state.first()?;
        let (rows, device) = (v.shape()[0], &v.device);
        let shape_of = |inflow: &CubeTensor| [inflow.shape()[0], inflow.shape()[1]];
        let (inflow, inflow_shape) = match inflows {
            [] if inflow.shape().num_elements() == 0 => (upload(&[], device), (false, [1, 1])),
            [] => (row_major(inflow.clone()), (false, shape_of(inflow))),
            [all, ..] => {
                let [rows, columns] = shape_of(all);
                let own = [rows / plan.lengths.len().max(1), columns];
                (row_major(all.clone()), (true, own))
            }
        };
        let lengths: Vec<f32> = plan.lengths.iter().map(|dt| *dt as f32).collect();
        Some(Self {
            layout,
            plan,
            state: state.iter().cloned().map(row_major).collect(),
            shared: or_one(shared.clone()),
            each: or_one(each.clone()),
            inflow,
            inflow_shape,
            lengths: upload(&lengths, device),
            places: upload_indices(&places(plan, layout.cells), device),
            rows,
            tables: [shared.shape()[0], each.shape()[0]],
        })
    }

    fn elements(&self) -> usize {
        self.rows * self.layout.cells
    }

    fn steps(&self) -> usize {
        self.plan.lengths.len()
    }

    /// `[times, rows, columns]`
    fn seen_shape(&self) -> Shape {
        let (times, columns) = (self.plan.seen.len(), self.plan.columns.len());
        Shape::new([times, self.rows, columns])
    }

    /// A variable of the state.
    fn variable(&self) -> CubeTensor {
        unwritten(&self.lengths, Shape::new([self.rows, self.layout.cells]))
    }

    fn variables(&self) -> Vec<CubeTensor> {
        (0..self.layout.states).map(|_| self.variable()).collect()
    }

    /// The steps of a launch, which has room for the states before all of them.
    fn steps_of_launch(&self, code: &Code) -> usize {
        let kept = self.elements() * self.layout.states;
        let room = most_elements_of(&self.lengths.client) / kept.max(1);
        steps_of_launch(BACKWARD * code.len(), self.elements()).min(room.max(1))
    }

    fn sizes(&self, (first, steps): (usize, usize)) -> SizesLaunch {
        SizesLaunch::new(
            self.elements() as u32,
            self.layout.cells as u32,
            self.steps() as u32,
            first as u32,
            steps as u32,
            self.plan.columns.len() as u32,
        )
    }

    fn strides(&self) -> StridesLaunch {
        let (each, [rows, columns]) = self.inflow_shape;
        let own = |many: bool, stride: usize| if many { stride as u32 } else { 0 };
        StridesLaunch::new(
            own(each, rows * columns),
            own(rows > 1, columns),
            own(columns > 1, 1),
        )
    }

    /// What is seen, the last state, and the trace if it is to be `kept`.
    fn forward(&self, kept: bool) -> (Vec<CubeTensor>, Trace) {
        let seen = unwritten(&self.lengths, self.seen_shape());
        let Some(code) = &self.layout.code else {
            return Default::default();
        };
        let most = self.steps_of_launch(code);
        let (elements, steps) = (self.elements(), self.steps());
        let mut state = self.state.clone();
        let mut trace = Vec::new();
        for first in (0..steps).step_by(most) {
            let own = most.min(steps - first);
            let kept_steps = if kept { own } else { 0 };
            let room = (kept_steps * self.layout.states * elements).max(1);
            let part = unwritten(&self.lengths, Shape::new([room]));
            let next = self.variables();
            let (count, dim) = one_for_each(&self.lengths.client, elements);
            kernels::forward::launch(
                &self.lengths.client,
                count,
                dim,
                part.required_address_type(),
                buffers(&state),
                self.shared.clone().into_buffer_arg(),
                self.each.clone().into_buffer_arg(),
                self.inflow.clone().into_buffer_arg(),
                self.lengths.clone().into_buffer_arg(),
                self.places.clone().into_buffer_arg(),
                buffers(&next),
                or_one(seen.clone()).into_buffer_arg(),
                part.clone().into_buffer_arg(),
                self.sizes((first, own)),
                self.strides(),
                u32::from(kept),
                code.clone(),
            );
            if kept {
                trace.push(part);
            }
            state = next;
        }
        let mut results = vec![seen];
        results.extend(state);
        (results, trace)
    }

    /// The gradients by the state, the inflow and both tables, of those by what is seen and by the last state.
    fn backward(
        &self,
        trace: &[CubeTensor],
        adjoints: &[Option<CubeTensor>],
        wanted: Wanted,
    ) -> Vec<Option<CubeTensor>> {
        let elements = self.elements();
        let (Some((by_seen, by_last)), Some(forward)) = (adjoints.split_first(), &self.layout.code)
        else {
            return Vec::new();
        };
        let zeros = || {
            let shape = Shape::new([self.rows, self.layout.cells]);
            CubeBackend::float_zeros(shape, &self.lengths.device, DType::F32.into())
        };
        let by_last = by_last.iter().map(|x| match x {
            Some(x) => row_major(x.clone()),
            // Rows of zeros may have room between them.
            None => row_major(zeros()),
        });
        let mut adjoint: Vec<CubeTensor> = by_last.collect();
        let rows = self.tables;
        let code = Code::backward(&self.layout.programs, wanted, rows);
        let sums = unwritten(&self.lengths, Shape::new([code.sums.len(), elements]));
        let most = self.steps_of_launch(forward);
        let sees = by_seen.as_ref().filter(|by| by.shape().num_elements() > 0);
        let by_seen = match sees {
            Some(by) => row_major(by.clone()),
            None => unwritten(&self.lengths, Shape::new([1])),
        };
        for (launch, part) in trace.iter().enumerate().rev() {
            let first = launch * most;
            let own = most.min(self.steps() - first);
            let before = self.variables();
            let (count, dim) = one_for_each(&self.lengths.client, elements);
            let address = part
                .required_address_type()
                .max(sums.required_address_type());
            kernels::backward::launch(
                &self.lengths.client,
                count,
                dim,
                address,
                part.clone().into_buffer_arg(),
                self.shared.clone().into_buffer_arg(),
                self.each.clone().into_buffer_arg(),
                self.inflow.clone().into_buffer_arg(),
                self.lengths.clone().into_buffer_arg(),
                self.places.clone().into_buffer_arg(),
                by_seen.clone().into_buffer_arg(),
                buffers(&adjoint),
                buffers(&before),
                or_one(sums.clone()).into_buffer_arg(),
                self.sizes((first, own)),
                self.strides(),
                u32::from(sees.is_some()),
                u32::from(launch + 1 < trace.len()),
                code.clone(),
            );
            adjoint = before;
        }
        let mut gradients: Vec<Option<CubeTensor>> = adjoint.into_iter().map(Some).collect();
        let mut from = 0;
        let mut take = |wanted: bool, count: usize| {
            wanted.then(|| {
                from += count;
                let part = burn::tensor::Slice::from(from - count..from);
                let all = burn::tensor::Slice::from(0..elements);
                CubeBackend::float_slice(sums.clone(), &[part, all])
            })
        };
        let inflow = take(wanted.inflow, 1).map(|sum| self.of_inflow(sum));
        let shared = take(wanted.shared, rows[0]);
        let shared = shared.map(|sums| CubeBackend::float_sum_dim(sums, 1));
        let each = take(wanted.each, rows[1]).map(|sums| {
            let shape = [rows[1], self.rows, self.layout.cells];
            let sums = CubeBackend::float_reshape(sums, Shape::new(shape));
            let sums = CubeBackend::float_sum_dim(sums, 1);
            CubeBackend::float_reshape(sums, Shape::new([rows[1], self.layout.cells]))
        });
        gradients.extend([inflow, shared, each]);
        gradients
    }

    /// From the gradient of every element to that of the inflow.
    fn of_inflow(&self, sum: CubeTensor) -> CubeTensor {
        let (_, [rows, columns]) = self.inflow_shape;
        let shape = Shape::new([self.rows, self.layout.cells]);
        let mut sum = CubeBackend::float_reshape(sum, shape);
        if rows == 1 && self.rows > 1 {
            sum = CubeBackend::float_sum_dim(sum, 0);
        }
        if columns == 1 && self.layout.cells > 1 {
            sum = CubeBackend::float_sum_dim(sum, 1);
        }
        sum
    }
}

fn buffers(tensors: &[CubeTensor]) -> SequenceArg<Box<[f32]>> {
    let tensors = tensors.iter().cloned();
    tensors.map(CubeTensor::into_buffer_arg).collect()
}

/// After which steps something is seen, and where each cell is seen.
fn places(plan: &Plan, cells: usize) -> Vec<u32> {
    let mut all = vec![0; plan.lengths.len()];
    for (time, step) in plan.seen.iter().enumerate() {
        all[step - 1] = time as u32 + 1;
    }
    let mut own = vec![Vec::new(); cells];
    for (place, column) in plan.columns.iter().enumerate() {
        own[*column].push(place as u32);
    }
    let mut first = 0;
    all.push(first);
    for places in &own {
        first += places.len() as u32;
        all.push(first);
    }
    all.extend(own.into_iter().flatten());
    all
}

/// What is seen, `[times, batch, columns]`, and the last state, with the trace if it is to be `kept`.
pub(super) fn forward(
    tensors: &[CubeTensor],
    layout: &Layout,
    plan: &Plan,
    kept: bool,
) -> (Vec<CubeTensor>, Trace) {
    match Course::new(tensors, layout, plan) {
        Some(course) => course.forward(kept),
        None => Default::default(),
    }
}

/// Gradients by the state at the beginning, the inflow and both tables of constants, as far as they are `wanted`, of those by
/// what is seen and by the last state.
#[cfg(feature = "autodiff")]
pub(super) fn backward(
    tensors: &[CubeTensor],
    (layout, plan): (&Layout, &Plan),
    trace: &[CubeTensor],
    adjoints: &[Option<CubeTensor>],
    [inflow, shared, each]: [bool; 3],
) -> Vec<Option<CubeTensor>> {
    let wanted = Wanted {
        inflow,
        shared,
        each,
    };
    match Course::new(tensors, layout, plan) {
        Some(course) => course.backward(trace, adjoints, wanted),
        None => Vec::new(),
    }
}
