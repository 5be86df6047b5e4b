//! The step on blocks.

use super::program::{
    Battery, Current, Expression, Form, MOST_READS, Motion, Moves, Node, Origin, Part, Program,
};
use super::sweep::{Block, Body};
use super::{Layout, RateCurve};
use crate::firing_rate::elementary::Elementary;

/// The arithmetic of blocks.
pub(super) trait Number: Elementary {
    /// Below it `B′` is computed from its series, whose error is then that of the number format.
    const SMALL: Self;
    /// Likewise for `φ₁′`.
    const TINY: Self;
    /// The lowest concentration of which a logarithm is taken.
    const LOWEST: Self;

    fn logarithm(self) -> Self;
}

impl Number for f32 {
    const SMALL: Self = 0.25;
    const TINY: Self = 0.05;
    const LOWEST: Self = 1e-30;

    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }
}

impl Number for f64 {
    const SMALL: Self = 0.01;
    const TINY: Self = 1e-3;
    const LOWEST: Self = 1e-30;

    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }
}

/// A concentration that has a logarithm.
#[inline(always)]
pub(super) fn above_zero<T: Number>(x: T) -> T {
    if x < T::LOWEST { T::LOWEST } else { x }
}

/// `z/(eᶻ − 1)`, of `eᶻ − 1`.
#[inline(always)]
pub(super) fn bernoulli<T: Number>(z: T, below: T) -> T {
    if z == T::ZERO { T::ONE } else { z / below }
}

/// `(eᶻ − 1)/z`
#[inline(always)]
pub(super) fn phi1<T: Number>(z: T, below: T) -> T {
    if z == T::ZERO { T::ONE } else { below / z }
}

/// What a program reads, and its constants.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, T, const N: usize> {
    pub(super) reads: &'a [&'a Block<T, N>; MOST_READS],
    pub(super) constants: &'a [Block<T, N>],
}

impl<T: Number, const N: usize> Given<'_, T, N> {
    /// Scale, shift and steepness.
    #[inline(always)]
    pub(super) fn term(&self, at: usize) -> [&Block<T, N>; 3] {
        [0, 1, 2].map(|i| &self.constants[at + i])
    }
}

/// `scale · f(z)`
#[inline(always)]
fn term<T: Number, const FUSED: bool, const N: usize>(
    curve: RateCurve,
    x: &Block<T, N>,
    [scale, shift, steepness]: [&Block<T, N>; 3],
    value: &mut Block<T, N>,
) {
    let z = |i: usize| steepness[i] * (x[i] + shift[i]);
    match curve {
        RateCurve::Constant => *value = *scale,
        RateCurve::Bernoulli => {
            for i in 0..N {
                let z = z(i);
                value[i] = scale[i] * bernoulli(z, z.exponential_minus_one::<FUSED>());
            }
        }
        RateCurve::Exponential => {
            for i in 0..N {
                value[i] = scale[i] * z(i).exponential::<FUSED>();
            }
        }
        RateCurve::Sigmoid => {
            for i in 0..N {
                value[i] = scale[i] * (-z(i)).sigmoid::<FUSED>();
            }
        }
        RateCurve::Hill => {
            for i in 0..N {
                let logarithm = (above_zero(x[i]) / shift[i]).logarithm();
                value[i] = scale[i] * (steepness[i] * logarithm).sigmoid::<FUSED>();
            }
        }
    }
}

/// `xᵖ` for an exponent that is no whole number, or a reciprocal.
#[inline(always)]
fn power<T: Number, const N: usize>(x: &Block<T, N>, exponent: f64, value: &mut Block<T, N>) {
    if exponent == -1.0 {
        for i in 0..N {
            value[i] = T::ONE / x[i];
        }
    } else {
        let exponent = T::of(exponent);
        for i in 0..N {
            value[i] = x[i].power(exponent);
        }
    }
}

/// Writes the parts of a curve; the last is its value.
#[inline(always)]
fn evaluate<T: Number, const FUSED: bool, const N: usize>(
    expression: &Expression,
    given: &Given<'_, T, N>,
    parts: &mut [Block<T, N>],
) {
    for (index, node) in expression.nodes.iter().enumerate() {
        let (before, now) = parts.split_at_mut(index);
        let value = &mut now[0];
        match *node {
            Node::Term {
                curve,
                argument,
                at,
            } => term::<T, FUSED, N>(curve, given.reads[argument], given.term(at), value),
            ref node => combine(node, before, value),
        }
    }
}

/// The value of a part that is made of the parts before it; a term is made of none.
#[inline(always)]
pub(super) fn combine<T: Number, const N: usize>(
    node: &Node,
    before: &[Block<T, N>],
    value: &mut Block<T, N>,
) {
    match *node {
        Node::Term { .. } => {}
        Node::Sum(a, b) => {
            for i in 0..N {
                value[i] = before[a][i] + before[b][i];
            }
        }
        Node::Product(a, b) => {
            for i in 0..N {
                value[i] = before[a][i] * before[b][i];
            }
        }
        Node::Power(base, exponent) => power(&before[base], exponent, value),
    }
}

/// Both curves of a gate, or one, each written into its part of what is left over of `parts`.
#[inline(always)]
fn curves<'a, T: Number, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, N>,
    parts: &'a mut [Block<T, N>],
) -> (&'a Block<T, N>, Option<&'a Block<T, N>>) {
    let mut last = [0; 2];
    let mut from = 0;
    for (curve, last) in motion.curves.iter().zip(&mut last) {
        evaluate::<T, FUSED, N>(curve, given, &mut parts[from..]);
        *last = from + curve.last();
        from += curve.nodes.len();
    }
    let second = (motion.curves.len() > 1).then(|| &parts[last[1]]);
    (&parts[last[0]], second)
}

/// `xⁿ`
#[inline(always)]
pub(super) fn whole_power<T: Number>(x: T, exponent: u32) -> T {
    match exponent {
        0 => T::ONE,
        1 => x,
        2 => x * x,
        3 => x * x * x,
        4 => (x * x) * (x * x),
        _ => {
            let mut value = (x * x) * (x * x);
            for _ in 4..exponent {
                value = value * x;
            }
            value
        }
    }
}

/// Loops of their own for the common exponents, which a loop over vectors needs.
macro_rules! for_exponent {
    ($exponent:expr, $n:ident => $loop:expr) => {
        match $exponent {
            0 => {
                let $n = 0;
                $loop
            }
            1 => {
                let $n = 1;
                $loop
            }
            2 => {
                let $n = 2;
                $loop
            }
            3 => {
                let $n = 3;
                $loop
            }
            4 => {
                let $n = 4;
                $loop
            }
            $n => $loop,
        }
    };
}
#[cfg(feature = "autodiff")]
pub(super) use for_exponent;

/// `open ← open · xⁿ`, or `xⁿ` to begin with.
#[inline(always)]
pub(super) fn times<T: Number, const N: usize>(
    open: &mut Block<T, N>,
    x: &Block<T, N>,
    exponent: u32,
    begin: bool,
) {
    for_exponent!(exponent, n => {
        if begin {
            for i in 0..N {
                open[i] = whole_power(x[i], n);
            }
        } else {
            for i in 0..N {
                open[i] = open[i] * whole_power(x[i], n);
            }
        }
    });
}

/// The value of a gate without dynamics.
#[inline(always)]
fn steady<T: Number, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, N>,
    parts: &mut [Block<T, N>],
    value: &mut Block<T, N>,
) {
    match (motion.form, curves::<T, FUSED, N>(motion, given, parts)) {
        (Form::Rates, (alpha, Some(beta))) => {
            for i in 0..N {
                value[i] = alpha[i] / (alpha[i] + beta[i]);
            }
        }
        (_, (steady, _)) => *value = *steady,
    }
}

/// The reversal potential `factor · ln(outside/inside)`.
#[inline(always)]
pub(super) fn nernst<T: Number>(factor: T, outside: T, inside: T) -> T {
    factor * (outside / above_zero(inside)).logarithm()
}

/// What the channels add to decay and drive; 0 without channels.
#[inline(always)]
fn currents<T: Number, const FUSED: bool, const N: usize>(
    currents: &[Current],
    given: &Given<'_, T, N>,
    (decay, drive): (&mut Block<T, N>, &mut Block<T, N>),
    scratch: &mut [Block<T, N>],
) -> Option<()> {
    let ([open, value], parts) = scratch.split_first_chunk_mut::<2>()?;
    for (index, current) in currents.iter().enumerate() {
        for (gate, (origin, exponent)) in current.gates.iter().enumerate() {
            let x = match origin {
                Origin::State(read) => given.reads[*read],
                Origin::Steady(motion) => {
                    steady::<T, FUSED, N>(motion, given, parts, value);
                    &*value
                }
            };
            times(open, x, *exponent, gate == 0);
        }
        if current.gates.is_empty() {
            *open = Block::of(T::ONE);
        }
        let g = &given.constants[current.conductance];
        let begin = index == 0;
        match current.battery {
            Battery::Drive(at) => {
                let d = &given.constants[at];
                if begin {
                    for i in 0..N {
                        decay[i] = g[i] * open[i];
                        drive[i] = d[i] * open[i];
                    }
                } else {
                    for i in 0..N {
                        decay[i] += g[i] * open[i];
                        drive[i] += d[i] * open[i];
                    }
                }
            }
            Battery::Nernst { at, inside } => {
                let [factor, outside] = [&given.constants[at], &given.constants[at + 1]];
                let inside = given.reads[inside];
                for i in 0..N {
                    let conductance = g[i] * open[i];
                    let reversal = nernst(factor[i], outside[i], inside[i]);
                    let before = if begin { T::ZERO } else { decay[i] };
                    decay[i] = before + conductance;
                    let before = if begin { T::ZERO } else { drive[i] };
                    drive[i] = before + conductance * reversal;
                }
            }
        }
    }
    if currents.is_empty() {
        (*decay, *drive) = (Block::of(T::ZERO), Block::of(T::ZERO));
    }
    Some(())
}

/// The exact solution after `dt` of dx/dt = drive − decay·x.
#[inline(always)]
fn relax<T: Number, const FUSED: bool>(x: T, drive: T, decay: T, dt: T) -> T {
    let z = -dt * decay;
    let factor = dt * phi1(z, z.exponential_minus_one::<FUSED>());
    x + (drive - decay * x) * factor
}

/// One variable after the step, or both parts of the voltage.
#[inline(always)]
fn advance<T: Number, const FUSED: bool, const N: usize>(
    program: &Program,
    given: &Given<'_, T, N>,
    inflow: &Block<T, N>,
    dt: T,
    scratch: &mut [Block<T, N>],
    outputs: &mut [Block<T, N>],
) -> Option<()> {
    let v = given.reads[0];
    let (next, others) = outputs.split_first_mut()?;
    match &program.moves {
        Moves::Gate(motion) => {
            let x = given.reads[1];
            let (first, second) = curves::<T, FUSED, N>(motion, given, scratch);
            let second = second?;
            if motion.form == Form::Rates {
                let (alpha, beta) = (first, second);
                for i in 0..N {
                    let decay = alpha[i] + beta[i];
                    next[i] = relax::<T, FUSED>(x[i], alpha[i], decay, dt);
                }
            } else {
                let (steady, time_constant) = (first, second);
                for i in 0..N {
                    let decay = T::ONE / time_constant[i];
                    next[i] = relax::<T, FUSED>(x[i], steady[i] * decay, decay, dt);
                }
            }
        }
        Moves::Pool(all) | Moves::Voltage(all, _) => {
            let ([decay, drive], rest) = scratch.split_first_chunk_mut::<2>()?;
            currents::<T, FUSED, N>(all, given, (decay, drive), rest)?;
            let Moves::Voltage(_, part) = program.moves else {
                let [own_decay, own_drive, influx] = given.term(0);
                let x = given.reads[1];
                for i in 0..N {
                    let drive = own_drive[i] + influx[i] * (drive[i] - decay[i] * v[i]);
                    next[i] = relax::<T, FUSED>(x[i], drive, own_decay[i], dt);
                }
                return Some(());
            };
            let [leak, constant] = [&given.constants[0], &given.constants[1]];
            match part {
                Part::Moved => {
                    for i in 0..N {
                        let drive = constant[i] + drive[i] + inflow[i];
                        next[i] = relax::<T, FUSED>(v[i], drive, decay[i] + leak[i], dt);
                    }
                }
                Part::Linear => {
                    let whole_drive = others.first_mut()?;
                    for i in 0..N {
                        next[i] = decay[i] + leak[i];
                        whole_drive[i] = constant[i] + drive[i] + inflow[i];
                    }
                }
            }
        }
    }
    Some(())
}

/// The state after a step: the gates and the concentrations, then v or its parts, as the programs are ordered. The inputs are the state, v
/// first, the inflow, and the constants of one program after another.
pub(super) struct Step<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) dt: T,
}

impl<T: Number> Body<T> for Step<'_, T> {
    const SMALL_BLOCKS: bool = true;

    fn scratch(&self) -> usize {
        let programs = self.layout.programs.iter();
        programs.map(Program::scratch).max().unwrap_or(0)
    }

    #[inline(always)]
    fn block<const FUSED: bool, const N: usize>(
        &self,
        input: &[Block<T, N>],
        output: &mut [Block<T, N>],
        scratch: &mut [Block<T, N>],
    ) -> Option<()> {
        let (states, rest) = input.split_at_checked(self.layout.states)?;
        let (inflow, mut constants) = rest.split_first()?;
        for (index, program) in self.layout.programs.iter().enumerate() {
            let (own, later) = constants.split_at_checked(program.slots.len())?;
            constants = later;
            // The program before this one has moved the state of its own number.
            let (before, now) = output.split_at_mut_checked(index)?;
            let mut reads = [inflow; MOST_READS];
            for (place, read) in reads.iter_mut().zip(&program.reads) {
                *place = if read.moved {
                    before.get(read.state - 1)?
                } else {
                    states.get(read.state)?
                };
            }
            let given = Given {
                reads: &reads,
                constants: own,
            };
            let outputs = now.get_mut(..program.outputs())?;
            advance::<T, FUSED, N>(program, &given, inflow, self.dt, scratch, outputs)?;
        }
        Some(())
    }
}
