//! A variable of cells after a step as an operation of its own, one of those that a [script](crate::script) may have.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use burn::tensor::Tensor;

use super::cpu::{Given, Number, advance};
use super::program::{MOST_READS, Slot};
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

/// Where variables are computed.
pub(crate) struct Room<T> {
    /// A block of what is read, one of what is computed, and what the program needs besides.
    blocks: Vec<Block<T, N>>,
    /// Constants that are the same for all elements.
    shared: Vec<T>,
    /// Where some are not, a block of each, and the number that it is full of.
    each: Vec<Block<T, N>>,
    full_of: Vec<Option<T>>,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            shared: Vec::new(),
            each: Vec::new(),
            full_of: Vec::new(),
        }
    }
}

/// Makes place for some, and keeps what is there for the next time.
fn reserve<T: Clone>(all: &mut Vec<T>, count: usize, empty: T) {
    if all.len() < count {
        all.resize(count, empty);
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

    /// Computes the variable. Each operand has as many elements as `out`, or one that stands for all of them.
    ///
    /// `#[inline(always)]` so that kernels may call it.
    #[inline(always)]
    pub(crate) fn run<'a, T: Number, const FUSED: bool>(
        &self,
        operand: impl Fn(usize) -> &'a [T],
        out: &mut [T],
        room: &mut Room<T>,
    ) {
        let program = &self.layout.programs[self.program];
        // The operands before the constants are read, the inflow last.
        let first = program.reads.len() + 1;
        let count = program.slots.len();
        let Room {
            blocks,
            shared,
            each,
            full_of,
        } = room;
        let empty = Block::of(T::ZERO);
        reserve(blocks, first + 1 + program.scratch(), empty);
        shared.clear();
        for index in 0..count {
            if let [one] = operand(first + index) {
                shared.push(*one);
            }
        }
        let same = shared.len() == count;
        if !same {
            reserve(each, count, empty);
            reserve(full_of, count, None);
            for (index, (block, full_of)) in each.iter_mut().zip(full_of).take(count).enumerate() {
                match operand(first + index) {
                    [one] if *full_of == Some(*one) => {}
                    [one] => (*block, *full_of) = (Block::of(*one), Some(*one)),
                    _ => *full_of = None,
                }
            }
        }
        let (reads, rest) = blocks.split_at_mut(first);
        let Some((padded, scratch)) = rest.split_first_mut() else {
            return;
        };
        for (index, block) in reads.iter_mut().enumerate() {
            if let [one] = operand(index) {
                *block = Block::of(*one);
            }
        }
        let part = |index: usize, from: usize, len: usize| match operand(index) {
            [_] => None,
            values => Some(&values[from..from + len]),
        };
        let dt = T::of(self.dt);
        for (block, out) in out.chunks_mut(N).enumerate() {
            let (from, len) = (block * N, out.len());
            // What is read of a whole block is read where it is.
            if len < N {
                for (index, read) in reads.iter_mut().enumerate() {
                    if let Some(values) = part(index, from, len) {
                        read[..len].copy_from_slice(values);
                    }
                }
            }
            if !same {
                for (index, constant) in each.iter_mut().take(count).enumerate() {
                    if let Some(values) = part(first + index, from, len) {
                        constant[..len].copy_from_slice(values);
                    }
                }
            }
            let read = |index: usize| {
                let whole = part(index, from, len).and_then(|part| part.try_into().ok());
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
            let done = if same {
                let constants = &shared[..];
                let given = Given { reads, constants };
                advance::<T, _, FUSED, N>(program, &given, inflow, dt, scratch, (next, None))
            } else {
                let constants = &each[..count];
                let given = Given { reads, constants };
                advance::<T, _, FUSED, N>(program, &given, inflow, dt, scratch, (next, None))
            };
            debug_assert!(done.is_some(), "a program of another step");
            if len < N {
                out.copy_from_slice(&padded[..len]);
            }
        }
    }
}
