//! Shorter ways through a step where something that happens to few elements happens to none of a block.
//!
//! Cells that fire at a threshold compute when they crossed it, what is left of the step and what follows, and where a cell did
//! not cross it none of that is taken. [`Fork`] finds the mask that, were it 0 everywhere, would save the most: what follows from
//! zeros is computed at once, what is chosen by them is copied, and what nothing reads any more is left out.

use std::collections::HashMap;
use std::ops::Range;

use super::Slot;
use super::cpu::{Number, perform};
use super::instruction::{Binary, Instruction, Unary, Work};

/// The share of a part's cost that a way has to save.
const WORTH: f64 = 0.25;
/// The most masks that are tried in a part, from its beginning on.
const TRIED: usize = 24;
/// Longer parts have no fork.
const LONGEST: usize = 4096;

/// Two ways through the rest of a part.
#[derive(Clone, Debug)]
pub(crate) struct Fork {
    /// The first instruction of the rest.
    pub(crate) at: usize,
    /// What is known by then. Where it is 0 for all elements of a block, `quiet` takes the place of the rest.
    pub(crate) mask: Slot,
    pub(crate) quiet: Vec<Instruction>,
}

/// About how long an instruction takes, in additions.
fn cost(instruction: &Instruction) -> f64 {
    match instruction.work {
        Work::Unary(of, _) => match of {
            Unary::Exponential => 10.0,
            Unary::Logarithm | Unary::LogarithmOfOneMore | Unary::Tanh | Unary::Sigmoid => 20.0,
            Unary::Softplus | Unary::Sine | Unary::Cosine => 30.0,
            Unary::Reciprocal | Unary::SquareRoot => 5.0,
            _ => 1.0,
        },
        Work::Binary(Binary::Divide, ..) => 5.0,
        Work::Binary(Binary::Power | Binary::WholePower, ..) => 40.0,
        // A few exponentials.
        Work::Advance(_) => 60.0,
        _ => 1.0,
    }
}

fn total(code: &[Instruction]) -> f64 {
    code.iter().map(cost).sum()
}

/// What is known of the buffers between two parts.
pub(super) struct Known<'a> {
    /// Whether a buffer never changes.
    pub(super) constant: &'a [bool],
    /// Whether somebody outside the part reads what it leaves in a buffer.
    pub(super) read: &'a [bool],
}

impl Fork {
    /// The best fork of the instructions `part`, which are all of element by element, where one is worth it. Constants are
    /// added to `slots`.
    pub(super) fn find<T: Number>(
        code: &[Instruction],
        part: Range<usize>,
        slots: &mut Vec<Vec<T>>,
        known: &Known<'_>,
    ) -> Option<Self> {
        if part.len() > LONGEST {
            return None;
        }
        let whole = total(&code[part.clone()]);
        let len = slots[code.get(part.start)?.to].len();
        let masks = part.clone().filter(|at| {
            let compares = matches!(
                code[*at].work,
                Work::Binary(
                    Binary::Greater
                        | Binary::GreaterOrEqual
                        | Binary::Equal
                        | Binary::NotEqual
                        | Binary::And
                        | Binary::Or,
                    ..
                )
            );
            compares && slots[code[*at].to].len() == len
        });
        let masks: Vec<usize> = masks.take(TRIED).collect();
        let ways = masks.into_iter().map(|mask| {
            let before = slots.len();
            let rest = &code[mask + 1..part.end];
            let quiet = without(rest, code[mask].to, slots, known);
            let saved = total(rest) - total(&quiet);
            slots.truncate(before);
            (mask, saved)
        });
        let (mask, _) = ways
            .filter(|(_, saved)| *saved > WORTH * whole)
            .max_by(|(_, x), (_, y)| x.total_cmp(y))?;
        let rest = &code[mask + 1..part.end];
        let before = slots.len();
        let mut quiet = without(rest, code[mask].to, slots, known);
        keep_read(&mut quiet, before, slots);
        Some(Self {
            at: mask + 1,
            mask: code[mask].to,
            quiet,
        })
    }
}

/// Leaves out the buffers from `first` on that nothing reads.
fn keep_read<T>(code: &mut [Instruction], first: usize, slots: &mut Vec<Vec<T>>) {
    let added = slots.split_off(first);
    let mut place = vec![None; added.len()];
    let mut added: Vec<Option<Vec<T>>> = added.into_iter().map(Some).collect();
    for instruction in code {
        instruction.work.reads(|slot| {
            let Some(index) = slot.checked_sub(first) else {
                return;
            };
            if let Some(values) = added[index].take() {
                place[index] = Some(slots.len());
                slots.push(values);
            }
            *slot = place[index].unwrap_or(*slot);
        });
    }
}

/// `rest` where `mask` is 0 everywhere.
fn without<T: Number>(
    rest: &[Instruction],
    mask: Slot,
    slots: &mut Vec<Vec<T>>,
    known: &Known<'_>,
) -> Vec<Instruction> {
    let add = |slots: &mut Vec<Vec<T>>, values: Vec<T>| {
        slots.push(values);
        slots.len() - 1
    };
    let zero = add(slots, vec![T::ZERO]);
    // The constant that a buffer holds as of now.
    let mut holds: HashMap<Slot, Slot> = HashMap::from([(mask, zero)]);
    let mut code = Vec::with_capacity(rest.len());
    for instruction in rest {
        let mut own = instruction.clone();
        let constant = |slot: Slot, holds: &HashMap<Slot, Slot>| {
            let always = known.constant.get(slot).is_some_and(|constant| *constant);
            holds.get(&slot).copied().or(always.then_some(slot))
        };
        own.work
            .reads(|slot| *slot = constant(*slot, &holds).unwrap_or(*slot));
        let is_constant = |slot: Slot| slot >= known.constant.len() || known.constant[slot];
        if let Work::Choose(by, yes, no) = own.work
            && is_constant(by)
        {
            let zeros = slots[by].iter().filter(|x| **x == T::ZERO).count();
            if zeros == slots[by].len() {
                own.work = Work::Unary(Unary::Copy, no);
            } else if zeros == 0 {
                own.work = Work::Unary(Unary::Copy, yes);
            }
        }
        let (mut all, mut len) = (true, 1);
        own.work.reads(|slot| {
            all &= is_constant(*slot);
            len = len.max(slots[*slot].len());
        });
        let to = instruction.to;
        holds.remove(&to);
        if all {
            let value = match own.work {
                Work::Unary(Unary::Copy, from) => from,
                work => {
                    let to = add(slots, vec![T::ZERO; len]);
                    perform(&Instruction { work, to }, slots, &[]);
                    to
                }
            };
            holds.insert(to, value);
            own.work = Work::Unary(Unary::Copy, value);
        }
        code.push(own);
    }
    // What is read later, from the end on.
    let mut read = known.read.to_vec();
    read.resize(slots.len(), false);
    code.reverse();
    code.retain_mut(|instruction| {
        let kept = std::mem::take(&mut read[instruction.to]);
        if kept {
            instruction.work.reads(|slot| read[*slot] = true);
        }
        kept
    });
    code.reverse();
    code
}
