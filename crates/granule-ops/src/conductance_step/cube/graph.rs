//! A step as a list of elementary operations, and the list of its gradient, both derived from the programs that the CPU form
//! interprets.

use std::collections::HashMap;

use super::super::RateCurve;
use super::super::program::{
    Battery, Current, Expression, Form, Motion, Moves, Node, Origin, Program, Slot,
};

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unary {
    Negate,
    Exponential,
    /// `1/(1 + e⁻ˣ)`
    Sigmoid,
    Logarithm,
    /// The value, or the lowest of which a logarithm is taken.
    AboveZero,
    /// `z/(eᶻ − 1)`
    Bernoulli,
    BernoulliSlope,
    /// `(eᶻ − 1)/z`
    Phi1,
    Phi1Slope,
    WholePower(u32),
    /// Of an exponent, by its bits.
    Power(u32),
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// The quotient, or 0 of a divisor that is 0.
    Ratio,
}

/// One value; operands are values of earlier lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// A number, by its bits.
    Number(u32),
    /// A constant of all cells, and one of each.
    Shared(usize),
    Each(usize),
    /// A variable before the step, and the adjoint of one after it.
    State(usize),
    Adjoint(usize),
    Inflow,
    /// The length of the step.
    Length,
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
}

impl Line {
    fn operands(self) -> impl Iterator<Item = usize> {
        let (first, second) = match self {
            Self::Unary(_, x) => (Some(x), None),
            Self::Binary(_, x, y) => (Some(x), Some(y)),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// The place of a line.
type Value = usize;

/// Lines, none of them twice.
#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    places: HashMap<Line, Value>,
}

impl Lines {
    fn line(&mut self, line: Line) -> Value {
        if let Some(known) = self.places.get(&line) {
            return *known;
        }
        self.all.push(line);
        self.places.insert(line, self.all.len() - 1);
        self.all.len() - 1
    }

    fn number(&mut self, value: f64) -> Value {
        self.line(Line::Number((value as f32).to_bits()))
    }

    fn is(&self, value: Value, number: f32) -> bool {
        self.all[value] == Line::Number(number.to_bits())
    }

    fn unary(&mut self, f: Unary, x: Value) -> Value {
        match f {
            Unary::WholePower(0) => self.number(1.0),
            Unary::WholePower(1) => x,
            _ => self.line(Line::Unary(f, x)),
        }
    }

    fn binary(&mut self, f: Binary, x: Value, y: Value) -> Value {
        match f {
            Binary::Add if self.is(x, 0.0) => y,
            Binary::Add | Binary::Subtract if self.is(y, 0.0) => x,
            Binary::Multiply if self.is(x, 1.0) => y,
            Binary::Multiply | Binary::Divide if self.is(y, 1.0) => x,
            _ => self.line(Line::Binary(f, x, y)),
        }
    }

    fn add(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Add, x, y)
    }

    fn subtract(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Subtract, x, y)
    }

    fn multiply(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Multiply, x, y)
    }

    fn divide(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Divide, x, y)
    }

    /// The exact solution after the step of dx/dt = drive − decay·x.
    fn relax(&mut self, x: Value, drive: Value, decay: Value) -> Value {
        let dt = self.line(Line::Length);
        let z = self.multiply(dt, decay);
        let z = self.unary(Unary::Negate, z);
        let phi = self.unary(Unary::Phi1, z);
        let factor = self.multiply(dt, phi);
        let decayed = self.multiply(decay, x);
        let slope = self.subtract(drive, decayed);
        let change = self.multiply(slope, factor);
        self.add(x, change)
    }
}

/// A program beside what was moved before it.
struct Reader<'a> {
    lines: &'a mut Lines,
    program: &'a Program,
    /// The gates and concentrations after the step, as far as they are known.
    moved: &'a [Value],
}

impl Reader<'_> {
    fn read(&mut self, place: usize) -> Value {
        let read = self.program.reads[place];
        if read.moved {
            self.moved[read.state - 1]
        } else {
            self.lines.line(Line::State(read.state))
        }
    }

    fn constant(&mut self, at: usize) -> Value {
        match self.program.slots[at] {
            Slot::Number(value) => self.lines.number(value),
            Slot::Shared(row) => self.lines.line(Line::Shared(row)),
            Slot::Each(row) => self.lines.line(Line::Each(row)),
        }
    }

    fn term(&mut self, curve: RateCurve, argument: usize, at: usize) -> Value {
        let scale = self.constant(at);
        if curve == RateCurve::Constant {
            return scale;
        }
        let (shift, steepness) = (self.constant(at + 1), self.constant(at + 2));
        let x = self.read(argument);
        let lines = &mut *self.lines;
        if curve == RateCurve::Hill {
            let x = lines.unary(Unary::AboveZero, x);
            let ratio = lines.divide(x, shift);
            let logarithm = lines.unary(Unary::Logarithm, ratio);
            let z = lines.multiply(steepness, logarithm);
            let value = lines.unary(Unary::Sigmoid, z);
            return lines.multiply(scale, value);
        }
        let x = lines.add(x, shift);
        let z = lines.multiply(steepness, x);
        let value = match curve {
            RateCurve::Bernoulli => lines.unary(Unary::Bernoulli, z),
            RateCurve::Exponential => lines.unary(Unary::Exponential, z),
            _ => {
                let z = lines.unary(Unary::Negate, z);
                lines.unary(Unary::Sigmoid, z)
            }
        };
        lines.multiply(scale, value)
    }

    fn curve(&mut self, expression: &Expression) -> Value {
        let mut parts: Vec<Value> = Vec::with_capacity(expression.nodes.len());
        for node in &expression.nodes {
            let value = match *node {
                Node::Term {
                    curve,
                    argument,
                    at,
                } => self.term(curve, argument, at),
                Node::Sum(a, b) => self.lines.add(parts[a], parts[b]),
                Node::Product(a, b) => self.lines.multiply(parts[a], parts[b]),
                Node::Power(base, -1.0) => {
                    let one = self.lines.number(1.0);
                    self.lines.divide(one, parts[base])
                }
                Node::Power(base, exponent) => {
                    let exponent = (exponent as f32).to_bits();
                    self.lines.unary(Unary::Power(exponent), parts[base])
                }
            };
            parts.push(value);
        }
        parts.last().copied().unwrap_or(0)
    }

    fn curves(&mut self, motion: &Motion) -> [Value; 2] {
        let curves = motion.curves.iter().map(|curve| self.curve(curve));
        let curves: Vec<Value> = curves.collect();
        let [.., last] = curves[..] else {
            return [0; 2];
        };
        [curves[0], last]
    }

    /// The value of a gate without dynamics.
    fn steady(&mut self, motion: &Motion) -> Value {
        let [first, second] = self.curves(motion);
        match motion.form {
            Form::Rates => {
                let sum = self.lines.add(first, second);
                self.lines.divide(first, sum)
            }
            Form::Relaxation => first,
        }
    }

    /// What the channels add to decay and drive.
    fn currents(&mut self, currents: &[Current]) -> (Value, Value) {
        let zero = self.lines.number(0.0);
        let (mut decay, mut drive) = (zero, zero);
        for current in currents {
            let mut open = self.lines.number(1.0);
            for (origin, exponent) in &current.gates {
                let x = match origin {
                    Origin::State(read) => self.read(*read),
                    Origin::Steady(motion) => self.steady(motion),
                };
                let power = self.lines.unary(Unary::WholePower(*exponent), x);
                open = self.lines.multiply(open, power);
            }
            let g = self.constant(current.conductance);
            let conductance = self.lines.multiply(g, open);
            let driven = match current.battery {
                Battery::Drive(at) => {
                    let d = self.constant(at);
                    self.lines.multiply(d, open)
                }
                Battery::Nernst { at, inside } => {
                    let (factor, outside) = (self.constant(at), self.constant(at + 1));
                    let inside = self.read(inside);
                    let inside = self.lines.unary(Unary::AboveZero, inside);
                    let ratio = self.lines.divide(outside, inside);
                    let logarithm = self.lines.unary(Unary::Logarithm, ratio);
                    let reversal = self.lines.multiply(factor, logarithm);
                    self.lines.multiply(conductance, reversal)
                }
            };
            decay = self.lines.add(decay, conductance);
            drive = self.lines.add(drive, driven);
        }
        (decay, drive)
    }

    /// The variable after the step.
    fn moved(&mut self) -> Value {
        let program = self.program;
        match &program.moves {
            Moves::Gate(motion) => {
                let x = self.read(1);
                let [first, second] = self.curves(motion);
                let lines = &mut *self.lines;
                let (drive, decay) = match motion.form {
                    Form::Rates => (first, lines.add(first, second)),
                    Form::Relaxation => {
                        let one = lines.number(1.0);
                        let decay = lines.divide(one, second);
                        (lines.multiply(first, decay), decay)
                    }
                };
                lines.relax(x, drive, decay)
            }
            Moves::Pool(all) => {
                let (decay, drive) = self.currents(all);
                let [own_decay, own_drive, influx] = [0, 1, 2].map(|at| self.constant(at));
                let (v, x) = (self.read(0), self.read(1));
                let lines = &mut *self.lines;
                let outward = lines.multiply(decay, v);
                let current = lines.subtract(drive, outward);
                let inward = lines.multiply(influx, current);
                let drive = lines.add(own_drive, inward);
                lines.relax(x, drive, own_decay)
            }
            // Cells that are joined have no kernel.
            Moves::Voltage(all, _) => {
                let (decay, drive) = self.currents(all);
                let [leak, constant] = [0, 1].map(|at| self.constant(at));
                let v = self.read(0);
                let lines = &mut *self.lines;
                let drive = lines.add(constant, drive);
                let inflow = lines.line(Line::Inflow);
                let drive = lines.add(drive, inflow);
                let decay = lines.add(decay, leak);
                lines.relax(v, drive, decay)
            }
        }
    }
}

/// The lines of a step, and the values of all variables after it, v first.
fn step(programs: &[Program]) -> (Lines, Vec<Value>) {
    let mut lines = Lines::default();
    let mut moved = Vec::with_capacity(programs.len());
    for program in programs {
        let value = Reader {
            lines: &mut lines,
            program,
            moved: &moved,
        }
        .moved();
        moved.push(value);
    }
    // The programs end with the voltage.
    moved.rotate_right(1);
    (lines, moved)
}

/// Which gradients are asked for besides those of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) inflow: bool,
    pub(super) shared: bool,
    pub(super) each: bool,
}

impl Wanted {
    fn wants(self, line: Line) -> bool {
        match line {
            Line::State(_) => true,
            Line::Inflow => self.inflow,
            Line::Shared(_) => self.shared,
            Line::Each(_) => self.each,
            _ => false,
        }
    }
}

/// The gradient of each line that leads to one that is wanted, where it has one.
fn gradients(lines: &mut Lines, next: &[Value], wanted: Wanted) -> Vec<Option<Value>> {
    let forward = lines.all.clone();
    let mut leads: Vec<bool> = Vec::with_capacity(forward.len());
    for line in &forward {
        let leading = line.operands().any(|operand| leads[operand]);
        leads.push(leading || wanted.wants(*line));
    }
    let mut by: Vec<Option<Value>> = vec![None; forward.len()];
    let give = |lines: &mut Lines, by: &mut [Option<Value>], to: Value, gradient: Value| {
        by[to] = Some(match by[to] {
            Some(sum) => lines.add(sum, gradient),
            None => gradient,
        });
    };
    for (state, value) in next.iter().enumerate() {
        let adjoint = lines.line(Line::Adjoint(state));
        give(lines, &mut by, *value, adjoint);
    }
    for (own, line) in forward.iter().enumerate().rev() {
        let (Some(adjoint), true) = (by[own], leads[own]) else {
            continue;
        };
        match *line {
            Line::Unary(f, x) => {
                let gradient = of_unary(lines, f, (x, own), adjoint);
                give(lines, &mut by, x, gradient);
            }
            Line::Binary(f, x, y) => {
                let of_x = match f {
                    Binary::Add | Binary::Subtract => adjoint,
                    Binary::Multiply => lines.multiply(adjoint, y),
                    Binary::Divide | Binary::Ratio => lines.divide(adjoint, y),
                };
                if leads[x] {
                    give(lines, &mut by, x, of_x);
                }
                if leads[y] {
                    let of_y = match f {
                        Binary::Add => adjoint,
                        Binary::Subtract => lines.unary(Unary::Negate, adjoint),
                        Binary::Multiply => lines.multiply(adjoint, x),
                        Binary::Divide | Binary::Ratio => {
                            let product = lines.multiply(of_x, own);
                            lines.unary(Unary::Negate, product)
                        }
                    };
                    give(lines, &mut by, y, of_y);
                }
            }
            _ => {}
        }
    }
    by
}

/// The gradient by the operand of a function that has this value.
fn of_unary(lines: &mut Lines, f: Unary, (x, value): (Value, Value), adjoint: Value) -> Value {
    let slope = match f {
        Unary::Negate => return lines.unary(Unary::Negate, adjoint),
        Unary::AboveZero => return adjoint,
        Unary::Logarithm => return lines.divide(adjoint, x),
        Unary::Exponential => value,
        Unary::Sigmoid => {
            let one = lines.number(1.0);
            let rest = lines.subtract(one, value);
            lines.multiply(rest, value)
        }
        Unary::Bernoulli => lines.unary(Unary::BernoulliSlope, x),
        Unary::Phi1 => lines.unary(Unary::Phi1Slope, x),
        Unary::WholePower(exponent) => {
            let factor = lines.number(f64::from(exponent));
            let power = lines.unary(Unary::WholePower(exponent.saturating_sub(1)), x);
            lines.multiply(factor, power)
        }
        Unary::Power(exponent) => {
            let factor = lines.line(Line::Number(exponent));
            let ratio = lines.binary(Binary::Ratio, value, x);
            lines.multiply(factor, ratio)
        }
        // No step has them.
        Unary::BernoulliSlope | Unary::Phi1Slope => lines.number(0.0),
    };
    lines.multiply(adjoint, slope)
}

/// What a kernel is compiled for. Operands and outputs are places among all values: those of `once`, then the variables before
/// the step, the adjoints after it where there are some, the inflow and the length of the step, then those of `lines`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Code {
    /// What is the same in all steps.
    pub(super) once: Vec<Line>,
    pub(super) lines: Vec<Line>,
    pub(super) states: usize,
    /// Of the states: the variables after the step, or the gradients by those before it.
    pub(super) next: Vec<usize>,
    /// What is added up over the steps.
    pub(super) sums: Vec<usize>,
}

impl Code {
    fn new(lines: &Lines, states: usize, backward: bool, next: &[Value], sums: &[Value]) -> Self {
        let all = &lines.all;
        let mut used = vec![false; all.len()];
        for value in next.iter().chain(sums) {
            used[*value] = true;
        }
        for (own, line) in all.iter().enumerate().rev() {
            if used[own] {
                line.operands().for_each(|operand| used[operand] = true);
            }
        }
        let mut fixed: Vec<bool> = Vec::with_capacity(all.len());
        for line in all {
            fixed.push(match line {
                Line::Number(_) | Line::Shared(_) | Line::Each(_) => true,
                Line::Unary(..) | Line::Binary(..) => line.operands().all(|x| fixed[x]),
                _ => false,
            });
        }
        let once = (0..all.len()).filter(|own| used[*own] && fixed[*own]);
        let once: Vec<Value> = once.collect();
        let given = if backward { 2 * states } else { states };
        let is_given = |line: Line| {
            matches!(
                line,
                Line::State(_) | Line::Adjoint(_) | Line::Inflow | Line::Length
            )
        };
        let later = (0..all.len()).filter(|own| used[*own] && !fixed[*own] && !is_given(all[*own]));
        let later: Vec<Value> = later.collect();
        let mut places = vec![0; all.len()];
        for (own, line) in all.iter().enumerate() {
            places[own] = once.len()
                + match line {
                    Line::State(state) => *state,
                    Line::Adjoint(state) => states + *state,
                    Line::Inflow => given,
                    Line::Length => given + 1,
                    _ => 0,
                };
        }
        for (place, own) in once.iter().enumerate() {
            places[*own] = place;
        }
        for (place, own) in later.iter().enumerate() {
            places[*own] = once.len() + given + 2 + place;
        }
        let placed = |own: &Value| match all[*own] {
            Line::Unary(f, x) => Line::Unary(f, places[x]),
            Line::Binary(f, x, y) => Line::Binary(f, places[x], places[y]),
            line => line,
        };
        Self {
            once: once.iter().map(placed).collect(),
            lines: later.iter().map(placed).collect(),
            states,
            next: next.iter().map(|value| places[*value]).collect(),
            sums: sums.iter().map(|value| places[*value]).collect(),
        }
    }

    /// A step of cells.
    pub(super) fn forward(programs: &[Program]) -> Self {
        let (lines, next) = step(programs);
        Self::new(&lines, programs.len(), false, &next, &[])
    }

    /// The gradient of a step. It adds up, as far as they are wanted, those by the inflow, by `tables[0]` constants of all cells
    /// and by `tables[1]` of each.
    pub(super) fn backward(programs: &[Program], wanted: Wanted, tables: [usize; 2]) -> Self {
        let (mut lines, next) = step(programs);
        let by = gradients(&mut lines, &next, wanted);
        let zero = lines.number(0.0);
        let of = |line: Line| {
            let value = lines.places.get(&line);
            let gradient = value.and_then(|value| by.get(*value).copied().flatten());
            gradient.unwrap_or(zero)
        };
        let next: Vec<Value> = (0..programs.len()).map(|x| of(Line::State(x))).collect();
        let mut sums = Vec::new();
        if wanted.inflow {
            sums.push(of(Line::Inflow));
        }
        if wanted.shared {
            sums.extend((0..tables[0]).map(|row| of(Line::Shared(row))));
        }
        if wanted.each {
            sums.extend((0..tables[1]).map(|row| of(Line::Each(row))));
        }
        Self::new(&lines, programs.len(), true, &next, &sums)
    }

    /// How many operations a step has.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}
