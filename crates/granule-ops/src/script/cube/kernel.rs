//! The kernel: the instructions of a script, written out when it is compiled.

// What a kernel is compiled from is not what these lints know.
#![allow(
    clippy::collapsible_if,
    clippy::manual_is_multiple_of,
    clippy::needless_range_loop
)]

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::instruction::{Binary, Unary};
use super::program::{Function, Kernel, Line, Operand, Place};
use crate::firing_rate::cube::{Curve, logarithm_of_one_more, rate};

/// The registers of a unit.
type Registers = Sequence<RuntimeCell<f32>>;

#[cube]
fn value(registers: &Registers, #[comptime] of: Operand) -> f32 {
    match comptime![of] {
        Operand::Register(at) => registers.index(at).read(),
        Operand::Number(bits) => {
            let number = comptime![f32::from_bits(bits)];
            number.runtime()
        }
    }
}

/// The first element of an array in its buffer, and then this unit's.
#[cube]
fn place(#[comptime] of: Place, lanes: usize, lane: usize) -> usize {
    if comptime![of.single] {
        of.index.runtime()
    } else {
        of.singles + of.index * lanes + lane
    }
}

#[cube]
fn truth(of: bool) -> f32 {
    select(of, 1.0f32, 0.0f32)
}

#[cube]
fn sign(x: f32) -> f32 {
    select(x > 0.0, 1.0f32, select(x < 0.0, -1.0f32, x))
}

#[cube]
fn unary(x: f32, #[comptime] f: Unary) -> f32 {
    match comptime![f] {
        Unary::Copy => x,
        Unary::Negate => -x,
        Unary::Absolute => x.abs(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Exponential => x.exp(),
        Unary::Logarithm => x.ln(),
        Unary::LogarithmOfOneMore => logarithm_of_one_more(x),
        Unary::SquareRoot => x.sqrt(),
        Unary::Tanh => rate(x, 1.0, 1.0, Curve::Tanh),
        Unary::Sigmoid => rate(x, 1.0, 1.0, Curve::Sigmoid),
        Unary::Softplus => rate(x, 1.0, 1.0, Curve::Softplus),
        Unary::Sine => x.sin(),
        Unary::Cosine => x.cos(),
        Unary::Floor => x.floor(),
        Unary::Ceiling => x.ceil(),
        Unary::Round => x.round(),
        Unary::Sign => sign(x),
        Unary::Not => truth(x == 0.0),
        Unary::IsNan => truth(x.is_nan()),
    }
}

#[cube]
fn binary(x: f32, y: f32, #[comptime] f: Binary) -> f32 {
    match comptime![f] {
        Binary::Add => x + y,
        Binary::Subtract => x - y,
        Binary::Multiply => x * y,
        Binary::Divide => x / y,
        Binary::Power => x.powf(y),
        Binary::WholePower => x.powf(y),
        Binary::Least => select(y < x, y, x),
        Binary::Greatest => select(y > x, y, x),
        Binary::Greater => truth(x > y),
        Binary::GreaterOrEqual => truth(x >= y),
        Binary::Equal => truth(x == y),
        Binary::NotEqual => truth(x != y),
        Binary::And => truth(x != 0.0) * truth(y != 0.0),
        Binary::Or => select(x != 0.0, 1.0f32, truth(y != 0.0)),
    }
}

#[cube]
fn whole_power(x: f32, #[comptime] exponent: i32) -> f32 {
    let mut power = 1.0f32;
    #[unroll]
    for _ in 0..comptime![exponent.unsigned_abs()] {
        power *= x;
    }
    if comptime![exponent < 0] {
        1.0 / power
    } else {
        power
    }
}

#[cube]
fn perform(registers: &Registers, #[comptime] line: Line) -> f32 {
    let x = value(registers, comptime![line.operands[0]]);
    match comptime![line.function] {
        Function::Unary(f) => unary(x, f),
        Function::WholePower(exponent) => whole_power(x, exponent),
        Function::Binary(f) => binary(x, value(registers, comptime![line.operands[1]]), f),
        Function::Choose => {
            let yes = value(registers, comptime![line.operands[1]]);
            let no = value(registers, comptime![line.operands[2]]);
            select(x == 0.0, no, yes)
        }
    }
}

/// Takes `count` of `steps` steps after `before` ones, from the step `first` on, a unit for each element. `given` has the arrays of
/// all steps, each source's in a row; `offsets` say where in `seen` what is seen of each thing begins.
#[cube(launch)]
pub(super) fn steps(
    begin: &[f32],
    constants: &[f32],
    given: &[f32],
    offsets: &[u32],
    after: &mut [f32],
    seen: &mut [f32],
    lanes: u32,
    before: u32,
    steps: u32,
    first: u32,
    count: u32,
    #[comptime] kernel: Kernel,
) {
    let lane = ABSOLUTE_POS;
    let lanes = lanes as usize;
    if lane < lanes {
        let mut registers = Registers::new();
        #[unroll]
        for _ in 0..comptime![kernel.registers] {
            registers.push(RuntimeCell::<f32>::new(0.0f32));
        }
        #[unroll]
        for i in 0..comptime![kernel.constants.len()] {
            let (to, from) = comptime![kernel.constants[i]];
            registers
                .index(to)
                .store(constants[place(from, lanes, lane)]);
        }
        #[unroll]
        for i in 0..comptime![kernel.states.len()] {
            let (to, from) = comptime![kernel.states[i]];
            registers.index(to).store(begin[place(from, lanes, lane)]);
        }
        for number in 0..count {
            let step = first + number;
            #[unroll]
            for i in 0..comptime![kernel.given.len()] {
                let (to, from) = comptime![kernel.given[i]];
                let mut at = from.index * steps as usize + step as usize;
                if comptime![!from.single] {
                    let first = (from.singles + from.index * lanes) * steps as usize;
                    at = first + step as usize * lanes + lane;
                }
                registers.index(to).store(given[at]);
            }
            #[unroll]
            for i in 0..comptime![kernel.code.len()] {
                let line = comptime![kernel.code[i]];
                let result = perform(&registers, line);
                registers.index(comptime![line.to]).store(result);
            }
            let done = before + step + 1;
            #[unroll]
            for i in 0..comptime![kernel.seen.len()] {
                let own = comptime![kernel.seen[i]];
                let every = comptime![own.every as u32];
                if comptime![every > 0] {
                    if done % every == 0 {
                        let first = offsets[i] as usize;
                        let row = (done / every - 1 - before / every) as usize;
                        if comptime![own.single] {
                            if lane == 0 {
                                seen[first + row] = value(&registers, comptime![own.of]);
                            }
                        } else {
                            seen[first + row * lanes + lane] = value(&registers, comptime![own.of]);
                        }
                    }
                }
            }
            #[unroll]
            for i in 0..comptime![kernel.swaps.len()] {
                let (x, y) = comptime![kernel.swaps[i]];
                let kept = registers.index(x).read();
                registers.index(x).store(registers.index(y).read());
                registers.index(y).store(kept);
            }
        }
        #[unroll]
        for i in 0..comptime![kernel.states.len()] {
            let (from, to) = comptime![kernel.states[i]];
            if comptime![to.single] {
                if lane == 0 {
                    after[place(to, lanes, lane)] = registers.index(from).read();
                }
            } else {
                after[place(to, lanes, lane)] = registers.index(from).read();
            }
        }
    }
}
