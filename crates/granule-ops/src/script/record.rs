//! Recording the tensor operations of a step, and what they are in a script.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use burn::backend::capture::CapturedGraph;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "autodiff")]
use burn::backend::{Autodiff, AutodiffBackend};
use burn::backend::{Capture, DispatchDevice, TensorMetadata};
use burn::tensor::{DType, Device, IndexingUpdateOp, Shape, Slice, Tensor, TensorData};
use burn_ir::{
    ActivationOperationIr as Activation, BaseOperationIr as Base, BinaryOpIr,
    BoolOperationIr as Bool, FloatOperationIr as Float, NumericOperationIr as Numeric, OperationIr,
    ScalarIr, ScalarOpIr, TensorId, TensorIr, UnaryOpIr,
};

use super::build::{Builder, Value, places, strides};
use super::cpu::Number;
use super::instruction::{Binary, Elements, Piece, Unary};
use super::{Precision, Script, Steps};
use crate::conductance_step::{Advance, Slot};
use crate::sparse_product::SparseProductBackend;
use crate::tree_solve::TreeSolveBackend;
use crate::{Connections, Tree};

/// What a recorded step gives.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The state after the step.
    pub next: Vec<Tensor<2>>,
    /// What is seen of it.
    pub seen: Vec<Tensor<2>>,
    /// Tensors that were made from other numbers than they are at another step: they are given for each step.
    pub given: Vec<Tensor<2>>,
}

/// Why a step is no script.
#[derive(Debug)]
pub enum Unrecorded<E> {
    /// It failed while it was recorded.
    Failed(E),
    /// It has an operation, a precision or a shape that scripts do not have.
    Unknown(String),
}

fn unknown<E>(what: impl Into<String>) -> Unrecorded<E> {
    Unrecorded::Unknown(what.into())
}

fn id(tensor: &Tensor<2>) -> Option<TensorId> {
    let primitive = plain(tensor.clone()).try_into_primitive::<Capture>();
    primitive.ok().map(|tensor| tensor.id())
}

/// An operation of this crate that Burn does not know, by its operands.
#[derive(Clone)]
enum Own {
    /// `x` and the weights.
    Product([TensorId; 2], Connections),
    /// The gradient of `x`: that of the product and the weights.
    ProductInput([TensorId; 2], Connections),
    /// The gradient of the weights: `x` and the gradient of the product.
    ProductWeights([TensorId; 2], Connections),
    /// The diagonal, the edges and the right-hand side, and whether the matrix is transposed.
    Solve([TensorId; 3], Tree, bool),
    /// The gradient of the edges: the solution and its adjoint.
    SolveEdges([TensorId; 2], Tree),
    /// What is read, the inflow, and the tables of constants that all cells share and of those of each, as long as `shape`.
    Advance(Advance, Vec<TensorId>, [usize; 2]),
}

thread_local! {
    /// The device that records on this thread: there are 65,536 in a process.
    static DEVICE: Device = Device::capture();
    /// Those of the step that is recorded on this thread, and what stands for their results.
    static OWN: RefCell<Vec<(TensorId, Own)>> = const { RefCell::new(Vec::new()) };
    /// What is set for its runs, each once.
    static SETTINGS: RefCell<Vec<TensorId>> = const { RefCell::new(Vec::new()) };
    /// Whether kernels of this crate are recorded as such: on a CPU they run within a script.
    static KERNELS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the kernels of this crate that run within scripts are recorded as such.
pub(crate) fn records_kernels() -> bool {
    KERNELS.get()
}

/// Says of a tensor, while a step is recorded, that its numbers are set for every run and not those that it has now. The order of
/// the first calls is that of [`Run::with`](super::Run::with). It has to be one that was made of numbers.
pub fn setting<const D: usize>(tensor: &Tensor<D>) {
    if let Ok(captured) = plain(tensor.clone()).try_into_primitive::<Capture>() {
        SETTINGS.with_borrow_mut(|all| {
            if !all.contains(&captured.id()) {
                all.push(captured.id());
            }
        });
    }
}

/// `Tensor::without_autodiff`, also of a tensor that is recorded, which Burn refuses.
pub fn plain<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "autodiff")]
    if records(&x)
        && let Ok(taped) = x.clone().try_into_primitive::<Autodiff<Capture>>()
    {
        return Tensor::from_primitive::<Capture>(taped.into_primitive());
    }
    x.without_autodiff()
}

/// `Tensor::autodiff`, also of a tensor that is recorded, which Burn refuses: what a gradient does is recorded as well.
#[cfg(feature = "autodiff")]
pub fn taped<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.clone().try_into_primitive::<Capture>() {
        Ok(plain) => {
            let taped = Autodiff::<Capture>::from_inner(plain);
            Tensor::from_primitive::<Autodiff<Capture>>(taped)
        }
        Err(_) => x.autodiff(),
    }
}

/// The gradients of a loss that is recorded.
#[cfg(feature = "autodiff")]
pub struct Slopes(burn::backend::autodiff::grads::Gradients);

#[cfg(feature = "autodiff")]
impl Slopes {
    /// Those of `loss`; `None` where it is not [on a tape](taped) that is recorded.
    pub fn of(loss: Tensor<1>) -> Option<Self> {
        let loss = loss.try_into_primitive::<Autodiff<Capture>>().ok()?;
        Some(Self(Autodiff::<Capture>::backward(loss)))
    }

    /// That of a leaf, once, where it has one.
    pub fn take<const D: usize>(&mut self, leaf: &Tensor<D>) -> Option<Tensor<D>> {
        let leaf = leaf
            .clone()
            .try_into_primitive::<Autodiff<Capture>>()
            .ok()?;
        let own = Autodiff::<Capture>::grad_remove(&leaf, &mut self.0)?;
        Some(Tensor::from_primitive::<Capture>(own))
    }
}

/// Whether operations on this tensor are recorded.
pub(crate) fn records<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Capture(_))
}

/// What stands for the result of an operation, `shape`, while a step is recorded.
fn record_own(like: &Captured, shape: [usize; 2], own: Own) -> Captured {
    let out = Capture::float_zeros(Shape::new(shape), &like.device(), like.dtype().into());
    OWN.with_borrow_mut(|all| all.push((out.id(), own)));
    out
}

impl SparseProductBackend for Capture {
    fn sparse_product_forward(x: Captured, values: Captured, connections: Connections) -> Captured {
        let shape = [x.shape()[0], connections.columns()];
        record_own(&x, shape, Own::Product([x.id(), values.id()], connections))
    }

    fn sparse_product_input_gradient(
        gradient: Captured,
        values: Captured,
        connections: Connections,
    ) -> Captured {
        let shape = [gradient.shape()[0], connections.rows()];
        let own = Own::ProductInput([gradient.id(), values.id()], connections);
        record_own(&gradient, shape, own)
    }

    fn sparse_product_weight_gradient(
        x: Captured,
        gradient: Captured,
        connections: Connections,
    ) -> Captured {
        let shape = [1, connections.len()];
        let own = Own::ProductWeights([x.id(), gradient.id()], connections);
        record_own(&x, shape, own)
    }
}

/// A variable of cells after a step: what its program reads, and what it finds its constants in.
pub(crate) struct Cells<'a> {
    pub(crate) of: Advance,
    pub(crate) reads: &'a [&'a Tensor<2>],
    /// Without elements where there is none.
    pub(crate) inflow: &'a Tensor<2>,
    /// The constants that all cells share, `[constants, 1]`, and those of each, `[constants, cells]`.
    pub(crate) tables: [&'a Tensor<2>; 2],
}

/// What stands for a variable of cells after a step, while one is recorded; `None` where something is on a tape.
pub(crate) fn record_cells(cells: Cells<'_>) -> Option<Tensor<2>> {
    let Cells {
        of,
        reads,
        inflow,
        tables,
    } = cells;
    let all = reads.iter().copied().chain([inflow]).chain(tables);
    let captured = all.map(|x| x.clone().try_into_primitive::<Capture>().ok());
    let captured = captured.collect::<Option<Vec<Captured>>>()?;
    let (like, shape) = (captured.first()?, reads.first()?.dims());
    let ids = captured.iter().map(|x| x.id()).collect();
    let out = record_own(like, shape, Own::Advance(of, ids, shape));
    Some(Tensor::from_primitive::<Capture>(out))
}

impl TreeSolveBackend for Capture {
    fn tree_solve_forward(
        diagonal: Captured,
        edges: Captured,
        rhs: Captured,
        tree: Tree,
        transposed: bool,
    ) -> Captured {
        let shape = [rhs.shape()[0], rhs.shape()[1]];
        let own = Own::Solve([diagonal.id(), edges.id(), rhs.id()], tree, transposed);
        record_own(&rhs, shape, own)
    }

    fn tree_solve_edge_gradient(x: Captured, adjoint: Captured, tree: Tree) -> Captured {
        let own = Own::SolveEdges([x.id(), adjoint.id()], tree.clone());
        record_own(&x, [2, tree.len()], own)
    }
}
/// The steps that are recorded: the first two, and a late one.
const STEPS: [usize; 3] = [0, 1, 1_000_003];

/// A tensor that is recorded.
type Captured = FloatTensor<Capture>;

/// What is on a thread while it records, until this is dropped.
struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        OWN.take();
        SETTINGS.take();
        KERNELS.set(false);
    }
}

/// Records a step for runs on `on`. `states` and `given` are the shapes of the variables and of what is given for each step;
/// `step` gets the number of a step, the device to compute on and tensors of these shapes on it, none of which can be read. What
/// it makes of them, and of any numbers, becomes the script; what [`Recorded`] says to be given comes after `given`.
///
/// It is called for the steps 0, 1 and 1,000,003, and what is not the same in all three is no script. What changes in others
/// only goes unseen: a step has to be the same for every state, given numbers and number of the step.
///
/// # Errors
///
/// Why the step is no script.
pub fn record<E>(
    (on, dtype): (&Device, DType),
    states: &[[usize; 2]],
    given: &[[usize; 2]],
    step: impl FnMut(usize, &Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Script, Unrecorded<E>> {
    record_steps(&STEPS, (dtype, crate::is_host(on)), (states, given), step)
}

/// As [`record`], from the first step alone: for what is made of a step of which [`record`] has found that all are the same, as
/// its way backwards is: with leaves that are [`taped`] the operations of a gradient are recorded as any others.
///
/// # Errors
///
/// Why the step is no script.
pub fn record_once<E>(
    dtype: DType,
    states: &[[usize; 2]],
    given: &[[usize; 2]],
    step: impl FnOnce(&Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Script, Unrecorded<E>> {
    let mut step = Some(step);
    let once = |_: usize, device: &Device, x: &[Tensor<2>], u: &[Tensor<2>]| {
        let step = step.take().ok_or(None::<E>)?;
        step(device, x, u).map_err(Some)
    };
    record_steps(&STEPS[..1], (dtype, false), (states, given), once).map_err(|error| match error {
        Unrecorded::Failed(Some(error)) => Unrecorded::Failed(error),
        Unrecorded::Failed(None) => unknown("a step that is taken twice"),
        Unrecorded::Unknown(what) => Unrecorded::Unknown(what),
    })
}

fn record_steps<E>(
    numbers: &[usize],
    (dtype, kernels): (DType, bool),
    (states, given): (&[[usize; 2]], &[[usize; 2]]),
    step: impl FnMut(usize, &Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Script, Unrecorded<E>> {
    let device = DEVICE.with(Device::clone);
    let mut found = None;
    let captured = device.capture_scope(|scope| {
        found = Some(boundary(
            (&device, dtype, kernels),
            numbers,
            (states, given),
            step,
        ));
        scope.complete([], [])
    });
    let graph = match captured {
        Ok(graph) => graph,
        Err(error) => return Err(unknown(error.to_string())),
    };
    let boundary = match found {
        Some(Ok(Some(boundary))) => boundary,
        Some(Err(error)) => return Err(Unrecorded::Failed(error)),
        _ => return Err(unknown("a tensor of another device")),
    };
    let script = match dtype {
        DType::F32 => translate::<f32>(graph, &boundary, dtype).map(Precision::F32),
        DType::F64 => translate::<f64>(graph, &boundary, dtype).map(Precision::F64),
        other => Err(format!("the precision {other:?}")),
    };
    script.map(Script).map_err(unknown)
}

/// Takes the steps.
fn boundary<E>(
    (device, dtype, kernels): (&Device, DType, bool),
    numbers: &[usize],
    (states, given): (&[[usize; 2]], &[[usize; 2]]),
    mut step: impl FnMut(usize, &Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Option<Boundary>, E> {
    let zeros = |shape: &[usize; 2]| {
        let data = TensorData::new(vec![0.0_f64; shape[0] * shape[1]], *shape);
        Tensor::<2>::from_data(data, (device, dtype))
    };
    let states: Vec<Tensor<2>> = states.iter().map(zeros).collect();
    let given: Vec<Tensor<2>> = given.iter().map(zeros).collect();
    let recording = Recording;
    KERNELS.set(kernels);
    let mut all = Vec::with_capacity(numbers.len());
    for index in numbers {
        all.push(step(*index, device, &states, &given)?);
    }
    let (own, settings) = (OWN.take(), SETTINGS.take());
    drop(recording);
    let ids = |tensors: &[Tensor<2>]| tensors.iter().map(id).collect::<Option<Vec<_>>>();
    let taken = |step: &Recorded| {
        Some(Taken {
            given: ids(&step.given)?,
            next: ids(&step.next)?,
            seen: ids(&step.seen)?,
        })
    };
    let boundary = || {
        Some(Boundary {
            states: ids(&states)?,
            given: ids(&given)?,
            steps: all.iter().map(taken).collect::<Option<_>>()?,
            own: own.iter().cloned().collect(),
            settings: settings.clone(),
        })
    };
    Ok(boundary())
}

/// The tensors where all steps begin, and those of each.
struct Boundary {
    states: Vec<TensorId>,
    given: Vec<TensorId>,
    settings: Vec<TensorId>,
    steps: Vec<Taken>,
    /// Operations of this crate by their results.
    own: HashMap<TensorId, Own>,
}

struct Taken {
    given: Vec<TensorId>,
    next: Vec<TensorId>,
    seen: Vec<TensorId>,
}

fn translate<T: Number>(
    graph: CapturedGraph,
    boundary: &Boundary,
    dtype: DType,
) -> Result<Steps<T>, String> {
    let mut all = Translation {
        builder: Builder::<T>::new(),
        values: HashMap::new(),
        data: graph.values,
        own: &boundary.own,
        dtype,
    };
    all.settings(&boundary.settings)?;
    let states = all.sources(&boundary.states)?;
    let mut given = all.sources(&boundary.given)?;
    let [first, others @ ..] = boundary.steps.as_slice() else {
        return Err("no step".into());
    };
    let drawn = all.sources(&first.given)?;
    for other in others {
        if drawn.len() != other.given.len() {
            return Err("random numbers that not every step draws".into());
        }
        for (id, value) in other.given.iter().zip(&drawn) {
            all.values.insert(*id, value.clone());
        }
    }
    given.extend(drawn);
    for operation in &graph.graph.operations {
        if all.add(operation).is_none() {
            let text = format!("{operation:?}");
            return Err(text.chars().take(60).collect());
        }
    }
    let (next, seen) = (all.found(&first.next)?, all.found(&first.seen)?);
    for other in others {
        for (first, other) in [(&next, &other.next), (&seen, &other.seen)] {
            let other = all.found(other)?;
            let slots = |values: &[Value]| values.iter().map(|x| x.slot).collect::<Vec<_>>();
            if slots(first) != slots(&other) {
                return Err("a step that depends on its time or number".into());
            }
        }
    }
    let mut outer = states.iter().chain(&given).chain(&next).chain(&seen);
    if outer.any(|x| x.len() == 0) {
        return Err("a variable without elements".into());
    }
    let steps = all.builder.finish(&states, &given, &next, &seen);
    steps.ok_or_else(|| "a variable whose length changes".into())
}

struct Translation<'a, T> {
    builder: Builder<T>,
    values: HashMap<TensorId, Value>,
    data: std::collections::BTreeMap<TensorId, TensorData>,
    own: &'a HashMap<TensorId, Own>,
    dtype: DType,
}

fn number(scalar: ScalarIr) -> f64 {
    match scalar {
        ScalarIr::Float(x) => x,
        ScalarIr::Int(x) => x as f64,
        ScalarIr::UInt(x) => x as f64,
        ScalarIr::Bool(x) => f64::from(u8::from(x)),
    }
}

fn dims(tensor: &TensorIr) -> &[usize] {
    &tensor.shape
}

/// Where a slice of a tensor of this shape begins, and how far apart its elements are along each axis.
fn sliced(shape: &[usize], ranges: &[Slice]) -> Option<(usize, Vec<usize>)> {
    let own = strides(shape);
    let mut first = 0;
    let mut steps = own.clone();
    for (axis, range) in ranges.iter().enumerate() {
        let step = usize::try_from(range.step).ok().filter(|step| *step > 0)?;
        let len = isize::try_from(*shape.get(axis)?).ok()?;
        let start = if range.start < 0 {
            range.start + len
        } else {
            range.start
        };
        first += usize::try_from(start).ok()? * own[axis];
        steps[axis] *= step;
    }
    Some((first, steps))
}

impl<T: Number> Translation<'_, T> {
    /// What comes from outside at every step.
    fn sources(&mut self, ids: &[TensorId]) -> Result<Vec<Value>, String> {
        let found = ids.iter().map(|id| {
            let data = self.data.remove(id)?;
            let shape: Vec<usize> = data.shape().to_vec();
            let value = self.builder.source(&shape);
            self.values.insert(*id, value.clone());
            Some(value)
        });
        let found: Option<Vec<_>> = found.collect();
        found.ok_or_else(|| "a given tensor that was computed".into())
    }

    /// What is set once for a run.
    fn settings(&mut self, ids: &[TensorId]) -> Result<(), String> {
        for id in ids {
            let data = self.data.remove(id).ok_or("a setting that was computed")?;
            let shape: Vec<usize> = data.shape().to_vec();
            let value = self.builder.setting(&shape);
            self.values.insert(*id, value);
        }
        Ok(())
    }

    fn found(&mut self, ids: &[TensorId]) -> Result<Vec<Value>, String> {
        let found: Option<Vec<_>> = ids.iter().map(|id| self.find(*id)).collect();
        found.ok_or_else(|| "a tensor from elsewhere".into())
    }

    fn find(&mut self, id: TensorId) -> Option<Value> {
        if let Some(value) = self.values.get(&id) {
            return Some(value.clone());
        }
        let own = match self.own.get(&id) {
            Some(own) => Some(self.own(own)?),
            None => None,
        };
        if let Some(value) = own {
            self.values.insert(id, value.clone());
            return Some(value);
        }
        let data = self.data.remove(&id)?;
        let shape = data.shape().to_vec();
        let numbers: Vec<f64> = match data.dtype() {
            DType::Bool(_) => data
                .convert::<u8>()
                .try_into_vec::<u8>()
                .ok()?
                .into_iter()
                .map(f64::from)
                .collect(),
            _ => data.convert::<f64>().try_into_vec().ok()?,
        };
        let value = self.builder.constant(numbers, &shape);
        self.values.insert(id, value.clone());
        Some(value)
    }

    fn own(&mut self, own: &Own) -> Option<Value> {
        let mut operands = |ids: &[TensorId]| {
            let found = ids.iter().map(|id| self.find(*id));
            found.collect::<Option<Vec<_>>>()
        };
        match own {
            Own::Product(ids, connections) => {
                let [x, values] = operands(ids)?.try_into().ok()?;
                self.builder.sparse_product(&x, &values, connections)
            }
            Own::ProductInput(ids, connections) => {
                let [gradient, values] = operands(ids)?.try_into().ok()?;
                let (transposed, order) = connections.transposed()?;
                let shape = [1, order.len()];
                let values = self.builder.listed(&values, order, &shape);
                self.builder.sparse_product(&gradient, &values, &transposed)
            }
            Own::ProductWeights(ids, connections) => {
                let [x, gradient] = operands(ids)?.try_into().ok()?;
                self.builder.weights_gradient(&x, &gradient, connections)
            }
            Own::Solve(ids, tree, transposed) => {
                let [diagonal, mut edges, rhs] = operands(ids)?.try_into().ok()?;
                if *transposed {
                    let nodes = tree.len() as u32;
                    let list = (nodes..2 * nodes).chain(0..nodes).collect();
                    edges = self.builder.listed(&edges, list, &[2, tree.len()]);
                }
                Some(self.builder.tree_solve(&diagonal, &edges, &rhs, tree))
            }
            Own::Advance(of, ids, shape) => {
                let mut all = operands(ids)?;
                let (each, shared) = (all.pop()?, all.pop()?);
                if let Some(inflow) = all.last_mut()
                    && inflow.len() == 0
                {
                    *inflow = self.builder.number(0.0, shape);
                }
                let cells = of.cells();
                for slot in of.constants() {
                    let (table, row, width) = match *slot {
                        Slot::Number(value) => {
                            all.push(self.builder.number(value, &[1, 1]));
                            continue;
                        }
                        Slot::Shared(row) => (&shared, row, 1),
                        Slot::Each(row) => (&each, row, cells),
                    };
                    let places = row * width..(row + 1) * width;
                    let places = places.map(|place| place as u32).collect();
                    all.push(self.builder.listed(table, places, &[1, width]));
                }
                self.builder.advance(of.clone(), &all, shape)
            }
            Own::SolveEdges(ids, tree) => {
                let [x, adjoint] = operands(ids)?.try_into().ok()?;
                self.builder.edges_gradient(&x, &adjoint, tree)
            }
        }
    }

    fn get(&mut self, tensor: &TensorIr) -> Option<Value> {
        self.find(tensor.id)
    }

    fn set(&mut self, tensor: &TensorIr, value: Value) -> Option<()> {
        // Floating-point numbers of another precision would be rounded otherwise.
        if tensor.dtype.is_float() && tensor.dtype != self.dtype {
            return None;
        }
        self.values.insert(tensor.id, value);
        Some(())
    }

    fn unary(&mut self, f: Unary, op: &UnaryOpIr) -> Option<()> {
        let x = self.get(&op.input)?;
        let value = self.builder.unary(f, &x);
        self.set(&op.out, value)
    }

    fn binary(&mut self, f: Binary, op: &BinaryOpIr) -> Option<()> {
        let (x, y) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
        let value = self.builder.binary(f, &x, &y, dims(&op.out))?;
        self.set(&op.out, value)
    }

    /// With the operands in the other order.
    fn turned(&mut self, f: Binary, op: &BinaryOpIr) -> Option<()> {
        let (x, y) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
        let value = self.builder.binary(f, &y, &x, dims(&op.out))?;
        self.set(&op.out, value)
    }

    fn scalar(&mut self, f: Binary, op: &ScalarOpIr) -> Option<()> {
        let x = self.get(&op.lhs)?;
        let y = self.builder.number(number(op.rhs), &x.shape);
        let value = self.builder.binary(f, &x, &y, dims(&op.out))?;
        self.set(&op.out, value)
    }

    fn turned_scalar(&mut self, f: Binary, op: &ScalarOpIr) -> Option<()> {
        let x = self.get(&op.lhs)?;
        let y = self.builder.number(number(op.rhs), &x.shape);
        let value = self.builder.binary(f, &y, &x, dims(&op.out))?;
        self.set(&op.out, value)
    }

    /// A power of a small whole number is one of multiplications.
    fn power(&mut self, op: &ScalarOpIr) -> Option<()> {
        let exponent = number(op.rhs);
        let whole = exponent.fract() == 0.0 && exponent.abs() <= 4.0;
        self.scalar(
            if whole {
                Binary::WholePower
            } else {
                Binary::Power
            },
            op,
        )
    }

    fn add(&mut self, operation: &OperationIr) -> Option<()> {
        if matches!(operation, OperationIr::Init(_) | OperationIr::Drop(_)) {
            return Some(());
        }
        // Places in a buffer are counted in 32 bits.
        let len = |tensor: &TensorIr| dims(tensor).iter().product::<usize>();
        if operation
            .nodes()
            .iter()
            .any(|tensor| u32::try_from(len(tensor)).is_err())
        {
            return None;
        }
        let outputs: Vec<&TensorIr> = operation.outputs().collect();
        if outputs.iter().all(|tensor| len(tensor) == 0) {
            for tensor in outputs {
                let value = self.builder.nothing(dims(tensor));
                self.values.insert(tensor.id, value);
            }
            return Some(());
        }
        if let [out] = outputs[..]
            && self.own.contains_key(&out.id)
        {
            // What stands for an operation of this crate. Where it is not one of a script, who needs it says so.
            let _: Option<Value> = self.find(out.id);
            return Some(());
        }
        match operation {
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op) => {
                self.base(op)
            }
            OperationIr::NumericFloat(_, op) => self.numeric(op),
            OperationIr::NumericInt(_, op) => match op {
                // Whole numbers divide otherwise, and have no powers of less than 0.
                Numeric::Powi(_) | Numeric::PowiScalar(_) => None,
                Numeric::Div(_)
                | Numeric::DivScalar(_)
                | Numeric::MeanDim(_)
                | Numeric::Mean(_) => None,
                op => self.numeric(op),
            },
            OperationIr::Bool(op) => match op {
                // 0 and 1 are the same in every precision.
                Bool::IntoFloat(op) | Bool::IntoInt(op) => {
                    let x = self.get(&op.input)?;
                    self.values.insert(op.out.id, x);
                    Some(())
                }
                Bool::Not(op) => self.unary(Unary::Not, op),
                Bool::And(op) => self.binary(Binary::And, op),
                Bool::Or(op) => self.binary(Binary::Or, op),
                Bool::Xor(op) => self.binary(Binary::NotEqual, op),
            },
            OperationIr::Int(burn_ir::IntOperationIr::IntoFloat(op)) => {
                let x = self.get(&op.input)?;
                self.set(&op.out, x)
            }
            OperationIr::Float(_, op) => self.float(op),
            OperationIr::Activation(op) => self.activation(op),
            _ => None,
        }
    }

    fn activation(&mut self, op: &Activation) -> Option<()> {
        match op {
            Activation::Relu(op) => {
                let x = self.get(&op.input)?;
                let zero = self.builder.number(0.0, &x.shape);
                let value = self
                    .builder
                    .binary(Binary::Greatest, &x, &zero, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Activation::Sigmoid(op) => self.unary(Unary::Sigmoid, op),
            Activation::ReluBackward(op) => {
                let (x, slope) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
                let shape = dims(&op.out);
                let zero = self.builder.number(0.0, shape);
                let below = self
                    .builder
                    .binary(Binary::GreaterOrEqual, &zero, &x, shape)?;
                let value = self.builder.choose(&below, &zero, &slope, shape)?;
                self.set(&op.out, value)
            }
            // σ′ = σ (1 − σ)
            Activation::SigmoidBackward(op) => {
                let (x, slope) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
                let shape = dims(&op.out);
                let one = self.builder.number(1.0, shape);
                let rest = self.builder.binary(Binary::Subtract, &one, &x, shape)?;
                let own = self.builder.binary(Binary::Multiply, &x, &rest, shape)?;
                let value = self.builder.binary(Binary::Multiply, &own, &slope, shape)?;
                self.set(&op.out, value)
            }
            // d/dx ln σ(x) = σ(−x)
            Activation::LogSigmoidBackward(op) => {
                let (x, slope) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
                let x = self.builder.unary(Unary::Negate, &x);
                let own = self.builder.unary(Unary::Sigmoid, &x);
                let value = self
                    .builder
                    .binary(Binary::Multiply, &own, &slope, dims(&op.out))?;
                self.set(&op.out, value)
            }
            // ln σ(x) = −ln(1 + e⁻ˣ)
            Activation::LogSigmoid(op) => {
                let x = self.get(&op.input)?;
                let x = self.builder.unary(Unary::Negate, &x);
                let x = self.builder.unary(Unary::Softplus, &x);
                let value = self.builder.unary(Unary::Negate, &x);
                self.set(&op.out, value)
            }
            _ => None,
        }
    }

    fn float(&mut self, op: &Float) -> Option<()> {
        match op {
            Float::Exp(op) => self.unary(Unary::Exponential, op),
            Float::Log(op) => self.unary(Unary::Logarithm, op),
            Float::Log1p(op) => self.unary(Unary::LogarithmOfOneMore, op),
            Float::Sqrt(op) => self.unary(Unary::SquareRoot, op),
            Float::Sin(op) => self.unary(Unary::Sine, op),
            Float::Cos(op) => self.unary(Unary::Cosine, op),
            Float::Tanh(op) => self.unary(Unary::Tanh, op),
            Float::Round(op) => self.unary(Unary::Round, op),
            Float::Floor(op) => self.unary(Unary::Floor, op),
            Float::Ceil(op) => self.unary(Unary::Ceiling, op),
            Float::Recip(op) => self.unary(Unary::Reciprocal, op),
            Float::IsNan(op) => self.unary(Unary::IsNan, op),
            Float::PowfScalar(op) => self.power(op),
            Float::Powf(op) => self.binary(Binary::Power, op),
            Float::Matmul(op) => {
                let (left, right) = (self.get(&op.lhs)?, self.get(&op.rhs)?);
                let value = self.builder.product(&left, &right, dims(&op.out))?;
                self.set(&op.out, value)
            }
            _ => None,
        }
    }

    fn numeric(&mut self, op: &Numeric) -> Option<()> {
        match op {
            Numeric::Add(op) => self.binary(Binary::Add, op),
            Numeric::AddScalar(op) => self.scalar(Binary::Add, op),
            Numeric::Sub(op) => self.binary(Binary::Subtract, op),
            Numeric::SubScalar(op) => self.scalar(Binary::Subtract, op),
            Numeric::Mul(op) => self.binary(Binary::Multiply, op),
            Numeric::MulScalar(op) => self.scalar(Binary::Multiply, op),
            Numeric::Div(op) => self.binary(Binary::Divide, op),
            Numeric::DivScalar(op) => self.scalar(Binary::Divide, op),
            Numeric::Abs(op) => self.unary(Unary::Absolute, op),
            Numeric::Neg(op) => self.unary(Unary::Negate, op),
            Numeric::Sign(op) => self.unary(Unary::Sign, op),
            Numeric::Powi(op) => self.binary(Binary::Power, op),
            Numeric::PowiScalar(op) => self.power(op),
            Numeric::Greater(op) => self.binary(Binary::Greater, op),
            Numeric::GreaterElem(op) => self.scalar(Binary::Greater, op),
            Numeric::GreaterEqual(op) => self.binary(Binary::GreaterOrEqual, op),
            Numeric::GreaterEqualElem(op) => self.scalar(Binary::GreaterOrEqual, op),
            Numeric::Lower(op) => self.turned(Binary::Greater, op),
            Numeric::LowerElem(op) => self.turned_scalar(Binary::Greater, op),
            Numeric::LowerEqual(op) => self.turned(Binary::GreaterOrEqual, op),
            Numeric::LowerEqualElem(op) => self.turned_scalar(Binary::GreaterOrEqual, op),
            Numeric::ClampMin(op) => self.scalar(Binary::Greatest, op),
            Numeric::ClampMax(op) => self.scalar(Binary::Least, op),
            Numeric::Clamp(op) => {
                let x = self.get(&op.tensor)?;
                let low = self.builder.number(number(op.min), &x.shape);
                let high = self.builder.number(number(op.max), &x.shape);
                let x = self
                    .builder
                    .binary(Binary::Greatest, &x, &low, dims(&op.out))?;
                let value = self
                    .builder
                    .binary(Binary::Least, &x, &high, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Numeric::Full(op) => {
                let value = self.builder.number(number(op.value), dims(&op.out));
                self.set(&op.out, value)
            }
            Numeric::SumDim(op) => {
                let x = self.get(&op.input)?;
                let value = self.builder.sum(&x, op.axis, 1.0, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Numeric::SumDims(op) => {
                let x = self.get(&op.input)?;
                let mut shape = x.shape.clone();
                let mut value = x;
                // The last axis first, whose elements lie side by side.
                let mut axes = op.axes.clone();
                axes.sort_unstable_by(|a, b| b.cmp(a));
                for axis in axes {
                    *shape.get_mut(axis)? = 1;
                    value = self.builder.sum(&value, axis, 1.0, &shape)?;
                }
                let value = self.builder.reshaped(&value, dims(&op.out));
                self.set(&op.out, value)
            }
            Numeric::MeanDim(op) => {
                let x = self.get(&op.input)?;
                let count = *x.shape.get(op.axis)?;
                let value = self.builder.sum(&x, op.axis, count as f64, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Numeric::Sum(op) => {
                let x = self.get(&op.input)?;
                let row = self.builder.reshaped(&x, &[x.len()]);
                let value = self.builder.sum(&row, 0, 1.0, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Numeric::Mean(op) => {
                let x = self.get(&op.input)?;
                let row = self.builder.reshaped(&x, &[x.len()]);
                let value = self.builder.sum(&row, 0, x.len() as f64, dims(&op.out))?;
                self.set(&op.out, value)
            }
            _ => None,
        }
    }

    /// The places of the elements with these indices along an axis.
    fn chosen(&self, x: &Value, axis: usize, list: &Value) -> Option<Vec<u32>> {
        let list = self.builder.values(list)?;
        // A number in single precision is a whole one to the last digit below this.
        let exact = if size_of::<T>() == 4 {
            16_777_216.0
        } else {
            4_294_967_296.0
        };
        if list.iter().any(|index| *index < 0.0 || *index >= exact) {
            return None;
        }
        let inner: usize = x.shape.get(axis + 1..)?.iter().product();
        let middle = *x.shape.get(axis)?;
        let outer: usize = x.shape[..axis].iter().product();
        let mut places = Vec::with_capacity(outer * list.len() * inner);
        for block in 0..outer {
            for index in &list {
                let at = (block * middle + *index as usize) * inner;
                places.extend((at..at + inner).map(|at| at as u32));
            }
        }
        let fits = places.iter().all(|at| (*at as usize) < x.len());
        fits.then_some(places)
    }

    fn base(&mut self, op: &Base) -> Option<()> {
        match op {
            Base::Reshape(op) => {
                let x = self.get(&op.input)?;
                let value = self.builder.reshaped(&x, dims(&op.out));
                self.set(&op.out, value)
            }
            Base::Expand(op) => {
                let x = self.get(&op.input)?;
                let value = self.builder.expanded(&x, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Base::SwapDims(op) => {
                let x = self.get(&op.input)?;
                let mut steps = strides(&x.shape);
                steps.swap(op.dim1, op.dim2);
                let value = self.builder.picked(&x, dims(&op.out), &steps, 0);
                self.set(&op.out, value)
            }
            Base::Permute(op) => {
                let x = self.get(&op.input)?;
                let own = strides(&x.shape);
                let steps: Vec<usize> = op.axes.iter().map(|axis| own[*axis]).collect();
                let value = self.builder.picked(&x, dims(&op.out), &steps, 0);
                self.set(&op.out, value)
            }
            Base::Slice(op) => {
                let x = self.get(&op.tensor)?;
                let (first, steps) = sliced(&x.shape, &op.ranges)?;
                let value = self.builder.picked(&x, dims(&op.out), &steps, first);
                self.set(&op.out, value)
            }
            Base::SliceAssign(op) => {
                let (x, value) = (self.get(&op.tensor)?, self.get(&op.value)?);
                let (first, steps) = sliced(&x.shape, &op.ranges)?;
                let places = places(&value.shape, &steps, first);
                let value = self.builder.placed(&x, &value, &places, dims(&op.out));
                self.set(&op.out, value)
            }
            Base::Select(op) => {
                let (x, list) = (self.get(&op.tensor)?, self.get(&op.indices)?);
                let places = self.chosen(&x, op.dim, &list)?;
                let value = self.builder.listed(&x, places, dims(&op.out));
                self.set(&op.out, value)
            }
            Base::SelectAssign(op) => {
                if op.update != IndexingUpdateOp::Add {
                    return None;
                }
                let (x, list) = (self.get(&op.tensor)?, self.get(&op.indices)?);
                let value = self.get(&op.value)?;
                let places = self.chosen(&x, op.dim, &list)?;
                let value = self.builder.scattered(&value, &places, &x.shape)?;
                let value = self
                    .builder
                    .binary(Binary::Add, &x, &value, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Base::RepeatDim(op) => {
                let x = self.get(&op.tensor)?;
                let shape = dims(&op.out).to_vec();
                let len = *x.shape.get(op.dim)?;
                // An axis of repeats before the one that is repeated.
                let mut wide = shape.clone();
                wide[op.dim] = len;
                wide.insert(op.dim, op.times);
                let mut steps = strides(&x.shape);
                steps.insert(op.dim, 0);
                let value = self.builder.picked(&x, &wide, &steps, 0);
                let value = self.builder.reshaped(&value, &shape);
                self.set(&op.out, value)
            }
            Base::Cat(op) => {
                let mut parts = Vec::with_capacity(op.tensors.len());
                for tensor in &op.tensors {
                    let value = self.get(tensor)?;
                    let inner: usize = value.shape.get(op.dim..)?.iter().product();
                    let single = self.builder.is_single(&value);
                    parts.push((value.slot, inner, single));
                }
                let outer: usize = dims(&op.out).get(..op.dim)?.iter().product();
                let mut pieces = Vec::with_capacity(outer * parts.len());
                for block in 0..outer {
                    for (slot, inner, single) in parts.iter().filter(|(_, inner, _)| *inner > 0) {
                        pieces.push(Piece {
                            from: *slot,
                            elements: match single {
                                true => Elements::Repeated(*inner),
                                false => Elements::Range(block * inner..(block + 1) * inner),
                            },
                        });
                    }
                }
                let value = self.builder.gather(pieces, dims(&op.out));
                self.set(&op.out, value)
            }
            Base::MaskWhere(op) => {
                let (x, mask, value) = (
                    self.get(&op.tensor)?,
                    self.get(&op.mask)?,
                    self.get(&op.value)?,
                );
                let value = self.builder.choose(&mask, &value, &x, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Base::MaskFill(op) => {
                let (x, mask) = (self.get(&op.tensor)?, self.get(&op.mask)?);
                let value = self.builder.number(number(op.value), &x.shape);
                let value = self.builder.choose(&mask, &value, &x, dims(&op.out))?;
                self.set(&op.out, value)
            }
            Base::Equal(op) => self.binary(Binary::Equal, op),
            Base::EqualElem(op) => self.scalar(Binary::Equal, op),
            Base::NotEqual(op) => self.binary(Binary::NotEqual, op),
            Base::NotEqualElem(op) => self.scalar(Binary::NotEqual, op),
            Base::Cast(op) => {
                let x = self.get(&op.input)?;
                self.set(&op.out, x)
            }
            Base::Ones(op) => {
                let value = self.builder.number(1.0, dims(&op.out));
                self.set(&op.out, value)
            }
            Base::Zeros(op) => {
                let value = self.builder.number(0.0, dims(&op.out));
                self.set(&op.out, value)
            }
            _ => None,
        }
    }
}
