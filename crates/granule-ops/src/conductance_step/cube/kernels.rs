//! The kernels: the lines of a step, or of its gradient, written out when they are compiled.

// What a kernel is compiled from is not what these lints know.
#![allow(clippy::needless_range_loop)]

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::graph::{Binary, Code, Line, Unary};
use crate::firing_rate::cube::{Curve, rate};

/// One buffer for each variable of the state.
type Buffers = Sequence<Box<[f32]>>;

/// The lowest concentration of which a logarithm is taken.
const LOWEST: f32 = 1e-30;

/// `eᶻ − 1`, near 0 by its series; of an exponential that does not overflow.
#[cube]
fn exponential_minus_one(z: f32) -> f32 {
    let late =
        0.008_333_334 + z * (0.001_388_888_9 + z * (0.000_198_412_7 + z * 0.000_024_801_587));
    let series = z * (1.0 + z * (0.5 + z * (0.166_666_67 + z * (0.041_666_668 + z * late))));
    let exponential = select(z > 80.0, 80.0f32, z).exp();
    select(z.abs() < 0.5, series, exponential - 1.0)
}

/// `z/(eᶻ − 1)`
#[cube]
fn bernoulli(z: f32) -> f32 {
    select(z.abs() < 1e-6, 1.0 - 0.5 * z, z / exponential_minus_one(z))
}

/// `B′ = (1 − B)/(eᶻ − 1) − B`, whose terms cancel near 0.
#[cube]
fn bernoulli_slope(z: f32) -> f32 {
    let b = bernoulli(z);
    let series = (0.166_666_67 - z * z * 0.005_555_555_6) * z - 0.5;
    let quotient = (1.0 - b) / exponential_minus_one(z) - b;
    select(z.abs() < 0.25, series, quotient)
}

/// `(eᶻ − 1)/z`
#[cube]
fn phi1(z: f32) -> f32 {
    select(z.abs() < 1e-6, 1.0 + 0.5 * z, exponential_minus_one(z) / z)
}

/// `φ₁′ = (eᶻ − φ₁)/z`, whose terms cancel near 0.
#[cube]
fn phi1_slope(z: f32) -> f32 {
    let series = ((z * 0.033_333_335 + 0.125) * z + 0.333_333_34) * z + 0.5;
    let quotient = (exponential_minus_one(z) + (1.0 - phi1(z))) / z;
    select(z.abs() < 0.05, series, quotient)
}

#[cube]
fn whole_power(x: f32, #[comptime] exponent: u32) -> f32 {
    let mut power = x;
    #[unroll]
    for _ in 1..comptime![exponent] {
        power *= x;
    }
    power
}

#[cube]
fn unary(x: f32, #[comptime] f: Unary) -> f32 {
    match comptime![f] {
        Unary::Negate => -x,
        Unary::Exponential => x.exp(),
        Unary::Sigmoid => rate(x, 1.0, 1.0, Curve::Sigmoid),
        Unary::Logarithm => x.ln(),
        Unary::AboveZero => select(x < LOWEST, LOWEST, x),
        Unary::Bernoulli => bernoulli(x),
        Unary::BernoulliSlope => bernoulli_slope(x),
        Unary::Phi1 => phi1(x),
        Unary::Phi1Slope => phi1_slope(x),
        Unary::WholePower(exponent) => whole_power(x, exponent),
        Unary::Power(exponent) => {
            let exponent = comptime![f32::from_bits(exponent)];
            x.powf(exponent.runtime())
        }
    }
}

#[cube]
fn binary(x: f32, y: f32, #[comptime] f: Binary) -> f32 {
    match comptime![f] {
        Binary::Add => x + y,
        Binary::Subtract => x - y,
        Binary::Multiply => x * y,
        Binary::Divide => x / y,
        Binary::Ratio => select(y == 0.0, 0.0f32, x / y),
    }
}

#[cube]
fn value(values: &Sequence<f32>, #[comptime] at: usize) -> f32 {
    *values.index(at)
}

#[cube]
fn perform(
    values: &mut Sequence<f32>,
    shared: &[f32],
    each: &[f32],
    cells: usize,
    cell: usize,
    #[comptime] line: Line,
) -> f32 {
    match comptime![line] {
        Line::Number(bits) => {
            let number = comptime![f32::from_bits(bits)];
            number.runtime()
        }
        Line::Shared(row) => shared[row],
        Line::Each(row) => each[row * cells + cell],
        Line::Unary(f, x) => unary(*values.index(x), f),
        Line::Binary(f, x, y) => binary(*values.index(x), *values.index(y), f),
        // They have places of their own.
        _ => {
            let nothing = comptime![0.0f32];
            nothing.runtime()
        }
    }
}

/// Appends the values of some lines.
#[cube]
fn perform_all(
    values: &mut Sequence<f32>,
    shared: &[f32],
    each: &[f32],
    cells: usize,
    cell: usize,
    #[comptime] lines: Vec<Line>,
) {
    #[unroll]
    for i in 0..comptime![lines.len()] {
        let line = comptime![lines[i]];
        let result = perform(values, shared, each, cells, cell, line);
        values.push(result);
    }
}

/// Where an element of the inflow is found, from step to step, row to row and cell to cell.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Strides {
    pub(super) step: u32,
    pub(super) row: u32,
    pub(super) cell: u32,
}

/// The sizes of a launch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Sizes {
    /// Of all rows, and of one.
    pub(super) elements: u32,
    pub(super) cells: u32,
    /// The steps of the course; the first of this launch, and how many it takes.
    pub(super) course: u32,
    pub(super) first: u32,
    pub(super) steps: u32,
    /// The columns that are seen.
    pub(super) width: u32,
}

/// Steps of cells, a unit for each element. `plan` has for each step of the course the number of the time at which something is
/// seen after it, or 0; then where the columns in which each cell is seen begin, and where the last ends; then those columns.
/// `trace` gets the state before each step of the launch, where it is to be `kept`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn forward(
    begin: &Buffers,
    shared: &[f32],
    each: &[f32],
    inflow: &[f32],
    lengths: &[f32],
    plan: &[u32],
    end: &mut Buffers,
    seen: &mut [f32],
    trace: &mut [f32],
    sizes: Sizes,
    strides: Strides,
    kept: u32,
    #[comptime] code: Code,
) {
    let own = ABSOLUTE_POS;
    let elements = sizes.elements as usize;
    let cells = sizes.cells as usize;
    if own < elements {
        let row = own / cells;
        let at = own % cells;
        let mut state = Sequence::<RuntimeCell<f32>>::new();
        #[unroll]
        for i in 0..comptime![code.states] {
            state.push(RuntimeCell::<f32>::new(begin.index(i)[own]));
        }
        let mut values = Sequence::<f32>::new();
        let once = comptime![code.once.clone()];
        perform_all(&mut values, shared, each, cells, at, once);
        let states = comptime![code.states];
        let inflow_at = row * strides.row as usize + at * strides.cell as usize;
        let course = sizes.course as usize;
        let width = sizes.width as usize;
        let columns = course + cells + 1;
        for number in 0..sizes.steps {
            let step = (sizes.first + number) as usize;
            #[unroll]
            for i in 0..comptime![code.states] {
                let x = state.index(i).read();
                if kept == 1 {
                    trace[(number as usize * states + i) * elements + own] = x;
                }
                values.push(x);
            }
            values.push(inflow[inflow_at + step * strides.step as usize]);
            values.push(lengths[step]);
            let lines = comptime![code.lines.clone()];
            perform_all(&mut values, shared, each, cells, at, lines);
            #[unroll]
            for i in 0..comptime![code.states] {
                state
                    .index(i)
                    .store(value(&values, comptime![code.next[i]]));
            }
            let time = plan[step] as usize;
            if time > 0 {
                let rows = (time - 1) * (elements / cells) + row;
                let begin_of = plan[course + at];
                let end_of = plan[course + at + 1];
                for place in begin_of..end_of {
                    let column = plan[columns + place as usize] as usize;
                    seen[rows * width + column] = state.index(0).read();
                }
            }
        }
        #[unroll]
        for i in 0..comptime![code.states] {
            let buffer = end.index_mut(i);
            buffer[own] = state.index(i).read();
        }
    }
}

/// The adjoints before the steps of a launch of those after them, a unit for each element. `trace` is what [`forward`] kept,
/// `by_seen` the gradient by what was seen, where there is one. `sums`, `[sums, elements]`, gets the code's sums over the steps, on
/// top of what it holds where it is to go `on`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward(
    trace: &[f32],
    shared: &[f32],
    each: &[f32],
    inflow: &[f32],
    lengths: &[f32],
    plan: &[u32],
    by_seen: &[f32],
    after: &Buffers,
    before: &mut Buffers,
    sums: &mut [f32],
    sizes: Sizes,
    strides: Strides,
    sees: u32,
    on: u32,
    #[comptime] code: Code,
) {
    let own = ABSOLUTE_POS;
    let elements = sizes.elements as usize;
    let cells = sizes.cells as usize;
    if own < elements {
        let row = own / cells;
        let at = own % cells;
        let mut adjoints = Sequence::<RuntimeCell<f32>>::new();
        #[unroll]
        for i in 0..comptime![code.states] {
            adjoints.push(RuntimeCell::<f32>::new(after.index(i)[own]));
        }
        let mut totals = Sequence::<RuntimeCell<f32>>::new();
        #[unroll]
        for i in 0..comptime![code.sums.len()] {
            let total = RuntimeCell::<f32>::new(0.0f32);
            if on == 1 {
                total.store(sums[i * elements + own]);
            }
            totals.push(total);
        }
        let mut values = Sequence::<f32>::new();
        let once = comptime![code.once.clone()];
        perform_all(&mut values, shared, each, cells, at, once);
        let states = comptime![code.states];
        let inflow_at = row * strides.row as usize + at * strides.cell as usize;
        let course = sizes.course as usize;
        let width = sizes.width as usize;
        let columns = course + cells + 1;
        for back in 0..sizes.steps {
            let number = (sizes.steps - 1 - back) as usize;
            let step = sizes.first as usize + number;
            let time = plan[step] as usize;
            if sees == 1 && time > 0 {
                let rows = (time - 1) * (elements / cells) + row;
                let mut by_v = adjoints.index(0).read();
                let begin_of = plan[course + at];
                let end_of = plan[course + at + 1];
                for place in begin_of..end_of {
                    let column = plan[columns + place as usize] as usize;
                    by_v += by_seen[rows * width + column];
                }
                adjoints.index(0).store(by_v);
            }
            #[unroll]
            for i in 0..comptime![code.states] {
                values.push(trace[(number * states + i) * elements + own]);
            }
            #[unroll]
            for i in 0..comptime![code.states] {
                values.push(adjoints.index(i).read());
            }
            values.push(inflow[inflow_at + step * strides.step as usize]);
            values.push(lengths[step]);
            let lines = comptime![code.lines.clone()];
            perform_all(&mut values, shared, each, cells, at, lines);
            #[unroll]
            for i in 0..comptime![code.states] {
                adjoints
                    .index(i)
                    .store(value(&values, comptime![code.next[i]]));
            }
            #[unroll]
            for i in 0..comptime![code.sums.len()] {
                let total = totals.index(i).read();
                totals
                    .index(i)
                    .store(total + value(&values, comptime![code.sums[i]]));
            }
        }
        #[unroll]
        for i in 0..comptime![code.states] {
            let buffer = before.index_mut(i);
            buffer[own] = adjoints.index(i).read();
        }
        #[unroll]
        for i in 0..comptime![code.sums.len()] {
            sums[i * elements + own] = totals.index(i).read();
        }
    }
}
