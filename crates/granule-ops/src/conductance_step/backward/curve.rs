//! Gradients of curves.

use super::super::RateCurve;
use super::super::cpu::{Given, Number, above_zero, bernoulli, combine};
use super::super::program::{Expression, Motion, Node};
use super::super::sweep::Block;
use super::Gradients;

/// `f` and `f′(z)`; of Hill's curve `f (1 − f)`.
#[inline(always)]
fn term<T: Number, const FUSED: bool, const N: usize>(
    curve: RateCurve,
    x: &[T; N],
    [_, shift, steepness]: [&[T; N]; 3],
    value: &mut Block<T, N>,
    slope: &mut Block<T, N>,
) {
    let z = |i: usize| steepness[i] * (x[i] + shift[i]);
    match curve {
        RateCurve::Constant => (*value, *slope) = (Block::of(T::ONE), Block::of(T::ZERO)),
        RateCurve::Bernoulli => {
            let (cubic, linear, half) = (T::of(-1.0 / 180.0), T::of(1.0 / 6.0), T::of(0.5));
            for i in 0..N {
                let z = z(i);
                let below = z.exponential_minus_one::<FUSED>();
                let b = bernoulli(z, below);
                let square = z * z;
                // B′ = (1 − B)/(eᶻ − 1) − B, whose terms cancel near 0.
                let series = (cubic * square + linear) * z - half;
                let quotient = (T::ONE - b) / below - b;
                value[i] = b;
                slope[i] = if square < T::SMALL * T::SMALL {
                    series
                } else {
                    quotient
                };
            }
        }
        RateCurve::Exponential => {
            for i in 0..N {
                value[i] = z(i).exponential::<FUSED>();
                slope[i] = value[i];
            }
        }
        RateCurve::Sigmoid => {
            for i in 0..N {
                value[i] = (-z(i)).sigmoid::<FUSED>();
                slope[i] = (value[i] - T::ONE) * value[i];
            }
        }
        RateCurve::Hill => {
            for i in 0..N {
                let logarithm = (above_zero(x[i]) / shift[i]).logarithm();
                value[i] = (steepness[i] * logarithm).sigmoid::<FUSED>();
                slope[i] = (T::ONE - value[i]) * value[i];
            }
        }
    }
}

/// Of every part of a curve its value, `f`, `f′` and its adjoint, one list after another.
fn lists<'a, T, const N: usize>(
    expression: &Expression,
    parts: &'a mut [Block<T, N>],
) -> Option<[&'a mut [Block<T, N>]; 4]> {
    let n = expression.nodes.len();
    let (values, rest) = parts.split_at_mut_checked(n)?;
    let (curves, rest) = rest.split_at_mut_checked(n)?;
    let (slopes, rest) = rest.split_at_mut_checked(n)?;
    let (adjoints, _) = rest.split_at_mut_checked(n)?;
    Some([values, curves, slopes, adjoints])
}

/// Evaluates a curve with the slopes of its terms. Its value is the part of the number of its last node.
#[inline(always)]
fn record<T: Number, const FUSED: bool, const N: usize>(
    expression: &Expression,
    given: &Given<'_, T, &[Block<T, N>], N>,
    parts: &mut [Block<T, N>],
) -> Option<()> {
    let [values, curves, slopes, _] = lists(expression, parts)?;
    for (index, node) in expression.nodes.iter().enumerate() {
        let (before, now) = values.split_at_mut(index);
        let value = &mut now[0];
        match *node {
            Node::Term {
                curve,
                argument,
                at,
            } => {
                let constants = given.term(at);
                let (f, slope) = (&mut curves[index], &mut slopes[index]);
                term::<T, FUSED, N>(curve, given.reads[argument], constants, f, slope);
                for i in 0..N {
                    value[i] = constants[0][i] * f[i];
                }
            }
            ref node => combine(node, before, value),
        }
    }
    Some(())
}

/// From the gradient by the value of a recorded curve, adds those by its arguments and coefficients.
#[inline(always)]
fn propagate<T: Number, const N: usize>(
    expression: &Expression,
    given: &Given<'_, T, &[Block<T, N>], N>,
    by_value: &Block<T, N>,
    parts: &mut [Block<T, N>],
    gradients: &mut Gradients<'_, T, N>,
) -> Option<()> {
    let [values, curves, slopes, adjoints] = lists(expression, parts)?;
    *adjoints.last_mut()? = *by_value;
    for (index, node) in expression.nodes.iter().enumerate().rev() {
        let (before, now) = adjoints.split_at_mut(index);
        let adjoint = &now[0];
        match *node {
            Node::Term {
                curve,
                argument,
                at,
            } => {
                let [scale, shift, steepness] = given.term(at);
                let (x, f, slope) = (given.reads[argument], &curves[index], &slopes[index]);
                let by_x = &mut gradients.reads[argument];
                let of_constants = gradients.constants.as_deref_mut();
                let of_constants = match of_constants {
                    Some(all) => Some(all.get_mut(at..)?.first_chunk_mut::<3>()?),
                    None => None,
                };
                if curve == RateCurve::Hill {
                    for i in 0..N {
                        let by_z = adjoint[i] * scale[i] * slope[i] * steepness[i];
                        by_x[i] += by_z / above_zero(x[i]);
                    }
                } else if curve != RateCurve::Constant {
                    for i in 0..N {
                        by_x[i] += adjoint[i] * scale[i] * slope[i] * steepness[i];
                    }
                }
                let Some([by_scale, by_shift, by_steepness]) = of_constants else {
                    continue;
                };
                for i in 0..N {
                    let by_z = adjoint[i] * scale[i] * slope[i];
                    by_scale[i] = adjoint[i] * f[i];
                    by_shift[i] = by_z * steepness[i];
                    by_steepness[i] = by_z * (x[i] + shift[i]);
                }
                if curve == RateCurve::Hill {
                    for i in 0..N {
                        let by_z = adjoint[i] * scale[i] * slope[i];
                        by_shift[i] = -by_z * steepness[i] / shift[i];
                        by_steepness[i] = by_z * (above_zero(x[i]) / shift[i]).logarithm();
                    }
                }
            }
            Node::Sum(a, b) => (before[a], before[b]) = (*adjoint, *adjoint),
            Node::Product(a, b) => {
                for i in 0..N {
                    before[a][i] = adjoint[i] * values[b][i];
                    before[b][i] = adjoint[i] * values[a][i];
                }
            }
            Node::Power(base, exponent) => {
                let exponent = T::of(exponent);
                for i in 0..N {
                    let x = values[base][i];
                    let quotient = values[index][i] / x;
                    let slope = if x == T::ZERO { T::ZERO } else { quotient };
                    before[base][i] = adjoint[i] * exponent * slope;
                }
            }
        }
    }
    Some(())
}

/// Where the parts of the curves of a gate begin, and where their values are; of a single curve twice the same.
pub(super) fn places(motion: &Motion) -> [(usize, usize); 2] {
    let mut places = [(0, 0); 2];
    let mut from = 0;
    for (index, curve) in motion.curves.iter().take(2).enumerate() {
        places[index..].fill((from, from + curve.last()));
        from += 4 * curve.nodes.len();
    }
    places
}

#[inline(always)]
pub(super) fn record_all<T: Number, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, &[Block<T, N>], N>,
    parts: &mut [Block<T, N>],
) -> Option<()> {
    for (curve, (from, _)) in motion.curves.iter().zip(places(motion)) {
        record::<T, FUSED, N>(curve, given, parts.get_mut(from..)?)?;
    }
    Some(())
}

#[inline(always)]
pub(super) fn propagate_all<T: Number, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, &[Block<T, N>], N>,
    by_curves: &[Block<T, N>; 2],
    parts: &mut [Block<T, N>],
    gradients: &mut Gradients<'_, T, N>,
) -> Option<()> {
    let places = places(motion);
    for ((curve, (from, _)), by_value) in motion.curves.iter().zip(places).zip(by_curves) {
        propagate(curve, given, by_value, parts.get_mut(from..)?, gradients)?;
    }
    Some(())
}
