//! The operations on slices.

use std::ops::Range;

use super::Slot;
use super::instruction::{Binary, Elements, Instruction, Matrix, Unary, Work};
use crate::firing_rate::elementary::{Elementary, exponential_of_any};
use crate::sparse_product::product_of_lists;
use crate::tree_solve::cpu::Edges;
use crate::vectorised::Kernel;

/// What the operations compute with.
pub(crate) trait Number: Elementary {
    fn to_f64(self) -> f64;
    fn exponential_anywhere<const FUSED: bool>(self) -> Self;
    fn absolute(self) -> Self;
    fn sine(self) -> Self;
    fn cosine(self) -> Self;
    fn floor(self) -> Self;
    fn ceiling(self) -> Self;
    /// To the nearest, of two the even one.
    fn round(self) -> Self;
    fn whole_power(self, exponent: i32) -> Self;
}

macro_rules! number {
    ($number:ty, |$x:ident, $fused:ident| $exponential:expr) => {
        impl Number for $number {
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn exponential_anywhere<const $fused: bool>(self) -> Self {
                let $x = self;
                $exponential
            }
            #[inline(always)]
            fn absolute(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn sine(self) -> Self {
                self.sin()
            }
            #[inline(always)]
            fn cosine(self) -> Self {
                self.cos()
            }
            #[inline(always)]
            fn floor(self) -> Self {
                self.floor()
            }
            #[inline(always)]
            fn ceiling(self) -> Self {
                self.ceil()
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn whole_power(self, exponent: i32) -> Self {
                self.powi(exponent)
            }
        }
    };
}

number!(f64, |x, FUSED| Elementary::exponential::<FUSED>(x));
number!(f32, |x, FUSED| exponential_of_any::<FUSED>(x));

#[inline(always)]
fn map<T: Copy>(out: &mut [T], x: &[T], f: impl Fn(T) -> T) {
    match x {
        [x] => out.fill(f(*x)),
        _ => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = f(*x);
            }
        }
    }
}

#[inline(always)]
fn zip<T: Copy>(out: &mut [T], x: &[T], y: &[T], f: impl Fn(T, T) -> T) {
    match (x, y) {
        ([x], [y]) => out.fill(f(*x, *y)),
        ([x], _) => {
            for (out, y) in out.iter_mut().zip(y) {
                *out = f(*x, *y);
            }
        }
        (_, [y]) => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = f(*x, *y);
            }
        }
        _ => {
            for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
                *out = f(*x, *y);
            }
        }
    }
}

#[inline(always)]
fn truth<T: Number>(is: bool) -> T {
    if is { T::ONE } else { T::ZERO }
}

#[inline(always)]
fn sign<T: Number>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        T::ZERO
    }
}

#[inline(always)]
fn unary<T: Number, const FUSED: bool>(f: Unary, out: &mut [T], x: &[T]) {
    match f {
        Unary::Copy => map(out, x, |x| x),
        Unary::Negate => map(out, x, |x| -x),
        Unary::Absolute => map(out, x, T::absolute),
        Unary::Reciprocal => map(out, x, |x| T::ONE / x),
        Unary::Exponential => map(out, x, |x| x.exponential_anywhere::<FUSED>()),
        Unary::Logarithm => map(out, x, |x| x.natural_logarithm::<FUSED>()),
        Unary::LogarithmOfOneMore => map(out, x, |x| x.natural_logarithm_of_one_more::<FUSED>()),
        Unary::SquareRoot => map(out, x, T::square_root),
        Unary::Tanh => map(out, x, |x| x.tanh::<FUSED>()),
        Unary::Sigmoid => map(out, x, |x| x.sigmoid::<FUSED>()),
        Unary::Softplus => map(out, x, |x| x.softplus::<FUSED>()),
        Unary::Sine => map(out, x, T::sine),
        Unary::Cosine => map(out, x, T::cosine),
        Unary::Floor => map(out, x, T::floor),
        Unary::Ceiling => map(out, x, T::ceiling),
        Unary::Round => map(out, x, T::round),
        Unary::Sign => map(out, x, sign),
        Unary::Not => map(out, x, |x| truth(x == T::ZERO)),
        // A NaN alone differs from itself.
        #[allow(clippy::eq_op)]
        Unary::IsNan => map(out, x, |x| truth(x != x)),
    }
}

#[inline(always)]
fn binary<T: Number>(f: Binary, out: &mut [T], x: &[T], y: &[T]) {
    match f {
        Binary::Add => zip(out, x, y, |x, y| x + y),
        Binary::Subtract => zip(out, x, y, |x, y| x - y),
        Binary::Multiply => zip(out, x, y, |x, y| x * y),
        Binary::Divide => zip(out, x, y, |x, y| x / y),
        Binary::Power => zip(out, x, y, T::power),
        Binary::WholePower => zip(out, x, y, |x, y| x.whole_power(y.to_f64() as i32)),
        // A NaN of the first stays.
        Binary::Least => zip(out, x, y, |x, y| if y < x { y } else { x }),
        Binary::Greatest => zip(out, x, y, |x, y| if y > x { y } else { x }),
        Binary::Greater => zip(out, x, y, |x, y| truth(x > y)),
        Binary::GreaterOrEqual => zip(out, x, y, |x, y| truth(x >= y)),
        Binary::Equal => zip(out, x, y, |x, y| truth(x == y)),
        Binary::NotEqual => zip(out, x, y, |x, y| truth(x != y)),
        Binary::And => zip(out, x, y, |x, y| truth(x != T::ZERO && y != T::ZERO)),
        Binary::Or => zip(out, x, y, |x, y| truth(x != T::ZERO || y != T::ZERO)),
    }
}

#[inline(always)]
fn choose<T: Number>(out: &mut [T], mask: &[T], yes: &[T], no: &[T]) {
    let pick = |mask: T, yes: T, no: T| if mask == T::ZERO { no } else { yes };
    match (mask, yes, no) {
        ([mask], _, _) => map(out, if *mask == T::ZERO { no } else { yes }, |x| x),
        (_, [yes], _) => zip(out, mask, no, |mask, no| pick(mask, *yes, no)),
        (_, _, [no]) => zip(out, mask, yes, |mask, yes| pick(mask, yes, *no)),
        _ => {
            for ((out, mask), (yes, no)) in out.iter_mut().zip(mask).zip(yes.iter().zip(no)) {
                *out = pick(*mask, *yes, *no);
            }
        }
    }
}

/// Rows of the right that count 0 are left out.
#[inline(always)]
fn product<T: Number>(out: &mut [T], left: &[T], right: &[T], [inner, columns]: [usize; 2]) {
    for (out, left) in out.chunks_exact_mut(columns).zip(left.chunks_exact(inner)) {
        out.fill(T::ZERO);
        for (factor, row) in left.iter().zip(right.chunks_exact(columns)) {
            if *factor == T::ZERO {
                continue;
            }
            for (out, value) in out.iter_mut().zip(row) {
                *out += *factor * *value;
            }
        }
    }
}

#[inline(always)]
fn sum<T: Number>(out: &mut [T], x: &[T], [middle, inner]: [usize; 2], divisor: T) {
    for (out, x) in out
        .chunks_exact_mut(inner)
        .zip(x.chunks_exact(middle * inner))
    {
        out.fill(T::ZERO);
        for row in x.chunks_exact(inner) {
            for (out, x) in out.iter_mut().zip(row) {
                *out += *x;
            }
        }
        for out in out {
            *out = *out / divisor;
        }
    }
}

/// The elements `range` of a buffer, or the only one.
#[inline(always)]
fn part<'a, T>(x: &'a [T], range: &Range<usize>) -> &'a [T] {
    match x {
        [_] => x,
        _ => &x[range.start..range.end],
    }
}

/// Performs an instruction of element by element on some elements.
#[inline(always)]
fn elementwise<T: Number, const FUSED: bool>(
    instruction: &Instruction,
    slots: &mut [Vec<T>],
    range: &Range<usize>,
) {
    // What is written is never read by the same instruction.
    let mut all = std::mem::take(&mut slots[instruction.to]);
    let out = &mut all[range.start..range.end];
    match &instruction.work {
        Work::Unary(f, x) => unary::<T, FUSED>(*f, out, part(&slots[*x], range)),
        Work::Binary(f, x, y) => binary(*f, out, part(&slots[*x], range), part(&slots[*y], range)),
        Work::Choose(mask, yes, no) => {
            let [mask, yes, no] = [mask, yes, no].map(|x| part(&slots[*x], range));
            choose(out, mask, yes, no);
        }
        _ => {}
    }
    slots[instruction.to] = all;
}

#[inline(always)]
fn perform<T: Number, const FUSED: bool>(
    instruction: &Instruction,
    slots: &mut [Vec<T>],
    matrices: &[Vec<T>],
) {
    if instruction.work.is_elementwise() {
        let all = 0..slots[instruction.to].len();
        return elementwise::<T, FUSED>(instruction, slots, &all);
    }
    let mut out = std::mem::take(&mut slots[instruction.to]);
    let matrix = |matrix: &Matrix| match matrix {
        Matrix::Buffer(slot) => &slots[*slot][..],
        Matrix::Constant(index) => &matrices[*index][..],
    };
    match &instruction.work {
        Work::Gather(pieces) => {
            let mut rest = &mut out[..];
            for piece in pieces {
                let from = &slots[piece.from];
                let (own, others) = rest.split_at_mut(piece.elements.len());
                rest = others;
                match &piece.elements {
                    Elements::Range(range) => own.copy_from_slice(&from[range.clone()]),
                    Elements::Repeated(_) => own.fill(from[0]),
                    Elements::Listed(list) => {
                        for (own, at) in own.iter_mut().zip(list) {
                            *own = from[*at as usize];
                        }
                    }
                }
            }
        }
        Work::Product {
            left,
            right,
            inner,
            columns,
        } => product(&mut out, &slots[*left], matrix(right), [*inner, *columns]),
        Work::SparseProduct { left, right } => {
            let lists = (&right.ends[..], &right.column[..], matrix(&right.values));
            product_of_lists(&mut out, &slots[*left], lists, right.columns);
        }
        Work::TreeSolve {
            diagonal,
            edges,
            rhs,
            tree,
        } => {
            let edges = Edges::of(&slots[*edges]);
            out.copy_from_slice(&slots[*rhs]);
            // One system for each row.
            let mut pivots = slots[*diagonal].clone();
            let nodes = tree.len().max(1);
            for (pivots, x) in pivots
                .chunks_exact_mut(nodes)
                .zip(out.chunks_exact_mut(nodes))
            {
                tree.solve(edges, pivots, x);
            }
        }
        Work::Sum {
            of,
            middle,
            inner,
            divisor,
        } => sum(&mut out, &slots[*of], [*middle, *inner], T::of(*divisor)),
        _ => {}
    }
    slots[instruction.to] = out;
}

/// One instruction by itself, of what is computed once.
pub(crate) fn once<T: Number>(instruction: &Instruction, slots: &mut [Vec<T>]) {
    perform::<T, false>(instruction, slots, &[]);
}

/// Instructions that follow one another.
#[derive(Debug)]
pub(crate) struct Part {
    /// The first instruction that is not among them.
    pub(crate) end: usize,
    /// The number of elements of each of their results.
    pub(crate) len: usize,
    /// Whether they are of element by element: then all of them go over `step` elements at a time, which stay in the nearest
    /// cache.
    pub(crate) elementwise: bool,
    pub(crate) step: usize,
}

/// What is given for each step to one buffer.
pub(crate) struct Given<'a, T> {
    pub(crate) to: Slot,
    /// Of all steps in a row, `stride` elements each.
    pub(crate) values: &'a [T],
    pub(crate) stride: usize,
    /// Those of a step that this buffer takes.
    pub(crate) part: std::ops::Range<usize>,
}

/// What is kept of one buffer.
pub(crate) struct Seen<T> {
    pub(crate) of: Slot,
    /// It is kept after each `every` steps.
    pub(crate) every: usize,
    pub(crate) kept: Vec<T>,
}

/// Many steps.
pub(crate) struct Many<'a, T> {
    pub(crate) code: &'a [Instruction],
    pub(crate) parts: &'a [Part],
    pub(crate) matrices: &'a [Vec<T>],
    pub(crate) swaps: &'a [(Slot, Slot)],
    pub(crate) slots: &'a mut [Vec<T>],
    pub(crate) given: &'a [Given<'a, T>],
    pub(crate) seen: &'a mut [Seen<T>],
    /// Steps before these ones.
    pub(crate) before: usize,
    pub(crate) steps: usize,
}

impl<T: Number> Kernel for Many<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for step in 0..self.steps {
            for given in self.given {
                let first = step * given.stride;
                let part = first + given.part.start..first + given.part.end;
                self.slots[given.to].copy_from_slice(&given.values[part]);
            }
            let mut first = 0;
            for part in self.parts {
                let code = &self.code[first..part.end];
                first = part.end;
                if !part.elementwise {
                    for instruction in code {
                        perform::<T, FUSED>(instruction, self.slots, self.matrices);
                    }
                    continue;
                }
                for start in (0..part.len).step_by(part.step.max(1)) {
                    let range = start..(start + part.step).min(part.len);
                    for instruction in code {
                        elementwise::<T, FUSED>(instruction, self.slots, &range);
                    }
                }
            }
            for seen in self.seen.iter_mut() {
                if (self.before + step + 1).is_multiple_of(seen.every) {
                    seen.kept.extend_from_slice(&self.slots[seen.of]);
                }
            }
            for (x, y) in self.swaps {
                self.slots.swap(*x, *y);
            }
        }
    }
}
