//! A variable of cells after a step as an operation of its own, one of those that a [script](crate::script) may have.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use burn::tensor::Tensor;

use super::cpu::{Constants, Given, Number, advance, gate_in_blocks};
use super::program::{MOST_READS, Moves, Program, Slot};
use super::sweep::Block;
use super::{ConductanceStep, Layout};
use crate::script::{Cells, record_cells, records, records_kernels};

/// Elements that are computed together.
const N: usize = 128;
/// A row of fewer cells is as quickly computed operation by operation, which the step by itself does not do.
const LEAST: usize = 8;

/// A variable after a step. Its operands are what its program reads, the inflow, and the constants of the program.
#[derive(Clone, Debug)]
pub(crate) struct Advance {
    layout: Arc<Layout>,
    program: usize,
    /// Blocks that its program needs besides what it reads and writes.
    scratch: usize,
    dt: f64,
}

/// Of the same cells.
impl PartialEq for Advance {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layout, &other.layout)
            && self.program == other.program
            && self.dt.to_bits() == other.dt.to_bits()
    }
}

impl Eq for Advance {}

impl Hash for Advance {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.program, self.dt.to_bits()).hash(state);
    }
}

/// The operands of a variable, each of as many elements as are computed, or of one that stands for all of them.
pub(crate) trait Operands<T> {
    /// The elements that are computed, of which there may be one.
    fn operand(&self, index: usize) -> &[T];

    /// Whether one stands for all, whichever are computed.
    fn is_single(&self, index: usize) -> bool;
}

/// Where variables are computed.
pub(crate) struct Room<T> {
    /// A block of what is read, one of what is computed, and what the program needs besides.
    blocks: Vec<Block<T, N>>,
    held: Held<T>,
    /// Of the variables whose constants stay the same, by their numbers.
    known: Vec<Option<Held<T>>>,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            held: Held::Shared(Vec::new()),
            known: Vec::new(),
        }
    }
}

/// The constants of a program.
enum Held<T> {
    /// The same for all elements.
    Shared(Vec<T>),
    /// Where some are not.
    Each {
        /// A block full of each that is the same for all; the others stay where they are.
        same: Vec<Block<T, N>>,
        /// Where all but the drive of a voltage are the same for all: they, and 0 for it. It then stands in the place of an inflow of 0.
        but_drive: Option<Vec<T>>,
    },
}

impl<T: Number> Held<T> {
    /// The operands from `first` on that are the constants of `program`.
    fn of(operands: &impl Operands<T>, first: usize, program: &Program) -> Self {
        let count = program.slots.len();
        let single = |index: usize| match operands.operand(index) {
            [one, ..] if operands.is_single(index) => Some(*one),
            _ => None,
        };
        let all = first..first + count;
        match all.clone().map(single).collect() {
            Some(shared) => Self::Shared(shared),
            None => {
                let full_of = |index| Block::of(single(index).unwrap_or(T::ZERO));
                let but_drive = program.drive().and_then(|drive| {
                    let one = |index| match index {
                        _ if index == first + drive => Some(T::ZERO),
                        _ => single(index),
                    };
                    all.clone().map(one).collect()
                });
                Self::Each {
                    same: all.map(full_of).collect(),
                    but_drive,
                }
            }
        }
    }
}

/// Constants of a block of elements, of which some are the same for all.
struct OfBlock<'a, T, O> {
    same: &'a [Block<T, N>],
    operands: &'a O,
    /// The first of them.
    first: usize,
    /// The first element, where there is a whole block.
    from: Option<usize>,
}

impl<T, O> Clone for OfBlock<'_, T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O> Copy for OfBlock<'_, T, O> {}

impl<'a, T: Number, O: Operands<T>> Constants<T, N> for OfBlock<'a, T, O> {
    const SHARED: bool = false;
    type One = &'a [T; N];

    #[inline(always)]
    fn one(self, index: usize) -> &'a [T; N] {
        let own = self.from.and_then(|from| {
            let values = self.operands.operand(self.first + index);
            values.get(from..from + N)?.try_into().ok()
        });
        own.unwrap_or(&self.same[index])
    }
}

/// Whether a step of cells on this device is recorded as a step of cells.
pub(super) fn is_recorded(cells: usize, like: &Tensor<2>) -> bool {
    cells >= LEAST && records(like) && records_kernels() && !like.device().is_autodiff()
}

/// The state, v first, after a step that is recorded; `None` where something is on a tape.
pub(super) fn record(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    dt: f64,
) -> Option<Vec<Tensor<2>>> {
    let layout = &cells.layout;
    let inflow = inflow.unwrap_or_else(|| cells.nothing.clone());
    // Gates, concentrations, voltage.
    let mut moved: Vec<Tensor<2>> = Vec::with_capacity(layout.states);
    for (program, own) in layout.programs.iter().enumerate() {
        let reads = own.reads.iter().map(|read| {
            if read.moved {
                moved.get(read.state - 1)
            } else {
                state.get(read.state)
            }
        });
        let reads = reads.collect::<Option<Vec<_>>>()?;
        let of = Advance {
            layout: Arc::clone(layout),
            program,
            scratch: own.scratch(),
            dt,
        };
        let next = record_cells(Cells {
            of,
            reads: &reads,
            inflow: &inflow,
            tables: [&cells.shared, &cells.each],
        })?;
        moved.push(next);
    }
    moved.rotate_right(1);
    Some(moved)
}

impl Advance {
    /// Where its constants are found.
    pub(crate) fn constants(&self) -> &[Slot] {
        &self.layout.programs[self.program].slots
    }

    /// The cells of a row.
    pub(crate) fn cells(&self) -> usize {
        self.layout.cells
    }

    /// The place of its first constant among its operands: after what its program reads, and the inflow.
    pub(crate) fn first_constant(&self) -> usize {
        self.layout.programs[self.program].reads.len() + 1
    }

    /// Computes the variable. `number` is its own, where its constants are the same whenever it is computed in this room.
    ///
    /// `#[inline(always)]` so that kernels may call it.
    #[inline(always)]
    pub(crate) fn run<T: Number, const FUSED: bool>(
        &self,
        operands: &impl Operands<T>,
        number: Option<usize>,
        out: &mut [T],
        room: &mut Room<T>,
    ) {
        let program = &self.layout.programs[self.program];
        let first = self.first_constant();
        let Room {
            blocks,
            held,
            known,
        } = room;
        let all = first + 1 + self.scratch;
        if blocks.len() < all {
            blocks.resize(all, Block::of(T::ZERO));
        }
        let held = match number {
            Some(number) => {
                if known.len() <= number {
                    known.resize_with(number + 1, || None);
                }
                known[number].get_or_insert_with(|| Held::of(operands, first, program))
            }
            None => {
                *held = Held::of(operands, first, program);
                held
            }
        };
        let (reads, rest) = blocks.split_at_mut(first);
        let Some((padded, scratch)) = rest.split_first_mut() else {
            return;
        };
        for (index, block) in reads.iter_mut().enumerate() {
            if let [one] = operands.operand(index) {
                *block = Block::of(*one);
            }
        }
        let dt = T::of(self.dt);
        // Where each element has its own constants, to read them takes longer than what is kept in between.
        let left = match (&program.moves, &*held) {
            (Moves::Gate(motion), Held::Shared(constants)) => {
                let mut given: [&[T]; MOST_READS] = [&[]; MOST_READS];
                for (index, place) in given[..first - 1].iter_mut().enumerate() {
                    *place = operands.operand(index);
                }
                gate_in_blocks::<T, FUSED, N>(motion, &given, constants, dt, out)
            }
            _ => None,
        };
        let left = left.unwrap_or(u64::MAX);
        let without_inflow = matches!(operands.operand(first - 1), [zero] if *zero == T::ZERO);
        for (block, out) in out.chunks_mut(N).enumerate() {
            let (from, len) = (block * N, out.len());
            let whole = len == N;
            if whole && block < 64 && left & (1 << block) == 0 {
                continue;
            }
            // What is read of a whole block is read where it is.
            if !whole {
                copy_rest(operands, 0, reads, from);
                if let Held::Each { same, .. } = held {
                    copy_rest(operands, first, same, from);
                }
            }
            let read = |index: usize| {
                let values = operands.operand(index).get(from..from + N);
                let whole = values.and_then(|values| values.try_into().ok());
                whole.unwrap_or(&reads[index].0)
            };
            let inflow = read(first - 1);
            let mut given = [inflow; MOST_READS];
            for (index, place) in given[..first - 1].iter_mut().enumerate() {
                *place = read(index);
            }
            let next = match <&mut [T; N]>::try_from(&mut *out) {
                Ok(next) => next,
                Err(_) => &mut padded.0,
            };
            let reads = &given;
            let done = match held {
                Held::Shared(constants) => {
                    let constants = &constants[..];
                    let given = Given { reads, constants };
                    advance::<T, _, FUSED, N>(program, &given, inflow, dt, scratch, (next, None))
                }
                Held::Each { same, but_drive } => {
                    let each = OfBlock {
                        same: &same[..],
                        operands,
                        first,
                        from: whole.then_some(from),
                    };
                    match (but_drive, program.drive().filter(|_| without_inflow)) {
                        (Some(shared), Some(drive)) => {
                            let constants = &shared[..];
                            let given = Given { reads, constants };
                            let (inflow, out) = (each.one(drive), (next, None));
                            advance::<T, _, FUSED, N>(program, &given, inflow, dt, scratch, out)
                        }
                        _ => {
                            let constants = each;
                            let given = Given { reads, constants };
                            let out = (next, None);
                            advance::<T, _, FUSED, N>(program, &given, inflow, dt, scratch, out)
                        }
                    }
                }
            };
            debug_assert!(done.is_some(), "a program of another step");
            if !whole {
                out.copy_from_slice(&padded[..len]);
            }
        }
    }
}

/// What is left of the operands from `first` on that have elements of their own, `from` and those after it.
fn copy_rest<T: Number>(
    operands: &impl Operands<T>,
    first: usize,
    blocks: &mut [Block<T, N>],
    from: usize,
) {
    for (index, block) in blocks.iter_mut().enumerate() {
        if !operands.is_single(first + index) {
            let rest = &operands.operand(first + index)[from..];
            block[..rest.len()].copy_from_slice(rest);
        }
    }
}
