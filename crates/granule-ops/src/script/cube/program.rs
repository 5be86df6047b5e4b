//! A script as what a kernel is compiled for.

use super::super::instruction::{Binary, Unary, Work};
use super::super::{Slot, Steps};

/// Where the operand of an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operand {
    Register(usize),
    /// The bits of a number.
    Number(u32),
}

/// What an instruction does with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Unary(Unary),
    Binary(Binary),
    /// Multiplied by itself so many times, or one divided by that.
    WholePower(i32),
    Choose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) function: Function,
    /// Those that there are not are the first.
    pub(super) operands: [Operand; 3],
    pub(super) to: usize,
}

/// Where an array is among those of a buffer: first are those of a single element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) single: bool,
    /// Among those that are single, or among those that are not.
    pub(super) index: usize,
    /// How many in the buffer are single.
    pub(super) singles: usize,
}

/// What is seen of one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) of: Operand,
    pub(super) single: bool,
    /// It is kept after each so many steps; never for 0.
    pub(super) every: usize,
}

/// What a kernel is compiled for: a script, but for numbers of which there is one for each element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    pub(super) registers: usize,
    pub(super) states: Vec<(usize, Place)>,
    pub(super) constants: Vec<(usize, Place)>,
    pub(super) given: Vec<(usize, Place)>,
    pub(super) code: Vec<Line>,
    pub(super) seen: Vec<Seen>,
    pub(super) swaps: Vec<(usize, usize)>,
}

/// A buffer that is kept after each so many steps, never for 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) slot: Slot,
    pub(super) every: usize,
}

pub(super) struct Program {
    pub(super) kernel: Kernel,
    /// The constants that are read, and their registers.
    pub(super) constants: Vec<(Slot, usize)>,
}

/// The places of arrays of these lengths.
fn places(lengths: &[usize]) -> Vec<Place> {
    let singles = lengths.iter().filter(|len| **len == 1).count();
    let (mut single, mut wide) = (0, 0);
    lengths
        .iter()
        .map(|len| {
            let next = if *len == 1 { &mut single } else { &mut wide };
            let index = *next;
            *next += 1;
            Place {
                single: *len == 1,
                index,
                singles,
            }
        })
        .collect()
}

/// Gives a register to each buffer that needs one.
struct Registers<'a> {
    steps: &'a Steps<f32>,
    /// Whether a buffer may change.
    changes: Vec<bool>,
    of: Vec<Option<usize>>,
    count: usize,
    constants: Vec<(Slot, usize)>,
}

impl Registers<'_> {
    fn register(&mut self, slot: Slot) -> usize {
        if let Some(known) = self.of[slot] {
            return known;
        }
        let register = self.count;
        self.count += 1;
        self.of[slot] = Some(register);
        if !self.changes[slot] {
            self.constants.push((slot, register));
        }
        register
    }

    /// A number that is the same for all elements, and that the languages of shaders can write.
    fn number(&self, slot: Slot) -> Option<f32> {
        match self.steps.slots[slot].as_slice() {
            [number] if !self.changes[slot] && number.is_finite() => Some(*number),
            _ => None,
        }
    }

    fn operand(&mut self, slot: Slot) -> Operand {
        match self.number(slot) {
            Some(number) => Operand::Number(number.to_bits()),
            None => Operand::Register(self.register(slot)),
        }
    }
}

/// The largest power that is a list of multiplications.
const LARGEST: i32 = 16;

impl Program {
    pub(super) fn new(steps: &Steps<f32>, wanted: &[Wanted]) -> Self {
        let mut changes = vec![false; steps.slots.len()];
        let written = steps.code.iter().map(|instruction| instruction.to);
        let swapped = steps.swaps.iter().flat_map(|(x, y)| [*x, *y]);
        let outside = steps.states.iter().chain(&steps.given).copied();
        for slot in written.chain(swapped).chain(outside) {
            changes[slot] = true;
        }
        let mut registers = Registers {
            steps,
            of: vec![None; changes.len()],
            changes,
            count: 0,
            constants: Vec::new(),
        };
        let mut code = Vec::with_capacity(steps.code.len());
        for instruction in &steps.code {
            let (function, slots) = match &instruction.work {
                Work::Unary(f, x) => (Function::Unary(*f), [*x; 3]),
                Work::Binary(Binary::WholePower, x, y) => match registers.number(*y) {
                    Some(y) if y.abs() <= LARGEST as f32 => {
                        (Function::WholePower(y as i32), [*x; 3])
                    }
                    _ => (Function::Binary(Binary::Power), [*x, *y, *x]),
                },
                Work::Binary(f, x, y) => (Function::Binary(*f), [*x, *y, *x]),
                Work::Choose(mask, yes, no) => (Function::Choose, [*mask, *yes, *no]),
                // A script that has a kernel has none of them.
                Work::Advance(_)
                | Work::Gather(_)
                | Work::Product { .. }
                | Work::SparseProduct { .. }
                | Work::TreeSolve { .. }
                | Work::Sum { .. } => continue,
            };
            code.push(Line {
                function,
                operands: slots.map(|slot| registers.operand(slot)),
                to: registers.register(instruction.to),
            });
        }
        let seen = wanted.iter().map(|wanted| Seen {
            single: steps.lens[wanted.slot] == 1,
            of: registers.operand(wanted.slot),
            every: wanted.every,
        });
        let seen = seen.collect();
        let swaps = steps.swaps.iter();
        let swaps = swaps
            .map(|(x, y)| (registers.register(*x), registers.register(*y)))
            .collect();
        let mut placed = |slots: &[Slot]| -> Vec<(usize, Place)> {
            let own = slots.iter().map(|slot| registers.register(*slot));
            own.collect::<Vec<_>>()
                .into_iter()
                .zip(places(&steps.lengths(slots)))
                .collect()
        };
        let (states, given) = (placed(&steps.states), placed(&steps.given));
        let constants = registers.constants;
        let slots: Vec<Slot> = constants.iter().map(|(slot, _)| *slot).collect();
        let of_constants = constants.iter().map(|(_, register)| *register);
        Self {
            kernel: Kernel {
                registers: registers.count,
                states,
                constants: of_constants.zip(places(&steps.lengths(&slots))).collect(),
                given,
                code,
                seen,
                swaps,
            },
            constants,
        }
    }
}
