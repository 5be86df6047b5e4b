//! Gradients of one variable of a step.

use super::super::cpu::{Given, Number, phi1};
use super::super::program::{Current, Form, Motion, Moves, Program};
use super::super::sweep::Block;
use super::Gradients;
use super::currents::{propagate_currents, record_currents};
use super::curve::{places, propagate_all, record_all};

/// The adjoint of what a program computes.
#[derive(Clone, Copy)]
pub(super) enum By<'a, T, const N: usize> {
    /// Of the variable after the step.
    Moved(&'a Block<T, N>),
    /// Of the decay and the drive of the voltage.
    Linear(&'a Block<T, N>, &'a Block<T, N>),
}

/// `dt φ₁(z)` and `dt² φ₁′(z)` with `z = −dt·decay`.
#[inline(always)]
fn relaxation<T: Number, const FUSED: bool>(decay: T, dt: T) -> (T, T) {
    let z = -dt * decay;
    let below = z.exponential_minus_one::<FUSED>();
    let phi = phi1(z, below);
    let series = ((T::of(1.0 / 30.0) * z + T::of(1.0 / 8.0)) * z + T::of(1.0 / 3.0)) * z;
    let quotient = (below + (T::ONE - phi)) / z;
    let slope = if z * z < T::TINY * T::TINY {
        series + T::of(0.5)
    } else {
        quotient
    };
    (dt * phi, dt * dt * slope)
}

/// The gradients by x, drive and decay of the solution after `dt` of dx/dt = drive − decay·x.
#[inline(always)]
fn relax<T: Number, const FUSED: bool>(grad: T, x: T, drive: T, decay: T, dt: T) -> [T; 3] {
    let (factor, slope) = relaxation::<T, FUSED>(decay, dt);
    let of_drive = grad * factor;
    let by_decay = x * factor + slope * (drive - decay * x);
    [grad - of_drive * decay, of_drive, -(grad * by_decay)]
}

/// Adds the gradients by what a program read and by the inflow, and writes those by its constants.
#[inline(always)]
pub(super) fn variable<T: Number, const FUSED: bool, const N: usize>(
    program: &Program,
    given: &Given<'_, T, &[Block<T, N>], N>,
    (by, dt): (By<'_, T, N>, T),
    (inflow, by_inflow): (&Block<T, N>, &mut Block<T, N>),
    scratch: &mut [Block<T, N>],
    gradients: Gradients<'_, T, N>,
) -> Option<()> {
    match (&program.moves, by) {
        (Moves::Gate(motion), By::Moved(grad)) => {
            gate::<T, FUSED, N>(motion, given, (grad, dt), scratch, gradients)
        }
        (Moves::Pool(all), By::Moved(_)) => {
            currents::<T, FUSED, N>(all, given, (by, dt), None, scratch, gradients)
        }
        (Moves::Voltage(all, _), _) => {
            let inflow = Some((inflow, by_inflow));
            currents::<T, FUSED, N>(all, given, (by, dt), inflow, scratch, gradients)
        }
        _ => None,
    }
}

/// Of a gate, by the adjoint of its new value.
#[inline(always)]
fn gate<T: Number, const FUSED: bool, const N: usize>(
    motion: &Motion,
    given: &Given<'_, T, &[Block<T, N>], N>,
    (grad, dt): (&Block<T, N>, T),
    scratch: &mut [Block<T, N>],
    mut gradients: Gradients<'_, T, N>,
) -> Option<()> {
    record_all::<T, FUSED, N>(motion, given, scratch)?;
    let [(_, first), (_, second)] = places(motion);
    let (first, second) = (scratch.get(first)?, scratch.get(second)?);
    let x = given.reads[1];
    let mut by_curves = [Block::of(T::ZERO); 2];
    let by_x = &mut gradients.reads[1];
    if motion.form == Form::Rates {
        let (alpha, beta) = (first, second);
        for i in 0..N {
            let decay = alpha[i] + beta[i];
            let [own, by_drive, by_decay] = relax::<T, FUSED>(grad[i], x[i], alpha[i], decay, dt);
            by_x[i] = own;
            by_curves[0][i] = by_drive + by_decay;
            by_curves[1][i] = by_decay;
        }
    } else {
        let (steady, time_constant) = (first, second);
        for i in 0..N {
            let decay = T::ONE / time_constant[i];
            let drive = steady[i] * decay;
            let [own, by_drive, by_decay] = relax::<T, FUSED>(grad[i], x[i], drive, decay, dt);
            by_x[i] = own;
            by_curves[0][i] = by_drive * decay;
            by_curves[1][i] = -((by_decay + by_drive * steady[i]) * decay * decay);
        }
    }
    propagate_all(motion, given, &by_curves, scratch, &mut gradients)
}

/// Of the voltage, which has an inflow, or of a concentration.
#[inline(always)]
fn currents<T: Number, const FUSED: bool, const N: usize>(
    all: &[Current],
    given: &Given<'_, T, &[Block<T, N>], N>,
    (by, dt): (By<'_, T, N>, T),
    inflow: Option<(&Block<T, N>, &mut Block<T, N>)>,
    scratch: &mut [Block<T, N>],
    mut gradients: Gradients<'_, T, N>,
) -> Option<()> {
    let ([decay, drive, by_decay, by_drive], rest) = scratch.split_first_chunk_mut::<4>()?;
    record_currents::<T, FUSED, N>(all, given, (decay, drive), rest)?;
    let v = given.reads[0];
    match by {
        By::Linear(decay, drive) => (*by_decay, *by_drive) = (*decay, *drive),
        By::Moved(grad) => {
            let (mut whole_decay, mut whole_drive) = (*decay, *drive);
            if let Some((inflow, _)) = &inflow {
                let [leak, constant] = [&given.constants[0], &given.constants[1]];
                for i in 0..N {
                    whole_drive[i] = constant[i] + drive[i] + inflow[i];
                    whole_decay[i] = leak[i] + decay[i];
                }
            } else {
                let [own_decay, own_drive, influx] = given.term(0);
                for i in 0..N {
                    whole_drive[i] = own_drive[i] + influx[i] * (drive[i] - decay[i] * v[i]);
                    whole_decay[i] = own_decay[i];
                }
            }
            let own = usize::from(inflow.is_none());
            let x = given.reads[own];
            let by_x = gradients.reads.get_mut(own)?;
            for i in 0..N {
                [by_x[i], by_drive[i], by_decay[i]] =
                    relax::<T, FUSED>(grad[i], x[i], whole_drive[i], whole_decay[i], dt);
            }
        }
    }
    if let Some([first, second, ..]) = gradients.constants.as_deref_mut() {
        (*first, *second) = (*by_decay, *by_drive);
    }
    if let Some((_, by_inflow)) = inflow {
        *by_inflow = *by_drive;
    } else {
        let influx = given.term(0)[2];
        let by_v = gradients.reads.first_mut()?;
        for i in 0..N {
            let by_current = by_drive[i] * influx[i];
            by_v[i] = -(by_current * decay[i]);
            by_decay[i] = -(by_current * v[i]);
        }
        if let Some(constants) = &mut gradients.constants {
            let by_influx = constants.get_mut(2)?;
            for i in 0..N {
                by_influx[i] = by_drive[i] * (drive[i] - decay[i] * v[i]);
            }
        }
        for i in 0..N {
            by_drive[i] = by_drive[i] * influx[i];
        }
    }
    let by = (&*by_decay, &*by_drive);
    propagate_currents(all, given, by, rest, &mut gradients)
}
