//! The step on blocks.

use super::program::{
    Battery, Current, Expression, Form, MOST_READS, Motion, Moves, Node, Origin, Part, Program,
};
use super::sweep::{Block, Body};
use super::{Layout, RateCurve};
use crate::firing_rate::elementary::{Elementary, polynomial};

/// The arithmetic of blocks.
pub(crate) trait Number: Elementary {
    /// Below it `B′` is computed from its series, whose error is then that of the number format.
    const SMALL: Self;
    /// Likewise for `φ₁′`.
    const TINY: Self;
    /// The lowest concentration of which a logarithm is taken.
    const LOWEST: Self;
    /// Up to here [`phi1_near_zero`](Self::phi1_near_zero) is exact to less than half a unit in the last place.
    const NEAR_ZERO: Self;

    fn logarithm(self) -> Self;

    /// `(eᶻ − 1)/z = Σ zᵏ/(k + 1)!`, whose next term is `z⁸/9!` in f32 and `z¹⁴/15!` in f64.
    fn phi1_near_zero<const FUSED: bool>(self) -> Self;

    /// Up to here [`phi1_nearer_zero`](Self::phi1_nearer_zero) is as exact.
    const NEARER_ZERO: Self;

    /// The same of fewer terms, whose next one is `z⁶/7!` in f32 and `z¹¹/12!` in f64.
    fn phi1_nearer_zero<const FUSED: bool>(self) -> Self;
}

/// `1/(k + 1)!`
const fn factorials<const N: usize>() -> [f64; N] {
    let mut all = [1.0; N];
    let mut k = 1;
    while k < N {
        all[k] = all[k - 1] / (k + 1) as f64;
        k += 1;
    }
    all
}

impl Number for f32 {
    const SMALL: Self = 0.25;
    const TINY: Self = 0.05;
    const LOWEST: Self = 1e-30;
    const NEAR_ZERO: Self = 0.5;

    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn phi1_near_zero<const FUSED: bool>(self) -> Self {
        polynomial::<FUSED, 8, Self>(self, const { factorials::<8>() }.map(|c| c as f32))
    }

    const NEARER_ZERO: Self = 0.225;

    #[inline(always)]
    fn phi1_nearer_zero<const FUSED: bool>(self) -> Self {
        polynomial::<FUSED, 6, Self>(self, const { factorials::<6>() }.map(|c| c as f32))
    }
}

impl Number for f64 {
    const SMALL: Self = 0.01;
    const TINY: Self = 1e-3;
    const LOWEST: Self = 1e-30;
    const NEAR_ZERO: Self = 0.5;

    #[inline(always)]
    fn logarithm(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn phi1_near_zero<const FUSED: bool>(self) -> Self {
        polynomial::<FUSED, 14, Self>(self, const { factorials::<14>() })
    }

    const NEARER_ZERO: Self = 0.2;

    #[inline(always)]
    fn phi1_nearer_zero<const FUSED: bool>(self) -> Self {
        polynomial::<FUSED, 11, Self>(self, const { factorials::<11>() })
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

/// The constants of a program.
pub(super) trait Constants<T, const N: usize>: Copy {
    /// Whether all elements have the same.
    const SHARED: bool;
    type One: Constant<T>;

    fn one(self, index: usize) -> Self::One;
}

/// A constant of some elements.
pub(super) trait Constant<T>: Copy {
    fn at(self, element: usize) -> T;
}

/// The same for all elements.
#[derive(Clone, Copy)]
pub(super) struct Same<T>(T);

impl<T: Copy> Constant<T> for Same<T> {
    #[inline(always)]
    fn at(self, _: usize) -> T {
        self.0
    }
}

impl<T: Copy, const N: usize> Constant<T> for &[T; N] {
    #[inline(always)]
    fn at(self, element: usize) -> T {
        self[element]
    }
}

impl<T: Copy, const N: usize> Constants<T, N> for &[T] {
    const SHARED: bool = true;
    type One = Same<T>;

    #[inline(always)]
    fn one(self, index: usize) -> Same<T> {
        Same(self[index])
    }
}

impl<'a, T: Copy, const N: usize> Constants<T, N> for &'a [Block<T, N>] {
    const SHARED: bool = false;
    type One = &'a [T; N];

    #[inline(always)]
    fn one(self, index: usize) -> &'a [T; N] {
        &self[index]
    }
}

/// What a program reads, and its constants.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, T, C, const N: usize> {
    pub(super) reads: &'a [&'a [T; N]; MOST_READS],
    pub(super) constants: C,
}

impl<T: Number, C: Constants<T, N>, const N: usize> Given<'_, T, C, N> {
    /// Scale, shift and steepness.
    #[inline(always)]
    pub(super) fn term(&self, at: usize) -> [C::One; 3] {
        let Self { constants, .. } = self;
        [
            constants.one(at),
            constants.one(at + 1),
            constants.one(at + 2),
        ]
    }
}

/// A curve of `z` alone.
trait Rate {
    fn of<T: Number, const FUSED: bool>(z: T) -> T;
}

struct Bernoulli;
struct Exponential;
struct Sigmoid;

impl Rate for Bernoulli {
    #[inline(always)]
    fn of<T: Number, const FUSED: bool>(z: T) -> T {
        bernoulli(z, z.exponential_minus_one::<FUSED>())
    }
}

impl Rate for Exponential {
    #[inline(always)]
    fn of<T: Number, const FUSED: bool>(z: T) -> T {
        z.exponential::<FUSED>()
    }
}

impl Rate for Sigmoid {
    #[inline(always)]
    fn of<T: Number, const FUSED: bool>(z: T) -> T {
        (-z).sigmoid::<FUSED>()
    }
}

/// `scale · f(steepness · (x + shift))` of an element.
#[inline(always)]
fn rate<R: Rate, T: Number, C: Constant<T>, const FUSED: bool>(
    x: T,
    [scale, shift, steepness]: [C; 3],
    element: usize,
) -> T {
    let z = steepness.at(element) * (x + shift.at(element));
    scale.at(element) * R::of::<T, FUSED>(z)
}

/// Calls for a [`Rate`] of this name, where the curve is one.
macro_rules! for_rate {
    ($curve:expr, $rate:ident => $body:expr) => {
        match $curve {
            RateCurve::Bernoulli => {
                type $rate = Bernoulli;
                Some($body)
            }
            RateCurve::Exponential => {
                type $rate = Exponential;
                Some($body)
            }
            RateCurve::Sigmoid => {
                type $rate = Sigmoid;
                Some($body)
            }
            RateCurve::Constant | RateCurve::Hill => None,
        }
    };
}

/// `scale · f(z)`
#[inline(always)]
fn term<T: Number, C: Constant<T>, const FUSED: bool, const N: usize>(
    curve: RateCurve,
    x: &[T; N],
    constants: [C; 3],
    value: &mut Block<T, N>,
) {
    let of_voltage = for_rate!(curve, R => {
        for i in 0..N {
            value[i] = rate::<R, T, C, FUSED>(x[i], constants, i);
        }
    });
    if of_voltage.is_some() {
        return;
    }
    let [scale, shift, steepness] = constants;
    if curve == RateCurve::Hill {
        for i in 0..N {
            let logarithm = (above_zero(x[i]) / shift.at(i)).logarithm();
            value[i] = scale.at(i) * (steepness.at(i) * logarithm).sigmoid::<FUSED>();
        }
    } else {
        for i in 0..N {
            value[i] = scale.at(i);
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
fn evaluate<T: Number, C: Constants<T, N>, const FUSED: bool, const N: usize>(
    expression: &Expression,
    given: &Given<'_, T, C, N>,
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
            } => term::<T, C::One, FUSED, N>(curve, given.reads[argument], given.term(at), value),
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
fn curves<'a, T: Number, C: Constants<T, N>, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, C, N>,
    parts: &'a mut [Block<T, N>],
) -> (&'a Block<T, N>, Option<&'a Block<T, N>>) {
    let mut last = [0; 2];
    let mut from = 0;
    for (curve, last) in motion.curves.iter().zip(&mut last) {
        evaluate::<T, C, FUSED, N>(curve, given, &mut parts[from..]);
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
    x: &[T; N],
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
fn steady<T: Number, C: Constants<T, N>, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, C, N>,
    parts: &mut [Block<T, N>],
    value: &mut Block<T, N>,
) {
    match (motion.form, curves::<T, C, FUSED, N>(motion, given, parts)) {
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
fn currents<T: Number, C: Constants<T, N>, const FUSED: bool, const N: usize>(
    currents: &[Current],
    given: &Given<'_, T, C, N>,
    (decay, drive): (&mut Block<T, N>, &mut Block<T, N>),
    scratch: &mut [Block<T, N>],
) -> Option<()> {
    let ([open, value], parts) = scratch.split_first_chunk_mut::<2>()?;
    for (index, current) in currents.iter().enumerate() {
        let both = (&mut *decay, &mut *drive);
        if current_in_one_pass::<T, C, N>(current, given, both, index == 0) {
            continue;
        }
        for (gate, (origin, exponent)) in current.gates.iter().enumerate() {
            let x = match origin {
                Origin::State(read) => given.reads[*read],
                Origin::Steady(motion) => {
                    steady::<T, C, FUSED, N>(motion, given, parts, value);
                    &value.0
                }
            };
            times(open, x, *exponent, gate == 0);
        }
        if current.gates.is_empty() {
            *open = Block::of(T::ONE);
        }
        let g = given.constants.one(current.conductance);
        let begin = index == 0;
        match current.battery {
            Battery::Drive(at) => {
                let d = given.constants.one(at);
                if begin {
                    for i in 0..N {
                        decay[i] = g.at(i) * open[i];
                        drive[i] = d.at(i) * open[i];
                    }
                } else {
                    for i in 0..N {
                        decay[i] += g.at(i) * open[i];
                        drive[i] += d.at(i) * open[i];
                    }
                }
            }
            Battery::Nernst { at, inside } => {
                let (factor, outside) = (given.constants.one(at), given.constants.one(at + 1));
                let inside = given.reads[inside];
                for i in 0..N {
                    let conductance = g.at(i) * open[i];
                    let reversal = nernst(factor.at(i), outside.at(i), inside[i]);
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

/// What a channel of one or two gates that move adds to decay and drive, in one pass; whether it is such a channel.
#[inline(always)]
fn current_in_one_pass<T: Number, C: Constants<T, N>, const N: usize>(
    current: &Current,
    given: &Given<'_, T, C, N>,
    (decay, drive): (&mut Block<T, N>, &mut Block<T, N>),
    begin: bool,
) -> bool {
    // Of small blocks each pass is short.
    let (true, Battery::Drive(at)) = (C::SHARED && N >= 128, &current.battery) else {
        return false;
    };
    let g = given.constants.one(current.conductance);
    let d = given.constants.one(*at);
    let moving = |origin: &Origin| match origin {
        Origin::State(read) => Some(given.reads[*read]),
        Origin::Steady(_) => None,
    };
    let (x, a, y, b) = match &current.gates[..] {
        [(x, a @ 1..=4)] => (moving(x), *a, moving(x), 0),
        [(x, a @ 1..=4), (y, 1)] => (moving(x), *a, moving(y), 1),
        _ => return false,
    };
    let (Some(x), Some(y)) = (x, y) else {
        return false;
    };
    macro_rules! pass {
        ($a:literal, $b:literal) => {
            for i in 0..N {
                let mut open = whole_power(x[i], $a);
                if $b > 0 {
                    open = open * whole_power(y[i], $b);
                }
                let (own_decay, own_drive) = (g.at(i) * open, d.at(i) * open);
                if begin {
                    (decay[i], drive[i]) = (own_decay, own_drive);
                } else {
                    decay[i] += own_decay;
                    drive[i] += own_drive;
                }
            }
        };
    }
    match (a, b) {
        (1, 0) => pass!(1, 0),
        (2, 0) => pass!(2, 0),
        (3, 0) => pass!(3, 0),
        (4, 0) => pass!(4, 0),
        (1, _) => pass!(1, 1),
        (2, _) => pass!(2, 1),
        (3, _) => pass!(3, 1),
        _ => pass!(4, 1),
    }
    true
}

/// The voltage after a step, in one pass that keeps nothing in between. Whether `φ₁` of all elements was that of its series; else nothing
/// that was written counts.
#[inline(always)]
fn relax_voltage<T: Number, C: Constant<T>, const FUSED: bool, const N: usize>(
    v: &[T; N],
    (drive, decay): (&Block<T, N>, &Block<T, N>),
    (inflow, [leak, constant]): (&[T; N], [C; 2]),
    dt: T,
    next: &mut [T; N],
) -> bool {
    let mut all = true;
    for i in 0..N {
        let drive = constant.at(i) + drive[i] + inflow[i];
        let decay = decay[i] + leak.at(i);
        let z = -dt * decay;
        all &= is_within(z, T::NEAR_ZERO);
        next[i] = v[i] + (drive - decay * v[i]) * (dt * z.phi1_near_zero::<FUSED>());
    }
    all
}

/// `φ₁(z) = (eᶻ − 1)/z` in the place of `z`: of what is near zero by its series, which is quicker than an exponential and a
/// quotient; of what is `slow` and nearer still by a shorter one. Which an element gets depends on itself alone.
#[inline(always)]
fn into_phi1<T: Number, const FUSED: bool, const N: usize>(values: &mut [T; N], slow: bool) {
    let mut near = true;
    for z in &*values {
        near &= is_within(*z, T::NEAR_ZERO);
    }
    match (slow, near) {
        (false, true) => {
            for z in values {
                *z = z.phi1_near_zero::<FUSED>();
            }
        }
        (false, false) => {
            for z in values {
                *z = any_phi1(
                    *z,
                    z.phi1_near_zero::<FUSED>(),
                    z.exponential_minus_one::<FUSED>(),
                );
            }
        }
        (true, true) => {
            for z in values {
                *z = slow_phi1::<T, FUSED>(*z);
            }
        }
        (true, false) => {
            for z in values {
                *z = any_phi1(
                    *z,
                    slow_phi1::<T, FUSED>(*z),
                    z.exponential_minus_one::<FUSED>(),
                );
            }
        }
    }
}

/// By one of both series.
#[inline(always)]
fn slow_phi1<T: Number, const FUSED: bool>(z: T) -> T {
    let (short, long) = (z.phi1_nearer_zero::<FUSED>(), z.phi1_near_zero::<FUSED>());
    if is_within(z, T::NEARER_ZERO) {
        short
    } else {
        long
    }
}

/// By the series where that is exact, else of `eᶻ − 1`.
#[inline(always)]
fn any_phi1<T: Number>(z: T, series: T, below: T) -> T {
    let quotient = below / z;
    if is_within(z, T::NEAR_ZERO) {
        series
    } else {
        quotient
    }
}

#[inline(always)]
fn is_within<T: Number>(z: T, bound: T) -> bool {
    (z > -bound) & (z < bound)
}

/// The exact solution after `dt` of dx/dt = drive − decay·x; `slow` where its time constant is long beside most steps, as that of
/// gates is.
#[inline(always)]
fn relax<T: Number, const FUSED: bool, const N: usize>(
    x: &[T; N],
    (drive, decay): (&Block<T, N>, &Block<T, N>),
    (dt, slow): (T, bool),
    next: &mut [T; N],
) {
    for i in 0..N {
        next[i] = -dt * decay[i];
    }
    into_phi1::<T, FUSED, N>(next, slow);
    for i in 0..N {
        next[i] = x[i] + (drive[i] - decay[i] * x[i]) * (dt * next[i]);
    }
}

/// A gate of which each rate is a term of its own, in one pass that keeps nothing in between: of its value, and of what α and β are taken
/// of. Whether `φ₁` of all elements was that of its shorter series; else nothing that was written counts.
#[inline(always)]
fn relax_by_rates<
    A: Rate,
    B: Rate,
    T: Number,
    C: Constant<T>,
    const FUSED: bool,
    const N: usize,
>(
    [x, of_alpha, of_beta]: [&[T; N]; 3],
    constants: [[C; 3]; 2],
    dt: T,
    next: &mut [T; N],
) -> bool {
    let mut all = true;
    for i in 0..N {
        let alpha = rate::<A, T, C, FUSED>(of_alpha[i], constants[0], i);
        let decay = alpha + rate::<B, T, C, FUSED>(of_beta[i], constants[1], i);
        let z = -dt * decay;
        all &= is_within(z, T::NEARER_ZERO);
        next[i] = x[i] + (alpha - decay * x[i]) * (dt * z.phi1_nearer_zero::<FUSED>());
    }
    all
}

/// The same of whatever terms they are, of neighbouring blocks of elements that have the same constants, one after the other with nothing
/// in between that a processor would have to wait for. By their bits the blocks that are left; none where it is another gate, or not all
/// that is read has as many elements.
#[inline(always)]
pub(super) fn gate_in_blocks<T: Number, const FUSED: bool, const N: usize>(
    motion: &Motion,
    reads: &[&[T]; MOST_READS],
    constants: &[T],
    dt: T,
    next: &mut [T],
) -> Option<u64> {
    let [(first, alpha), (second, beta)] = motion.terms()?;
    let of = [reads[1], reads[alpha.0], reads[beta.0]];
    let (blocks, _) = next.as_chunks_mut::<N>();
    let count = blocks.len();
    if count > 64 || of.iter().any(|read| read.len() < count * N) {
        return None;
    }
    let term = |at: usize| [at, at + 1, at + 2].map(|at| Same(constants[at]));
    let terms = [term(alpha.1), term(beta.1)];
    let left = for_rate!(first, A => for_rate!(second, B => {
        let mut left = 0;
        let [x, of_alpha, of_beta] = of.map(|read| read.as_chunks::<N>().0);
        for (block, next) in blocks.iter_mut().enumerate() {
            let of = [&x[block], &of_alpha[block], &of_beta[block]];
            let done = relax_by_rates::<A, B, T, Same<T>, FUSED, N>(of, terms, dt, next);
            left |= u64::from(!done) << block;
        }
        left
    }));
    left.flatten()
}

/// One variable after the step, or both parts of the voltage, the second in `other`.
#[inline(always)]
pub(super) fn advance<T: Number, C: Constants<T, N>, const FUSED: bool, const N: usize>(
    program: &Program,
    given: &Given<'_, T, C, N>,
    inflow: &[T; N],
    dt: T,
    scratch: &mut [Block<T, N>],
    (next, other): (&mut [T; N], Option<&mut [T; N]>),
) -> Option<()> {
    let v = given.reads[0];
    match &program.moves {
        Moves::Gate(motion) => {
            let x = given.reads[1];
            let ([decay, drive], parts) = scratch.split_first_chunk_mut::<2>()?;
            let (first, second) = curves::<T, C, FUSED, N>(motion, given, parts);
            let second = second?;
            if motion.form == Form::Rates {
                let (alpha, beta) = (first, second);
                for i in 0..N {
                    decay[i] = alpha[i] + beta[i];
                }
                relax::<T, FUSED, N>(x, (alpha, decay), (dt, true), next);
            } else {
                let (steady, time_constant) = (first, second);
                for i in 0..N {
                    decay[i] = T::ONE / time_constant[i];
                    drive[i] = steady[i] * decay[i];
                }
                relax::<T, FUSED, N>(x, (drive, decay), (dt, true), next);
            }
        }
        Moves::Pool(all) | Moves::Voltage(all, _) => {
            let ([decay, drive], rest) = scratch.split_first_chunk_mut::<2>()?;
            currents::<T, C, FUSED, N>(all, given, (decay, drive), rest)?;
            let Moves::Voltage(_, part) = program.moves else {
                let [own_decay, own_drive, influx] = given.term(0);
                let x = given.reads[1];
                for i in 0..N {
                    drive[i] = own_drive.at(i) + influx.at(i) * (drive[i] - decay[i] * v[i]);
                    decay[i] = own_decay.at(i);
                }
                relax::<T, FUSED, N>(x, (drive, decay), (dt, false), next);
                return Some(());
            };
            let (leak, constant) = (given.constants.one(0), given.constants.one(1));
            match part {
                Part::Moved => {
                    let (both, given) = ((&*drive, &*decay), (inflow, [leak, constant]));
                    if C::SHARED && relax_voltage::<T, C::One, FUSED, N>(v, both, given, dt, next) {
                        return Some(());
                    }
                    for i in 0..N {
                        drive[i] = constant.at(i) + drive[i] + inflow[i];
                        decay[i] += leak.at(i);
                    }
                    relax::<T, FUSED, N>(v, (drive, decay), (dt, false), next);
                }
                Part::Linear => {
                    let whole_drive = other?;
                    for i in 0..N {
                        next[i] = decay[i] + leak.at(i);
                        whole_drive[i] = constant.at(i) + drive[i] + inflow[i];
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
            let mut reads = [&inflow.0; MOST_READS];
            for (place, read) in reads.iter_mut().zip(&program.reads) {
                let block = if read.moved {
                    before.get(read.state - 1)?
                } else {
                    states.get(read.state)?
                };
                *place = &block.0;
            }
            let given = Given {
                reads: &reads,
                constants: own,
            };
            let (next, others) = now.split_first_mut()?;
            let outputs = (&mut next.0, others.first_mut().map(|other| &mut other.0));
            advance::<T, _, FUSED, N>(program, &given, inflow, self.dt, scratch, outputs)?;
        }
        Some(())
    }
}
