//! A step of a model as a list of operations on the host, taken many times in a call.
//!
//! A [`Script`] maps a state and what is given for a step to the state after it, `x ← f(x, u)`, and to what is seen of the step.
//! It is [recorded](record) from the tensor operations of one step, whatever model they belong to. What does not change from
//! step to step is computed once; products by a matrix that is mostly zeros, or by rows that are, skip the zeros; a variable that
//! takes the place of another moves without a copy.
//!
//! Where every operation is one of element by element, the elements are divided into tiles that run through all steps of a
//! call, each in a processor's own cache, side by side; on a GPU such a script in f32 is one kernel. Where besides there are only
//! products of all elements by square matrices, as in a network of cells, each thread has a tile, and they tell each other what
//! they multiply. Else the steps run one after the other over whole arrays. What follows from an event, a spike for example, is left out for blocks of elements that have none.
//! A result is the same bit for bit in any way, and whatever the number of threads.
//!
//! On a CPU a step of at least 8 [cells with channels](crate::ConductanceStep) is one operation for each of their variables, the
//! kernel of the step by itself, whose numbers it has bit for bit. Fewer cells, cables and the way back are recorded operation by
//! operation.
//!
//! A step may be the way back of another one: the operations of Burn's gradient are recorded as any others ([`record_once`]), and
//! what they give are the adjoint of the state before the step and the gradients of parameters so far.
//!
//! The order of operations is that of the recorded step. Additions, products, quotients and roots of elements are those of
//! Burn's operations bit for bit; elementary functions are [those of this crate](crate::firing_rate()), within 3 units in the last
//! place; sums and matrix products add their terms from first to last. Whole numbers are carried as floating-point ones.

mod build;
mod cpu;
#[cfg(gpu)]
mod cube;
mod fork;
mod given;
mod instruction;
mod record;
mod run;
mod team;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use given::Given;
pub(crate) use record::{Cells, record_cells, records, records_kernels};
pub use record::{Recorded, Unrecorded, plain, record, record_once, setting};
#[cfg(feature = "autodiff")]
pub use record::{Slopes, taped};
pub use run::{Run, Saved, See, Seen};

use std::fmt;
use std::sync::Arc;

use fork::Fork;
use instruction::{Instruction, Work};

/// Buffers are known by their place.
pub(crate) type Slot = usize;

/// A step as a list of operations in the precision `T`.
#[derive(Debug)]
pub(crate) struct Steps<T> {
    code: Vec<Instruction>,
    once: Once<T>,
    /// What products multiply by and stays the same in all steps; empty of what is made before them.
    matrices: Arc<[Vec<T>]>,
    /// The buffers at the beginning: constants, and zeros elsewhere.
    slots: Vec<Vec<T>>,
    /// The number of elements of each of them.
    lens: Vec<usize>,
    parts: Vec<Part>,
    /// How many of the states are variables of the step that was recorded; what follows them is added up by the steps.
    variables: usize,
    states: Vec<Slot>,
    /// What is given for each step.
    given: Vec<Slot>,
    /// Whether a step reads each of them.
    needed: Vec<bool>,
    seen: Vec<Slot>,
    /// What brings every variable to its place after a step, one after the other.
    swaps: Vec<(Slot, Slot)>,
    lanes: Lanes,
}

/// What is done once for a run, with what is set for it: before the steps, and with what they have added up.
#[derive(Debug)]
struct Once<T> {
    before: Vec<Instruction>,
    after: Vec<Instruction>,
    slots: Vec<Vec<T>>,
    settings: Vec<Slot>,
    /// From which of these buffers those of the steps are filled.
    buffers: Vec<(Slot, Slot)>,
    matrices: Vec<(Slot, usize)>,
    /// Where the sums of the steps go, each from its place among the states.
    sums: Vec<(usize, Slot)>,
    /// What comes to a variable of these buffers.
    results: Vec<(usize, Slot)>,
}

/// How the elements depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    /// So many, each of which goes its own way.
    Apart(usize),
    /// So many, which meet in products alone.
    Meeting(usize),
    Together,
}

/// Instructions that follow one another.
#[derive(Clone, Debug)]
struct Part {
    /// The first instruction that is not among them.
    end: usize,
    /// Whether they are of element by element, over buffers of one length: then all of them go over a block of elements at
    /// a time, which stays in the nearest cache.
    elementwise: bool,
    fork: Option<Fork>,
}

/// A step of a model as a list of operations.
#[derive(Debug)]
pub struct Script(pub(crate) Precision);

#[derive(Debug)]
pub(crate) enum Precision {
    F32(Steps<f32>),
    F64(Steps<f64>),
}

/// What is taken from either precision.
macro_rules! either {
    ($of:expr, $steps:ident => $body:expr) => {
        match $of {
            $crate::script::Precision::F32($steps) => $body,
            $crate::script::Precision::F64($steps) => $body,
        }
    };
}
#[cfg(all(test, feature = "flex"))]
use either;

impl Script {
    /// How many operations a step has.
    pub fn operations(&self) -> usize {
        either!(&self.0, steps => steps.code.len())
    }

    /// Whether every element goes its own way.
    pub fn is_elementwise(&self) -> bool {
        either!(&self.0, steps => matches!(steps.lanes, Lanes::Apart(_)))
    }

    /// How many multiplications by dense matrices a step has.
    pub fn multiplications(&self) -> usize {
        either!(&self.0, steps => steps.multiplications())
    }

    /// The number of elements of each thing that is [set](setting) once for a run.
    pub fn settings(&self) -> Vec<usize> {
        either!(&self.0, steps => {
            let settings = steps.once.settings.iter();
            settings.map(|slot| steps.once.slots[*slot].len()).collect()
        })
    }

    /// The number of elements of each variable of the state.
    pub fn states(&self) -> Vec<usize> {
        either!(&self.0, steps => steps.lengths(&steps.states[..steps.variables]))
    }

    /// The number of elements of what is given for each step.
    pub fn given(&self) -> Vec<usize> {
        either!(&self.0, steps => steps.lengths(&steps.given))
    }

    /// Of each thing that is given for a step whether the step reads it.
    pub fn needed(&self) -> &[bool] {
        either!(&self.0, steps => &steps.needed)
    }

    /// The number of elements of what is seen of each step.
    pub fn seen(&self) -> Vec<usize> {
        either!(&self.0, steps => steps.lengths(&steps.seen))
    }
}

/// One line an operation: the buffer that it fills, the number of its elements, and what they are made of.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        either!(&self.0, steps => {
            for Instruction { work, to } in &steps.code {
                writeln!(f, "%{to} [{}] {work}", steps.lens[*to])?;
            }
            Ok(())
        })
    }
}

impl<T> Steps<T> {
    fn multiplications(&self) -> usize {
        let products = self.code.iter().map(|instruction| match &instruction.work {
            Work::Product { inner, .. } => self.lens[instruction.to] * inner,
            _ => 0,
        });
        products.sum()
    }

    fn lengths(&self, slots: &[Slot]) -> Vec<usize> {
        slots.iter().map(|slot| self.lens[*slot]).collect()
    }

    /// Whether every buffer has one element.
    fn is_single(&self) -> bool {
        self.lanes == Lanes::Apart(1)
    }
}
