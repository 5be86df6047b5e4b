//! The backward pass of a step: all variables in turn on one block, the last that was moved first.

mod currents;
mod curve;
mod variable;

use super::Layout;
use super::cpu::{Given, Number};
use super::geometry::{Geometry, constants};
use super::joint::{self, Joined};
use super::program::{MOST_READS, Program, Read, Slot};
use super::sweep::{Block, Body, Operand, Sink, sweep};
use variable::{By, variable};

/// What the backward pass of a step computes from.
pub(super) struct Taped<'a, T> {
    /// The state before the step, v first.
    pub(super) states: &'a [&'a [T]],
    pub(super) inflow: &'a [T],
    /// Both tables of constants.
    pub(super) tables: [&'a [T]; 2],
    /// The gates and the concentrations after the step.
    pub(super) moved: &'a [&'a [T]],
    /// Of compartments.
    pub(super) joined: Option<Joined<'a, T>>,
    /// Of the state after the step, v first; empty where nothing depends on it.
    pub(super) adjoints: &'a [&'a [T]],
}

/// Which gradients are asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) inflow: bool,
    /// By both tables of constants.
    pub(super) tables: [bool; 2],
    pub(super) couplings: bool,
}

/// Gradients by the state, by the inflow, by both tables, and by the couplings of compartments; empty where they are not
/// wanted or there is nothing.
pub(super) fn gradients<T: Number>(
    g: Geometry,
    layout: &Layout,
    dt: f64,
    wanted: Wanted,
    taped: &Taped<'_, T>,
) -> Vec<Vec<T>> {
    let Some((by_v, by_others)) = taped.adjoints.split_first() else {
        return Vec::new();
    };
    let states = layout.states;
    let by_linear = taped.joined.as_ref().map(|joined| {
        let wanted = wanted.couplings;
        joint::gradients(g.sizes(), joined, dt, by_v, wanted)
    });

    let mut inputs: Vec<Operand<'_, T>> = Vec::new();
    inputs.extend(taped.states.iter().map(|x| Operand::All(x)));
    inputs.extend(taped.moved.iter().map(|x| Operand::All(x)));
    inputs.push(g.inflow(taped.inflow));
    inputs.extend(by_others.iter().map(|x| adjoint(x)));
    match &by_linear {
        Some(by) => inputs.extend([&by.v, &by.decay, &by.drive].map(|x| adjoint(x))),
        None => inputs.push(adjoint(by_v)),
    }
    let sinks_of = |program: &Program| -> Vec<Sink> {
        let slots = program.slots.iter();
        slots.map(|slot| sink(slot, wanted.tables)).collect()
    };
    let mut sinks = vec![Sink::All; states];
    sinks.push(if wanted.inflow && !taped.inflow.is_empty() {
        Sink::All
    } else {
        Sink::Nothing
    });
    let others = sinks.len();
    // The constants of those programs that have one of which a gradient is wanted.
    let mut of_constants = Vec::with_capacity(layout.programs.len());
    let mut slots: Vec<Slot> = Vec::new();
    for program in &layout.programs {
        inputs.extend(constants(&program.slots, taped.tables, g.cells));
        let own = sinks_of(program);
        let any = own.iter().any(|sink| *sink != Sink::Nothing);
        of_constants.push(any);
        if any {
            sinks.extend(own);
            slots.extend(&program.slots);
        }
    }
    let body = Adjoint {
        layout,
        of_constants: &of_constants,
        dt: T::of(dt),
    };
    let mut gradients = sweep(&body, g.sizes(), &inputs, &sinks);
    let by_constants = gradients.split_off(others);
    if let Some(last) = gradients.last_mut() {
        g.fold_inflow(last);
    }
    let lengths = taped.tables.map(<[T]>::len);
    gradients.extend(tables(g, &slots, by_constants, lengths));
    gradients.extend(by_linear.map(|by| by.couplings));
    gradients
}

/// Zeros where nothing depends on a value.
fn adjoint<T: Number>(x: &[T]) -> Operand<'_, T> {
    if x.is_empty() {
        Operand::One(T::ZERO)
    } else {
        Operand::All(x)
    }
}

fn sink(slot: &Slot, [shared, each]: [bool; 2]) -> Sink {
    match slot {
        Slot::Shared(_) if shared => Sink::Sum,
        Slot::Each(_) if each => Sink::All,
        _ => Sink::Nothing,
    }
}

/// Gradients of both tables, of those by the constants; empty where there are none.
fn tables<T: Number>(
    g: Geometry,
    slots: &[Slot],
    gradients: Vec<Vec<T>>,
    lengths: [usize; 2],
) -> [Vec<T>; 2] {
    let mut tables = [Vec::new(), Vec::new()];
    for (slot, gradient) in slots.iter().zip(gradients) {
        let (table, row, width) = match slot {
            Slot::Shared(row) => (0, *row, 1),
            Slot::Each(row) => (1, *row, g.cells),
            Slot::Number(_) => continue,
        };
        if gradient.is_empty() {
            continue;
        }
        tables[table].resize(lengths[table], T::ZERO);
        let sum = &mut tables[table][row * width..][..width];
        for part in gradient.chunks_exact(width) {
            for (sum, value) in sum.iter_mut().zip(part) {
                *sum += *value;
            }
        }
    }
    tables
}

/// Where the gradients of a program go.
struct Gradients<'a, T, const N: usize> {
    reads: &'a mut [Block<T, N>],
    constants: Option<&'a mut [Block<T, N>]>,
}

/// The gradients of a whole step. The inputs are the state, what of it is moved before the voltage, the inflow, the adjoints
/// of the latter, that of the voltage or those by its old value, its decay and its drive, and the constants of one program
/// after another; the outputs are the gradients by the state, by the inflow, and by the constants of the programs that
/// `of_constants` names.
struct Adjoint<'a, T> {
    layout: &'a Layout,
    of_constants: &'a [bool],
    dt: T,
}

impl<T: Number> Body<T> for Adjoint<'_, T> {
    const SMALL_BLOCKS: bool = false;

    fn scratch(&self) -> usize {
        let programs = self.layout.programs.iter();
        let most = programs.map(Program::scratch).max().unwrap_or(0);
        self.layout.states + MOST_READS + most
    }

    #[inline(always)]
    fn block<const FUSED: bool, const N: usize>(
        &self,
        input: &[Block<T, N>],
        output: &mut [Block<T, N>],
        scratch: &mut [Block<T, N>],
    ) -> Option<()> {
        let (states, rest) = input.split_at_checked(self.layout.states)?;
        let (moved, rest) = rest.split_at_checked(states.len().checked_sub(1)?)?;
        let (inflow, rest) = rest.split_first()?;
        let (adjoints, rest) = rest.split_at_checked(moved.len())?;
        let joined = self.layout.joint.is_some();
        let (of_voltage, mut constants) = rest.split_at_checked(if joined { 3 } else { 1 })?;
        let (by_states, rest) = output.split_at_mut_checked(states.len())?;
        let (by_inflow, mut by_constants) = rest.split_first_mut()?;
        let (by_moved, rest) = scratch.split_at_mut_checked(moved.len())?;
        let (by_reads, scratch) = rest.split_at_mut_checked(MOST_READS)?;

        by_states.fill(Block::of(T::ZERO));
        by_moved.copy_from_slice(adjoints);
        let by_voltage = match of_voltage {
            [by_v, by_decay, by_drive] => {
                by_states[0] = *by_v;
                By::Linear(by_decay, by_drive)
            }
            [by_v] => By::Moved(by_v),
            _ => return None,
        };
        let programs = self.layout.programs.iter().zip(self.of_constants);
        for (index, (program, wanted)) in programs.enumerate().rev() {
            let from = constants.len().checked_sub(program.slots.len())?;
            let (earlier, own) = constants.split_at_checked(from)?;
            constants = earlier;
            let mut by_own = None;
            if *wanted {
                let all = std::mem::take(&mut by_constants);
                let from = all.len().checked_sub(program.slots.len())?;
                let (earlier, own) = all.split_at_mut_checked(from)?;
                by_constants = earlier;
                by_own = Some(own);
            }
            let before = |read: &Read| -> Option<&Block<T, N>> {
                if read.moved {
                    moved.get(read.state - 1)
                } else {
                    states.get(read.state)
                }
            };
            let mut reads = [&inflow.0; MOST_READS];
            for (place, read) in reads.iter_mut().zip(&program.reads) {
                *place = &before(read)?.0;
            }
            let given = Given {
                reads: &reads,
                constants: own,
            };
            // The program after the last of those that are moved is the voltage's.
            let grad = by_moved.get(index).copied();
            let by = match &grad {
                // Nothing depends on it, as on the gates of compartments without their channel.
                Some(grad) if is_zero(grad) => {
                    if let Some(own) = by_own {
                        own.fill(Block::of(T::ZERO));
                    }
                    continue;
                }
                Some(grad) => By::Moved(grad),
                None => by_voltage,
            };
            let by_reads = by_reads.get_mut(..program.reads.len())?;
            by_reads.fill(Block::of(T::ZERO));
            let gradients = Gradients {
                reads: &mut *by_reads,
                constants: by_own,
            };
            variable::<T, FUSED, N>(
                program,
                &given,
                (by, self.dt),
                (inflow, &mut *by_inflow),
                scratch,
                gradients,
            )?;
            for (read, by_read) in program.reads.iter().zip(&*by_reads) {
                let sum = if read.moved {
                    by_moved.get_mut(read.state - 1)?
                } else {
                    by_states.get_mut(read.state)?
                };
                for i in 0..N {
                    sum[i] += by_read[i];
                }
            }
        }
        Some(())
    }
}

#[inline(always)]
fn is_zero<T: Number, const N: usize>(block: &Block<T, N>) -> bool {
    let mut any = false;
    for i in 0..N {
        any |= block[i] != T::ZERO;
    }
    !any
}
