//! Gradients of the currents of channels.

use super::super::cpu::{Given, Number, above_zero, for_exponent, nernst, times, whole_power};
use super::super::program::{Battery, Current, Form, Origin};
use super::super::sweep::Block;
use super::Gradients;
use super::curve::{places, propagate_all, record_all};

/// Blocks of a current in the scratch: what is open, and of each gate without dynamics its value and its curves.
fn blocks(current: &Current) -> usize {
    let gates = current.gates.iter();
    1 + gates.map(|(origin, _)| blocks_of(origin)).sum::<usize>()
}

fn blocks_of(origin: &Origin) -> usize {
    match origin {
        Origin::State(_) => 0,
        Origin::Steady(motion) => 1 + 4 * motion.nodes(),
    }
}

/// What the channels add to decay and drive, with all that their gradients need.
#[inline(always)]
pub(super) fn record_currents<T: Number, const FUSED: bool, const N: usize>(
    currents: &[Current],
    given: &Given<'_, T, &[Block<T, N>], N>,
    (decay, drive): (&mut Block<T, N>, &mut Block<T, N>),
    mut scratch: &mut [Block<T, N>],
) -> Option<()> {
    (*decay, *drive) = (Block::of(T::ZERO), Block::of(T::ZERO));
    for current in currents {
        let (own, later) = scratch.split_at_mut_checked(blocks(current))?;
        scratch = later;
        let (open, mut own) = own.split_first_mut()?;
        *open = Block::of(T::ONE);
        for (gate, (origin, exponent)) in current.gates.iter().enumerate() {
            let (gates, rest) = own.split_at_mut_checked(blocks_of(origin))?;
            own = rest;
            let x = match origin {
                Origin::State(read) => given.reads[*read],
                Origin::Steady(motion) => {
                    let (value, parts) = gates.split_first_mut()?;
                    record_all::<T, FUSED, N>(motion, given, parts)?;
                    let [(_, first), (_, second)] = places(motion);
                    let (first, second) = (parts.get(first)?, parts.get(second)?);
                    if motion.form == Form::Rates {
                        for i in 0..N {
                            value[i] = first[i] / (first[i] + second[i]);
                        }
                    } else {
                        *value = *first;
                    }
                    &*value
                }
            };
            times(open, x, *exponent, gate == 0);
        }
        let g = &given.constants[current.conductance];
        match current.battery {
            Battery::Drive(at) => {
                let d = &given.constants[at];
                for i in 0..N {
                    decay[i] += g[i] * open[i];
                    drive[i] += d[i] * open[i];
                }
            }
            Battery::Nernst { at, inside } => {
                let [factor, outside] = [&given.constants[at], &given.constants[at + 1]];
                let inside = given.reads[inside];
                for i in 0..N {
                    let conductance = g[i] * open[i];
                    decay[i] += conductance;
                    drive[i] += conductance * nernst(factor[i], outside[i], inside[i]);
                }
            }
        }
    }
    Some(())
}

/// Adds the gradients by what recorded currents depend on, of those by what they add to decay and drive.
#[inline(always)]
pub(super) fn propagate_currents<T: Number, const N: usize>(
    currents: &[Current],
    given: &Given<'_, T, &[Block<T, N>], N>,
    (by_decay, by_drive): (&Block<T, N>, &Block<T, N>),
    mut scratch: &mut [Block<T, N>],
    gradients: &mut Gradients<'_, T, N>,
) -> Option<()> {
    for current in currents {
        let (own, later) = scratch.split_at_mut_checked(blocks(current))?;
        scratch = later;
        let (open, own) = own.split_first_mut()?;
        let g = &given.constants[current.conductance];
        let mut by_open = Block::of(T::ZERO);
        match current.battery {
            Battery::Drive(at) => {
                let d = &given.constants[at];
                for i in 0..N {
                    by_open[i] = by_decay[i] * g[i] + by_drive[i] * d[i];
                }
                if let Some(constants) = &mut gradients.constants {
                    for i in 0..N {
                        constants[current.conductance][i] = by_decay[i] * open[i];
                        constants[at][i] = by_drive[i] * open[i];
                    }
                }
            }
            Battery::Nernst { at, inside } => {
                let [factor, outside] = [&given.constants[at], &given.constants[at + 1]];
                let c = given.reads[inside];
                let by_c = &mut gradients.reads[inside];
                for i in 0..N {
                    let reversal = nernst(factor[i], outside[i], c[i]);
                    let by_conductance = by_decay[i] + by_drive[i] * reversal;
                    let by_reversal = by_drive[i] * g[i] * open[i];
                    by_open[i] = by_conductance * g[i];
                    by_c[i] += -(by_reversal * factor[i]) / above_zero(c[i]);
                    if let Some(constants) = &mut gradients.constants {
                        let quotient = outside[i] / above_zero(c[i]);
                        constants[current.conductance][i] = by_conductance * open[i];
                        constants[at][i] = by_reversal * quotient.logarithm();
                        constants[at + 1][i] = by_reversal * factor[i] / outside[i];
                    }
                }
            }
        }
        let mut from = 0;
        for (gate, (origin, exponent)) in current.gates.iter().enumerate() {
            let mut by_gate = by_open;
            let mut place = 0;
            for (other, (origin, power)) in current.gates.iter().enumerate() {
                let x = match origin {
                    Origin::State(read) => given.reads[*read],
                    Origin::Steady(_) => own.get(place)?,
                };
                place += blocks_of(origin);
                if other == gate {
                    let factor = T::of(f64::from(*exponent));
                    for_exponent!(exponent.saturating_sub(1), n => {
                        for i in 0..N {
                            by_gate[i] = by_gate[i] * (factor * whole_power(x[i], n));
                        }
                    });
                } else {
                    times(&mut by_gate, x, *power, false);
                }
            }
            match origin {
                Origin::State(read) => {
                    let by_x = &mut gradients.reads[*read];
                    for i in 0..N {
                        by_x[i] += by_gate[i];
                    }
                }
                Origin::Steady(motion) => {
                    let (value, parts) = own.get_mut(from..)?.split_first_mut()?;
                    let [(_, first), (_, second)] = places(motion);
                    let mut by_curves = [by_gate; 2];
                    if motion.form == Form::Rates {
                        let (alpha, beta) = (parts.get(first)?, parts.get(second)?);
                        for i in 0..N {
                            let by_sum = by_gate[i] / (alpha[i] + beta[i]);
                            by_curves[0][i] = by_sum * (T::ONE - value[i]);
                            by_curves[1][i] = -(by_sum * value[i]);
                        }
                    }
                    propagate_all(motion, given, &by_curves, parts, gradients)?;
                }
            }
            from += blocks_of(origin);
        }
    }
    Some(())
}
