//! Recording the tensor operations of a step, and what they are in a script.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::backend::Capture;
use burn::backend::capture::CapturedGraph;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_ir::{
    ActivationOperationIr as Activation, BaseOperationIr as Base, BinaryOpIr,
    BoolOperationIr as Bool, FloatOperationIr as Float, NumericOperationIr as Numeric, OperationIr,
    ScalarIr, ScalarOpIr, TensorId, TensorIr, UnaryOpIr,
};

use super::build::{Builder, Value, strides};
use super::cpu::Number;
use super::instruction::{Binary, Elements, Piece, Unary};
use super::{Precision, Script, Steps};
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
    let primitive = tensor.clone().try_into_primitive::<Capture>();
    primitive.ok().map(|tensor| tensor.id())
}

/// An operation of this crate that Burn does not know.
#[derive(Clone)]
enum Own<X> {
    /// Both operands.
    Product(X, X, Connections),
    /// The diagonal, the edges and the right-hand side.
    Solve(X, X, X, Tree),
}

thread_local! {
    /// The device that records on this thread: there are 65,536 in a process.
    static DEVICE: Device = Device::capture();
    /// Those of the step that is recorded on this thread, and what stands for their results.
    static OWN: RefCell<Vec<(Tensor<2>, Own<Tensor<2>>)>> = const { RefCell::new(Vec::new()) };
}

/// What stands for the result of an operation, `shape`, while a step is recorded; `None` where none is.
fn record_own(
    x: &Tensor<2>,
    shape: [usize; 2],
    own: impl FnOnce() -> Own<Tensor<2>>,
) -> Option<Tensor<2>> {
    id(x)?;
    let data = TensorData::new(vec![0.0_f64; shape[0] * shape[1]], shape);
    let out = Tensor::<2>::from_data(data, (&x.device(), x.dtype()));
    OWN.with_borrow_mut(|all| all.push((out.clone(), own())));
    Some(out)
}

/// [`crate::sparse_product()`], where a step is recorded.
pub(crate) fn record_product(
    x: &Tensor<2>,
    values: &Tensor<2>,
    connections: &Connections,
) -> Option<Tensor<2>> {
    let shape = [x.dims()[0], connections.columns()];
    record_own(x, shape, || {
        Own::Product(x.clone(), values.clone(), connections.clone())
    })
}

/// [`crate::tree_solve()`], where a step is recorded.
pub(crate) fn record_solve(
    diagonal: &Tensor<2>,
    edges: &Tensor<2>,
    rhs: &Tensor<2>,
    tree: &Tree,
) -> Option<Tensor<2>> {
    record_own(rhs, rhs.dims(), || {
        Own::Solve(diagonal.clone(), edges.clone(), rhs.clone(), tree.clone())
    })
}

/// The steps that are recorded: the first two, and a late one.
const STEPS: [usize; 3] = [0, 1, 1_000_003];

/// What is on a thread while it records, until this is dropped.
struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        OWN.take();
    }
}

/// Records a step. `states` and `given` are the shapes of the variables and of what is given for each step;
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
    dtype: DType,
    states: &[[usize; 2]],
    given: &[[usize; 2]],
    step: impl FnMut(usize, &Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Script, Unrecorded<E>> {
    let device = DEVICE.with(Device::clone);
    let mut found = None;
    let captured = device.capture_scope(|scope| {
        found = Some(boundary((&device, dtype), states, given, step));
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

/// Takes both steps.
fn boundary<E>(
    (device, dtype): (&Device, DType),
    states: &[[usize; 2]],
    given: &[[usize; 2]],
    mut step: impl FnMut(usize, &Device, &[Tensor<2>], &[Tensor<2>]) -> Result<Recorded, E>,
) -> Result<Option<Boundary>, E> {
    let zeros = |shape: &[usize; 2]| {
        let data = TensorData::new(vec![0.0_f64; shape[0] * shape[1]], *shape);
        Tensor::<2>::from_data(data, (device, dtype))
    };
    let states: Vec<Tensor<2>> = states.iter().map(zeros).collect();
    let given: Vec<Tensor<2>> = given.iter().map(zeros).collect();
    let recording = Recording;
    let mut all = Vec::with_capacity(STEPS.len());
    for index in STEPS {
        all.push(step(index, device, &states, &given)?);
    }
    let own = OWN.take();
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
            own: own
                .iter()
                .map(|(out, own)| {
                    let own = match own {
                        Own::Product(x, values, connections) => {
                            Own::Product(id(x)?, id(values)?, connections.clone())
                        }
                        Own::Solve(diagonal, edges, rhs, tree) => {
                            Own::Solve(id(diagonal)?, id(edges)?, id(rhs)?, tree.clone())
                        }
                    };
                    Some((id(out)?, own))
                })
                .collect::<Option<_>>()?,
        })
    };
    Ok(boundary())
}

/// The tensors where all steps begin, and those of each.
struct Boundary {
    states: Vec<TensorId>,
    given: Vec<TensorId>,
    steps: Vec<Taken>,
    /// Operations of this crate by their results.
    own: HashMap<TensorId, Own<TensorId>>,
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
    own: &'a HashMap<TensorId, Own<TensorId>>,
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

    fn found(&mut self, ids: &[TensorId]) -> Result<Vec<Value>, String> {
        let found: Option<Vec<_>> = ids.iter().map(|id| self.find(*id)).collect();
        found.ok_or_else(|| "a tensor from elsewhere".into())
    }

    fn find(&mut self, id: TensorId) -> Option<Value> {
        if let Some(value) = self.values.get(&id) {
            return Some(value.clone());
        }
        let own = match self.own.get(&id) {
            Some(Own::Product(x, values, connections)) => {
                let (x, values) = (self.find(*x)?, self.find(*values)?);
                Some(self.builder.sparse_product(&x, &values, connections)?)
            }
            Some(Own::Solve(diagonal, edges, rhs, tree)) => {
                let (diagonal, edges) = (self.find(*diagonal)?, self.find(*edges)?);
                let rhs = self.find(*rhs)?;
                Some(self.builder.tree_solve(&diagonal, &edges, &rhs, tree))
            }
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
                let own = strides(&x.shape);
                let mut first = 0;
                let mut steps = own.clone();
                for (axis, range) in op.ranges.iter().enumerate() {
                    let step = usize::try_from(range.step).ok().filter(|step| *step > 0)?;
                    let len = isize::try_from(*x.shape.get(axis)?).ok()?;
                    let start = if range.start < 0 {
                        range.start + len
                    } else {
                        range.start
                    };
                    first += usize::try_from(start).ok()? * own[axis];
                    steps[axis] *= step;
                }
                let value = self.builder.picked(&x, dims(&op.out), &steps, first);
                self.set(&op.out, value)
            }
            Base::Select(op) => {
                let (x, list) = (self.get(&op.tensor)?, self.get(&op.indices)?);
                let list = self.builder.values(&list)?;
                // A number in single precision is a whole one to the last digit below this.
                let exact = if size_of::<T>() == 4 {
                    16_777_216.0
                } else {
                    4_294_967_296.0
                };
                if list.iter().any(|index| *index < 0.0 || *index >= exact) {
                    return None;
                }
                let inner: usize = x.shape.get(op.dim + 1..)?.iter().product();
                let middle = *x.shape.get(op.dim)?;
                let outer: usize = x.shape[..op.dim].iter().product();
                let mut places = Vec::with_capacity(outer * list.len() * inner);
                for block in 0..outer {
                    for index in &list {
                        let at = (block * middle + *index as usize) * inner;
                        places.extend((at..at + inner).map(|at| at as u32));
                    }
                }
                if places.iter().any(|at| *at as usize >= x.len()) {
                    return None;
                }
                let value = self.builder.listed(&x, places, dims(&op.out));
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
