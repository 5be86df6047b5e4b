//! Many rows of elements in and out, in blocks that stay in the nearest cache.

use std::ops::{Deref, DerefMut};

use rayon::prelude::*;

use crate::firing_rate::elementary::Elementary;
use crate::vectorised::{Kernel, vectorised};

/// Elements of a task.
const TASK: usize = 1024;

/// Neighbouring elements, on whole lines of the cache: a vector that crosses two is loaded and stored twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Block<T, const N: usize>(pub(super) [T; N]);

impl<T: Copy, const N: usize> Block<T, N> {
    #[inline(always)]
    pub(super) fn of(value: T) -> Self {
        Self([value; N])
    }
}

impl<T, const N: usize> Deref for Block<T, N> {
    type Target = [T; N];

    #[inline(always)]
    fn deref(&self) -> &[T; N] {
        &self.0
    }
}

impl<T, const N: usize> DerefMut for Block<T, N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T; N] {
        &mut self.0
    }
}

/// What is computed of a block; `None` without the inputs and outputs that it has. `block` must be `#[inline(always)]`, as
/// for a [`Kernel`].
pub(super) trait Body<T>: Sync {
    /// Whether a few elements have a smaller block, each size of which is code of its own.
    const SMALL_BLOCKS: bool;

    /// Blocks to compute in.
    fn scratch(&self) -> usize;

    fn block<const FUSED: bool, const N: usize>(
        &self,
        input: &[Block<T, N>],
        output: &mut [Block<T, N>],
        scratch: &mut [Block<T, N>],
    ) -> Option<()>;
}

/// The elements of one input, of `rows × cells`.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a, T> {
    One(T),
    /// The same for every row.
    Cells(&'a [T]),
    /// One for each row.
    Rows(&'a [T]),
    All(&'a [T]),
}

/// What becomes of one output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    Nothing,
    Sum,
    All,
}

/// Copies elements, a whole block of them without a call.
#[inline(always)]
fn copy<T: Copy, const N: usize>(from: &[T], to: &mut [T]) {
    if let (Ok(from), Ok(to)) = (<&[T; N]>::try_from(from), <&mut [T; N]>::try_from(&mut *to)) {
        *to = *from;
    } else {
        to.copy_from_slice(from);
    }
}

impl<T: Copy> Operand<'_, T> {
    /// The elements from `first` on.
    #[inline(always)]
    fn fill<const N: usize>(&self, block: &mut [T], first: usize, cells: usize) {
        match self {
            Self::One(_) => {}
            Self::All(all) => copy::<T, N>(&all[first..first + block.len()], block),
            Self::Cells(_) | Self::Rows(_) => {
                let (mut row, mut cell) = (first / cells, first % cells);
                let mut rest = block;
                while !rest.is_empty() {
                    let (part, later) = rest.split_at_mut((cells - cell).min(rest.len()));
                    match self {
                        Self::Rows(rows) => part.fill(rows[row]),
                        Self::Cells(each) => part.copy_from_slice(&each[cell..cell + part.len()]),
                        _ => {}
                    }
                    rest = later;
                    (row, cell) = (row + 1, 0);
                }
            }
        }
    }
}

/// The outputs of `body` for `elements` in rows of `cells`: all of them, their sum, or none.
///
/// Elements are divided into tasks and blocks by their number alone. A block is computed whole, so that a few elements may have
/// a smaller one.
pub(super) fn sweep<T: Elementary, B: Body<T>>(
    body: &B,
    sizes: (usize, usize),
    inputs: &[Operand<'_, T>],
    sinks: &[Sink],
) -> Vec<Vec<T>> {
    if B::SMALL_BLOCKS && sizes.0 <= 8 {
        in_blocks::<T, B, 8>(body, sizes, inputs, sinks)
    } else if B::SMALL_BLOCKS && sizes.0 <= 64 {
        in_blocks::<T, B, 64>(body, sizes, inputs, sinks)
    } else {
        in_blocks::<T, B, 128>(body, sizes, inputs, sinks)
    }
}

fn in_blocks<T: Elementary, B: Body<T>, const N: usize>(
    body: &B,
    (elements, cells): (usize, usize),
    inputs: &[Operand<'_, T>],
    sinks: &[Sink],
) -> Vec<Vec<T>> {
    let tasks = elements.div_ceil(TASK);
    let mut outputs: Vec<Vec<T>> = Vec::with_capacity(sinks.len());
    outputs.extend(sinks.iter().map(|sink| match sink {
        Sink::Nothing => Vec::new(),
        Sink::Sum => vec![T::ZERO; tasks],
        Sink::All => vec![T::ZERO; elements],
    }));
    let mut parts: Vec<Vec<&mut [T]>> = Vec::with_capacity(tasks);
    parts.extend((0..tasks).map(|_| Vec::with_capacity(sinks.len())));
    for (output, sink) in outputs.iter_mut().zip(sinks) {
        let mut chunks = output.chunks_mut(if *sink == Sink::Sum { 1 } else { TASK });
        for part in &mut parts {
            part.push(chunks.next().unwrap_or_default());
        }
    }
    let room = || Room::new(body, inputs, sinks.len());
    let run = |room: &mut Room<T, N>, (task, outputs): (usize, Vec<&mut [T]>)| {
        let first = task * TASK;
        vectorised(Task {
            body,
            range: first..(first + TASK).min(elements),
            cells,
            inputs,
            sinks,
            outputs,
            room,
        });
    };
    // To wake another thread takes longer than one task.
    if tasks > 1 {
        parts.into_par_iter().enumerate().for_each_init(room, run);
    } else {
        let mut room = room();
        for part in parts.into_iter().enumerate() {
            run(&mut room, part);
        }
    }
    for (output, sink) in outputs.iter_mut().zip(sinks) {
        if *sink == Sink::Sum {
            *output = vec![sum(output)];
        }
    }
    outputs
}

#[inline(always)]
fn sum<T: Elementary>(values: &[T]) -> T {
    let mut sum = T::ZERO;
    for value in values {
        sum += *value;
    }
    sum
}

/// The blocks that tasks compute in, one after another: inputs, outputs, their sums, and the body's own.
struct Room<T, const N: usize> {
    blocks: Vec<Block<T, N>>,
    /// Which inputs are not the same for all elements.
    filled: Vec<usize>,
}

impl<T: Elementary, const N: usize> Room<T, N> {
    fn new(body: &impl Body<T>, inputs: &[Operand<'_, T>], outputs: usize) -> Self {
        let differs = |&index: &usize| !matches!(inputs[index], Operand::One(_));
        // In one piece, for memory on whole lines takes long to find.
        let length = inputs.len() + 2 * outputs + body.scratch();
        let mut blocks = Vec::with_capacity(length);
        blocks.extend(inputs.iter().map(|source| match source {
            Operand::One(value) => Block::of(*value),
            _ => Block::of(T::ZERO),
        }));
        blocks.resize(length, Block::of(T::ZERO));
        Self {
            blocks,
            filled: (0..inputs.len()).filter(differs).collect(),
        }
    }
}

struct Task<'a, T, B, const N: usize> {
    body: &'a B,
    range: std::ops::Range<usize>,
    cells: usize,
    inputs: &'a [Operand<'a, T>],
    sinks: &'a [Sink],
    outputs: Vec<&'a mut [T]>,
    room: &'a mut Room<T, N>,
}

impl<T: Elementary, B: Body<T>, const N: usize> Kernel for Task<'_, T, B, N> {
    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let Room { blocks, filled } = self.room;
        let (input, rest) = blocks.split_at_mut(self.inputs.len());
        let (output, rest) = rest.split_at_mut(self.outputs.len());
        let (sums, scratch) = rest.split_at_mut(self.outputs.len());
        sums.fill(Block::of(T::ZERO));
        for first in self.range.clone().step_by(N) {
            let length = N.min(self.range.end - first);
            for &index in &*filled {
                self.inputs[index].fill::<N>(&mut input[index][..length], first, self.cells);
            }
            let done = self.body.block::<FUSED, N>(input, output, scratch);
            assert!(
                done.is_some(),
                "conductance_step: {} inputs and {} outputs are not those of a step",
                self.inputs.len(),
                self.outputs.len()
            );
            let at = first - self.range.start;
            for (index, (block, sink)) in output.iter().zip(self.sinks).enumerate() {
                match sink {
                    Sink::Nothing => {}
                    Sink::All => {
                        copy::<T, N>(&block[..length], &mut self.outputs[index][at..at + length]);
                    }
                    Sink::Sum => {
                        for (sum, value) in sums[index].iter_mut().zip(&block[..length]) {
                            *sum += *value;
                        }
                    }
                }
            }
        }
        for ((total, sink), lanes) in self.outputs.iter_mut().zip(self.sinks).zip(&*sums) {
            if let (Sink::Sum, [total]) = (sink, &mut **total) {
                *total = sum(&lanes.0);
            }
        }
    }
}
