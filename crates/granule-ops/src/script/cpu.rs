//! The operations on slices.

use std::ops::Range;
use std::sync::Arc;

use super::given::{Drawn, Given};
use super::instruction::{Binary, Elements, Instruction, Matrix, Piece, Sparse, Unary, Work};
use super::run::{See, Seen};
use super::team::{Exchange, Wait};
use super::{Part, Slot, Steps};
use crate::conductance_step::{self, Operands, Room};
use crate::firing_rate::elementary::{Elementary, exponential_of_any};
use crate::sparse_product::product_of_lists;
use crate::tree_solve::cpu::Edges;
use crate::vectorised::{Kernel, vectorised};

/// What the operations compute with.
pub(crate) trait Number: Elementary + conductance_step::Number {
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

/// `out ← f(x)`, where one element of `x` stands for all. No closure, which might be compiled by itself without the vectors that
/// this is compiled for.
macro_rules! map {
    ($out:ident, $from:ident, |$x:ident| $f:expr) => {{
        let single = $from.len() == 1;
        let some = if single { 1 } else { $out.len() };
        for (out, x) in $out[..some].iter_mut().zip($from) {
            let $x = *x;
            *out = $f;
        }
        if single {
            let first = $out[0];
            $out.fill(first);
        }
    }};
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
    if out.is_empty() {
        return;
    }
    match f {
        Unary::Copy => map!(out, x, |x| x),
        Unary::Negate => map!(out, x, |x| -x),
        Unary::Absolute => map!(out, x, |x| x.absolute()),
        Unary::Reciprocal => map!(out, x, |x| T::ONE / x),
        Unary::Exponential => map!(out, x, |x| x.exponential_anywhere::<FUSED>()),
        Unary::Logarithm => map!(out, x, |x| x.natural_logarithm::<FUSED>()),
        Unary::LogarithmOfOneMore => map!(out, x, |x| x.natural_logarithm_of_one_more::<FUSED>()),
        Unary::SquareRoot => map!(out, x, |x| x.square_root()),
        Unary::Tanh => map!(out, x, |x| x.tanh::<FUSED>()),
        Unary::Sigmoid => map!(out, x, |x| x.sigmoid::<FUSED>()),
        Unary::Softplus => map!(out, x, |x| x.softplus::<FUSED>()),
        Unary::Sine => map!(out, x, |x| x.sine()),
        Unary::Cosine => map!(out, x, |x| x.cosine()),
        Unary::Floor => map!(out, x, |x| x.floor()),
        Unary::Ceiling => map!(out, x, |x| x.ceiling()),
        Unary::Round => map!(out, x, |x| x.round()),
        Unary::Sign => map!(out, x, |x| sign(x)),
        Unary::Not => map!(out, x, |x| truth(x == T::ZERO)),
        // A NaN alone differs from itself.
        #[allow(clippy::eq_op)]
        Unary::IsNan => map!(out, x, |x| truth(x != x)),
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
        ([mask], _, _) => {
            let chosen = if *mask == T::ZERO { no } else { yes };
            map!(out, chosen, |x| x);
        }
        (_, [yes], _) => zip(out, mask, no, |mask, no| pick(mask, *yes, no)),
        (_, _, [no]) => zip(out, mask, yes, |mask, yes| pick(mask, yes, *no)),
        _ => {
            for ((out, mask), (yes, no)) in out.iter_mut().zip(mask).zip(yes.iter().zip(no)) {
                *out = pick(*mask, *yes, *no);
            }
        }
    }
}

#[inline(always)]
fn add_row<T: Number>(out: &mut [T], factor: T, row: &[T]) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += factor * *value;
    }
}

/// Adds a row times a factor.
struct AddRow<'a, T> {
    out: &'a mut [T],
    factor: T,
    row: &'a [T],
}

impl<T: Number> Kernel for AddRow<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        add_row(self.out, self.factor, self.row);
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
            add_row(out, *factor, row);
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

/// Some elements of operands.
struct Parts<'a, T> {
    slots: &'a [Vec<T>],
    operands: &'a [Slot],
    range: &'a Range<usize>,
}

impl<T> Operands<T> for Parts<'_, T> {
    #[inline(always)]
    fn operand(&self, index: usize) -> &[T] {
        part(&self.slots[self.operands[index]], self.range)
    }

    #[inline(always)]
    fn is_single(&self, index: usize) -> bool {
        self.slots[self.operands[index]].len() == 1
    }
}

/// Performs an instruction of element by element on some elements.
#[inline(always)]
fn elementwise<T: Number, const FUSED: bool>(
    instruction: &Instruction,
    slots: &mut [Vec<T>],
    range: &Range<usize>,
    room: &mut Room<T>,
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
        Work::Advance(own) => {
            let operands = Parts {
                slots,
                operands: &own.operands,
                range,
            };
            own.of.run::<T, FUSED>(&operands, own.number, out, room);
        }
        _ => {}
    }
    slots[instruction.to] = all;
}

/// Instructions of element by element on some elements, one after the other.
struct Block<'a, T> {
    code: &'a [Instruction],
    slots: &'a mut [Vec<T>],
    range: Range<usize>,
    room: &'a mut Room<T>,
}

impl<T: Number> Kernel for Block<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for instruction in self.code {
            elementwise::<T, FUSED>(instruction, self.slots, &self.range, self.room);
        }
    }
}

/// An instruction of another kind.
struct Whole<'a, T> {
    work: &'a Work,
    out: &'a mut [T],
    slots: &'a [Vec<T>],
    matrices: &'a [Vec<T>],
}

impl<T: Number> Kernel for Whole<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self {
            work,
            out,
            slots,
            matrices,
        } = self;
        let matrix = |matrix: &Matrix| match matrix {
            Matrix::Buffer(slot) => &slots[*slot][..],
            Matrix::Constant(index) => &matrices[*index][..],
        };
        match work {
            Work::Gather(pieces) => gather(out, pieces, slots),
            Work::Product {
                left,
                right,
                inner,
                columns,
            } => product(out, &slots[*left], matrix(right), [*inner, *columns]),
            Work::SparseProduct { left, right } => {
                let weights = right.weights(matrix(&right.values));
                let lists = (&right.ends[..], &right.column[..], weights);
                product_of_lists(out, &slots[*left], lists, right.columns);
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
            } => sum(out, &slots[*of], [*middle, *inner], T::of(*divisor)),
            _ => {}
        }
    }
}

fn gather<T: Copy>(out: &mut [T], pieces: &[Piece], slots: &[Vec<T>]) {
    let mut rest = out;
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

/// One instruction by itself.
pub(crate) fn perform<T: Number>(
    instruction: &Instruction,
    slots: &mut [Vec<T>],
    matrices: &[Vec<T>],
) {
    if instruction.work.is_elementwise() {
        let range = 0..slots[instruction.to].len();
        let code = std::slice::from_ref(instruction);
        return vectorised(Block {
            code,
            slots,
            range,
            room: &mut Room::default(),
        });
    }
    // What is written is never read by the same instruction.
    let mut out = std::mem::take(&mut slots[instruction.to]);
    vectorised(Whole {
        work: &instruction.work,
        out: &mut out,
        slots,
        matrices,
    });
    slots[instruction.to] = out;
}

/// Some elements of every buffer.
#[derive(Clone, Debug)]
pub(crate) struct Tile<T> {
    /// Which they are; `None` where they are all. Buffers of one element are whole in every tile.
    pub(crate) lanes: Option<Range<usize>>,
    pub(crate) slots: Vec<Vec<T>>,
    /// What products multiply by, the same of all tiles.
    pub(crate) matrices: Arc<[Vec<T>]>,
    /// What was done before the steps, the same of all tiles.
    pub(crate) once: Arc<[Vec<T>]>,
}

impl<T> Tile<T> {
    /// Those that this tile has of a buffer of `len` elements.
    pub(crate) fn part(&self, len: usize) -> Range<usize> {
        match &self.lanes {
            Some(lanes) if len > 1 => lanes.clone(),
            _ => 0..len,
        }
    }

    /// The place of its first element.
    fn first(&self) -> usize {
        self.lanes.as_ref().map_or(0, |lanes| lanes.start)
    }
}

/// Elements that go through the instructions of a part together.
const BLOCK: usize = 256;
/// Elements of which is asked whether something happens to any: the fewer, the more often to none.
const FORKED: usize = 64;
/// Blocks that are looked at before it is judged whether enough of them are quiet.
const JUDGED: usize = 256;

/// How often blocks of a part went the short way.
#[derive(Clone, Copy, Default)]
struct Ways {
    blocks: usize,
    quiet: usize,
}

impl Ways {
    fn is_worth_it(&self) -> bool {
        self.blocks < JUDGED || 4 * self.quiet > self.blocks
    }
}

/// Who looks where a thing of what is seen is not 0.
pub(crate) struct Look {
    pub(crate) thing: usize,
    pub(crate) readers: Vec<usize>,
}

/// Many steps of some tiles.
pub(crate) struct Many<'a, T> {
    pub(crate) of: &'a Steps<T>,
    pub(crate) tiles: &'a mut [Tile<T>],
    /// The place of the first of these tiles among all.
    pub(crate) first: usize,
    /// Where they meet others, and each other: a product needs all of them.
    pub(crate) exchange: Option<&'a Exchange<T>>,
    pub(crate) given: &'a [Given<'a>],
    /// What is drawn of it, by those who meet.
    pub(crate) drawn: Option<&'a Drawn>,
    pub(crate) see: &'a [See],
    /// The same of [`See::Where`], by what decides.
    pub(crate) looks: &'a [Look],
    /// What each tile saw of each thing.
    pub(crate) seen: &'a mut [Vec<Seen>],
    /// Steps before these ones.
    pub(crate) before: usize,
    pub(crate) steps: usize,
}

impl<T: Number> Many<'_, T> {
    pub(crate) fn run(mut self) {
        if self.of.is_single() {
            return vectorised(Single(self));
        }
        let of = self.of;
        let mut products = 0;
        let mut rooms: Vec<Room<T>> = self.tiles.iter().map(|_| Room::default()).collect();
        let mut ways = vec![Ways::default(); of.parts.len()];
        for step in 0..self.steps {
            self.draw(step);
            let drawn = self.drawn.map(|drawn| drawn.read(step));
            for tile in self.tiles.iter_mut() {
                take_given(of, tile, (self.given, drawn.as_deref()), step);
            }
            drop(drawn);
            let mut first = 0;
            for (part, ways) in of.parts.iter().zip(&mut ways) {
                let code = &of.code[first..part.end];
                let own = first..part.end;
                first = part.end;
                if part.elementwise {
                    for (tile, room) in self.tiles.iter_mut().zip(&mut rooms) {
                        let slots = &mut tile.slots;
                        blocks(&of.code, own.clone(), (part, &mut *ways), slots, room);
                    }
                    continue;
                }
                for instruction in code {
                    if let Some(exchange) = self.exchange {
                        self.exchanged(exchange, products, instruction);
                        products += 1;
                        continue;
                    }
                    for tile in self.tiles.iter_mut() {
                        perform(instruction, &mut tile.slots, &tile.matrices);
                    }
                }
            }
            for (tile, seen) in self.tiles.iter_mut().zip(self.seen.iter_mut()) {
                see(of, tile, self.see, self.before + step, seen);
                look(of, tile, self.looks, self.before + step, seen);
                for (x, y) in &of.swaps {
                    tile.slots.swap(*x, *y);
                }
            }
        }
    }
}

/// What is given for a step.
fn take_given<T: Number>(
    of: &Steps<T>,
    tile: &mut Tile<T>,
    (given, drawn): (&[Given<'_>], Option<&Vec<Vec<f64>>>),
    step: usize,
) {
    for (source, (slot, given)) in of.given.iter().zip(given).enumerate() {
        let len = of.lens[*slot];
        let part = tile.part(len);
        let values = match (given, drawn) {
            // What the step does not need.
            (Given::Numbers([]), _) => continue,
            (Given::Numbers(values), _) => &values[step * len..],
            (Given::Drawn(_), Some(drawn)) => &drawn[source],
            (Given::Drawn(_), None) => continue,
        };
        for (own, value) in tile.slots[*slot].iter_mut().zip(&values[part]) {
            *own = T::of(*value);
        }
    }
}

/// Instructions of element by element, block after block.
fn blocks<T: Number>(
    code: &[Instruction],
    own: Range<usize>,
    (part, ways): (&Part, &mut Ways),
    slots: &mut [Vec<T>],
    room: &mut Room<T>,
) {
    let fork = part.fork.as_ref().filter(|_| ways.is_worth_it());
    let len = slots[code[own.start].to].len();
    // A tile is in the nearest cache as it is.
    let block = if len <= 2 * BLOCK { len } else { BLOCK };
    let mut run = |code: &[Instruction], range: Range<usize>, slots: &mut [Vec<T>]| {
        vectorised(Block {
            code,
            slots,
            range,
            room: &mut *room,
        });
    };
    for start in (0..len).step_by(block) {
        let end = (start + block).min(len);
        let Some(fork) = fork else {
            run(&code[own.clone()], start..end, slots);
            continue;
        };
        run(&code[own.start..fork.at], start..end, slots);
        let is_quiet = |from: usize, slots: &[Vec<T>]| {
            is_zero(self::part(
                &slots[fork.mask],
                &(from..(from + FORKED).min(end)),
            ))
        };
        // Neighbours that go the same way go together.
        let mut from = start;
        while from < end {
            let quiet = is_quiet(from, slots);
            let mut to = from + FORKED;
            while to < end && is_quiet(to, slots) == quiet {
                to += FORKED;
            }
            let blocks = (to - from) / FORKED;
            ways.blocks += blocks;
            ways.quiet += if quiet { blocks } else { 0 };
            let rest = if quiet {
                &fork.quiet
            } else {
                &code[fork.at..own.end]
            };
            run(rest, from..to.min(end), slots);
            from = to;
        }
    }
}

/// Whether some numbers are 0.
struct IsZero<'a, T> {
    values: &'a [T],
    found: &'a mut bool,
}

impl<T: Number> Kernel for IsZero<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        *self.found = self
            .values
            .iter()
            .fold(true, |none, x| none & (*x == T::ZERO));
    }
}

fn is_zero<T: Number>(values: &[T]) -> bool {
    let mut found = false;
    vectorised(IsZero {
        values,
        found: &mut found,
    });
    found
}

/// Calls `body` with the place and the value of each number that is not 0, in order. Most are.
fn not_zero<T: Number>(values: &[T], mut body: impl FnMut(usize, T)) {
    for (chunk, values) in values.chunks(FORKED).enumerate() {
        if is_zero(values) {
            continue;
        }
        let places = values.iter().enumerate().filter(|(_, x)| **x != T::ZERO);
        places.for_each(|(place, x)| body(chunk * FORKED + place, *x));
    }
}

/// Whether a tile speaks for what is seen of this buffer: the first one for all of what they share.
fn speaks<T>(of: &Steps<T>, tile: &Tile<T>, slot: Slot) -> bool {
    of.lens[slot] > 1 || tile.first() == 0
}

/// Keeps what is seen after the step `step`, where it is its turn.
fn see<T: Number>(of: &Steps<T>, tile: &Tile<T>, wanted: &[See], step: usize, seen: &mut [Seen]) {
    for ((slot, want), seen) in of.seen.iter().zip(wanted).zip(seen) {
        if let See::Every(every) = want
            && (step + 1).is_multiple_of(*every)
            && speaks(of, tile, *slot)
        {
            let values = tile.slots[*slot].iter();
            seen.values.extend(values.map(|x| x.to_f64()));
        }
    }
}

/// Keeps what is seen after the step `step` where something is not 0.
fn look<T: Number>(of: &Steps<T>, tile: &Tile<T>, looks: &[Look], step: usize, seen: &mut [Seen]) {
    for Look { thing, readers } in looks {
        let mask = of.seen[*thing];
        if !speaks(of, tile, mask) {
            continue;
        }
        not_zero(&tile.slots[mask], |place, _| {
            for reader in readers {
                // As long as the mask.
                let value = tile.slots[of.seen[*reader]][place].to_f64();
                seen[*reader].values.push(value);
                seen[*reader].places.push((step, tile.first() + place));
            }
        });
    }
}

impl<T: Number> Many<'_, T> {
    /// Draws what is for the next steps, where it is time, together with all who meet.
    fn draw(&self, step: usize) {
        let (Some(drawn), Some(exchange)) = (self.drawn, self.exchange) else {
            return;
        };
        if !step.is_multiple_of(drawn.together()) {
            return;
        }
        // Everybody has read what is drawn over, and then what is drawn is there for everybody.
        exchange.meet(Wait::Long);
        let end = self.steps.min(step + drawn.together());
        drawn.draw(self.given, self.before, end);
        exchange.meet(Wait::Long);
    }

    /// A product by a matrix of as many rows and columns as there are elements, of which each tile makes its own columns.
    fn exchanged(&mut self, exchange: &Exchange<T>, number: usize, instruction: &Instruction) {
        let Some(left) = instruction.work.multiplied() else {
            return;
        };
        for (index, tile) in self.tiles.iter().enumerate() {
            let from = tile.first();
            exchange.send(number, self.first + index, |letter| {
                not_zero(&tile.slots[left], |place, x| {
                    letter.push(((from + place) as u32, x));
                });
            });
        }
        exchange.meet(Wait::Short);
        for tile in self.tiles.iter_mut() {
            let from = tile.first();
            let mut out = std::mem::take(&mut tile.slots[instruction.to]);
            out.fill(T::ZERO);
            let own = from..from + out.len();
            let matrix = |matrix: &Matrix| match matrix {
                Matrix::Constant(index) => &tile.matrices[*index][..],
                Matrix::Buffer(_) => &[],
            };
            match &instruction.work {
                Work::SparseProduct { right, .. } => {
                    let weights = right.weights(matrix(&right.values));
                    exchange.read(number, |row, x| {
                        let row = row as usize;
                        let listed = (row, right.row(row, &own));
                        weights.add_row(listed, &right.column, x, (&mut out, from));
                    });
                }
                Work::Product { right, columns, .. } => {
                    let values = matrix(right);
                    exchange.read(number, |row, x| {
                        let row = &values[row as usize * columns..][own.clone()];
                        vectorised(AddRow {
                            out: &mut out,
                            factor: x,
                            row,
                        });
                    });
                }
                _ => {}
            }
            tile.slots[instruction.to] = out;
        }
    }
}

/// Many steps of which every buffer has one element.
struct Single<'a, T>(Many<'a, T>);

impl<T: Number> Kernel for Single<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self(many) = self;
        for (tile, seen) in many.tiles.iter_mut().zip(many.seen) {
            let mut own: Vec<T> = tile.slots.iter().map(|x| x[0]).collect();
            for step in 0..many.steps {
                for (slot, given) in many.of.given.iter().zip(many.given) {
                    if let Given::Numbers(values) = given
                        && let Some(value) = values.get(step)
                    {
                        own[*slot] = T::of(*value);
                    }
                }
                for Instruction { work, to } in &many.of.code {
                    let mut out = [T::ZERO];
                    match work {
                        Work::Unary(f, x) => unary::<T, FUSED>(*f, &mut out, &[own[*x]]),
                        Work::Binary(f, x, y) => binary(*f, &mut out, &[own[*x]], &[own[*y]]),
                        Work::Choose(mask, yes, no) => {
                            choose(&mut out, &[own[*mask]], &[own[*yes]], &[own[*no]]);
                        }
                        // Others are of several elements.
                        _ => {}
                    }
                    own[*to] = out[0];
                }
                for ((slot, want), seen) in many.of.seen.iter().zip(many.see).zip(seen.iter_mut()) {
                    let step = many.before + step;
                    match want {
                        See::Every(every) if (step + 1).is_multiple_of(*every) => {
                            seen.values.push(own[*slot].to_f64());
                        }
                        See::Where(thing) if own[many.of.seen[*thing]] != T::ZERO => {
                            seen.values.push(own[*slot].to_f64());
                            seen.places.push((step, 0));
                        }
                        _ => {}
                    }
                }
                for (x, y) in &many.of.swaps {
                    own.swap(*x, *y);
                }
            }
            for (slot, own) in tile.slots.iter_mut().zip(own) {
                slot[0] = own;
            }
        }
    }
}

impl Sparse {
    /// Where the elements of a row in these columns are; the columns of a row rise.
    fn row(&self, row: usize, columns: &Range<usize>) -> Range<usize> {
        let first = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        let own = &self.column[first..self.ends[row]];
        let before = |end: usize| first + own.partition_point(|column| (*column as usize) < end);
        before(columns.start)..before(columns.end)
    }
}
