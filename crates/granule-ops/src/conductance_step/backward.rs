//! The backward pass on blocks, one variable at a time.

use super::RateCurve;
use super::backend::{Geometry, constants};
use super::cpu::{
    Given, Number, above_zero, bernoulli, combine, for_exponent, nernst, phi1, times, whole_power,
};
use super::program::{
    Battery, Current, Expression, Form, MOST_READS, Motion, Moves, Node, Origin, Part, Program,
    Slot,
};
use super::sweep::{BLOCK, Block, Body, Sink, Source, sweep};

/// Gradients by what a program read, by the inflow where it takes one, and by the tables, where `wanted` (the inflow, the
/// tables) and where the program has constants there; others are empty. `slices` are the adjoint of the new value, what was
/// read, the inflow and the tables.
pub(super) fn gradients<T: Number>(
    g: Geometry,
    program: &Program,
    dt: f64,
    [wants_inflow, wants_shared, wants_each]: [bool; 3],
    slices: &[&[T]],
) -> Vec<Vec<T>> {
    let [states @ .., shared, each] = slices else {
        return Vec::new();
    };
    let reads = program.reads.len();
    let mut inputs: Vec<Source<'_, T>> = Vec::with_capacity(2 + reads + program.slots.len());
    inputs.extend(states.iter().take(1 + reads).map(|x| Source::All(x)));
    let mut sinks = vec![Sink::All; reads];
    if program.takes_inflow() {
        let inflow = states.last().copied().unwrap_or_default();
        inputs.push(g.inflow(inflow));
        sinks.push(if wants_inflow && !inflow.is_empty() {
            Sink::All
        } else {
            Sink::Nothing
        });
    }
    let others = sinks.len();
    inputs.extend(constants(&program.slots, [shared, each], g.cells));
    let slots = program.slots.iter();
    sinks.extend(slots.map(|slot| sink(slot, [wants_shared, wants_each])));
    let body = Adjoint {
        program,
        constants: sinks[others..].iter().any(|sink| *sink != Sink::Nothing),
        dt: T::of(dt),
    };
    let mut gradients = sweep(&body, g.sizes(), &inputs, &sinks);
    let of_constants = gradients.split_off(others);
    if program.takes_inflow() {
        gradients
            .last_mut()
            .into_iter()
            .for_each(|last| g.fold_inflow(last));
    }
    let lengths = [shared.len(), each.len()];
    gradients.extend(tables(g, &program.slots, of_constants, lengths));
    gradients
}

fn sink(slot: &Slot, [shared, each]: [bool; 2]) -> Sink {
    match slot {
        Slot::Shared(_) if shared => Sink::Sum,
        Slot::Each(_) if each => Sink::All,
        _ => Sink::Nothing,
    }
}

/// Gradients of both tables, of those by the constants; empty where there are none.
fn tables<T: Number>(
    g: Geometry,
    slots: &[Slot],
    gradients: Vec<Vec<T>>,
    lengths: [usize; 2],
) -> [Vec<T>; 2] {
    let mut tables = [Vec::new(), Vec::new()];
    for (slot, gradient) in slots.iter().zip(gradients) {
        let (table, row, width) = match slot {
            Slot::Shared(row) => (0, *row, 1),
            Slot::Each(row) => (1, *row, g.cells),
            Slot::Number(_) => continue,
        };
        if gradient.is_empty() {
            continue;
        }
        tables[table].resize(lengths[table], T::ZERO);
        let sum = &mut tables[table][row * width..][..width];
        for part in gradient.chunks_exact(width) {
            for (sum, value) in sum.iter_mut().zip(part) {
                *sum += *value;
            }
        }
    }
    tables
}

/// `f` and `f′(z)`; of Hill's curve `f (1 − f)`.
#[inline(always)]
fn term<T: Number, const FUSED: bool>(
    curve: RateCurve,
    x: &Block<T>,
    [_, shift, steepness]: [&Block<T>; 3],
    value: &mut Block<T>,
    slope: &mut Block<T>,
) {
    let z = |i: usize| steepness[i] * (x[i] + shift[i]);
    match curve {
        RateCurve::Constant => (*value, *slope) = (Block::of(T::ONE), Block::of(T::ZERO)),
        RateCurve::Bernoulli => {
            let (cubic, linear, half) = (T::of(-1.0 / 180.0), T::of(1.0 / 6.0), T::of(0.5));
            for i in 0..BLOCK {
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
            for i in 0..BLOCK {
                value[i] = z(i).exponential::<FUSED>();
                slope[i] = value[i];
            }
        }
        RateCurve::Sigmoid => {
            for i in 0..BLOCK {
                value[i] = (-z(i)).sigmoid::<FUSED>();
                slope[i] = (value[i] - T::ONE) * value[i];
            }
        }
        RateCurve::Hill => {
            for i in 0..BLOCK {
                let logarithm = (above_zero(x[i]) / shift[i]).logarithm();
                value[i] = (steepness[i] * logarithm).sigmoid::<FUSED>();
                slope[i] = (T::ONE - value[i]) * value[i];
            }
        }
    }
}

/// Where the gradients of a program go.
struct Gradients<'a, T> {
    reads: &'a mut [Block<T>],
    constants: Option<&'a mut [Block<T>]>,
}

/// Of every part of a curve its value, `f`, `f′` and its adjoint, one list after another.
fn lists<'a, T>(
    expression: &Expression,
    parts: &'a mut [Block<T>],
) -> Option<[&'a mut [Block<T>]; 4]> {
    let n = expression.nodes.len();
    let (values, rest) = parts.split_at_mut_checked(n)?;
    let (curves, rest) = rest.split_at_mut_checked(n)?;
    let (slopes, rest) = rest.split_at_mut_checked(n)?;
    let (adjoints, _) = rest.split_at_mut_checked(n)?;
    Some([values, curves, slopes, adjoints])
}

/// Evaluates a curve with the slopes of its terms. Its value is the part of the number of its last node.
#[inline(always)]
fn record<T: Number, const FUSED: bool>(
    expression: &Expression,
    given: &Given<'_, T>,
    parts: &mut [Block<T>],
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
                term::<T, FUSED>(curve, given.reads[argument], constants, f, slope);
                for i in 0..BLOCK {
                    value[i] = constants[0][i] * f[i];
                }
            }
            ref node => combine(node, before, value),
        }
    }
    Some(())
}

/// Adds the gradients by what a recorded curve depends on, of that by its value.
#[inline(always)]
fn propagate<T: Number>(
    expression: &Expression,
    given: &Given<'_, T>,
    by_value: &Block<T>,
    parts: &mut [Block<T>],
    gradients: &mut Gradients<'_, T>,
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
                    for i in 0..BLOCK {
                        let by_z = adjoint[i] * scale[i] * slope[i] * steepness[i];
                        by_x[i] += by_z / above_zero(x[i]);
                    }
                } else if curve != RateCurve::Constant {
                    for i in 0..BLOCK {
                        by_x[i] += adjoint[i] * scale[i] * slope[i] * steepness[i];
                    }
                }
                let Some([by_scale, by_shift, by_steepness]) = of_constants else {
                    continue;
                };
                for i in 0..BLOCK {
                    let by_z = adjoint[i] * scale[i] * slope[i];
                    by_scale[i] = adjoint[i] * f[i];
                    by_shift[i] = by_z * steepness[i];
                    by_steepness[i] = by_z * (x[i] + shift[i]);
                }
                if curve == RateCurve::Hill {
                    for i in 0..BLOCK {
                        let by_z = adjoint[i] * scale[i] * slope[i];
                        by_shift[i] = -by_z * steepness[i] / shift[i];
                        by_steepness[i] = by_z * (above_zero(x[i]) / shift[i]).logarithm();
                    }
                }
            }
            Node::Sum(a, b) => (before[a], before[b]) = (*adjoint, *adjoint),
            Node::Product(a, b) => {
                for i in 0..BLOCK {
                    before[a][i] = adjoint[i] * values[b][i];
                    before[b][i] = adjoint[i] * values[a][i];
                }
            }
            Node::Power(base, exponent) => {
                let exponent = T::of(exponent);
                for i in 0..BLOCK {
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
fn places(motion: &Motion) -> [(usize, usize); 2] {
    let mut places = [(0, 0); 2];
    let mut from = 0;
    for (index, curve) in motion.curves.iter().take(2).enumerate() {
        places[index..].fill((from, from + curve.last()));
        from += 4 * curve.nodes.len();
    }
    places
}

#[inline(always)]
fn record_all<T: Number, const FUSED: bool>(
    motion: &Motion,
    given: &Given<'_, T>,
    parts: &mut [Block<T>],
) -> Option<()> {
    for (curve, (from, _)) in motion.curves.iter().zip(places(motion)) {
        record::<T, FUSED>(curve, given, parts.get_mut(from..)?)?;
    }
    Some(())
}

#[inline(always)]
fn propagate_all<T: Number>(
    motion: &Motion,
    given: &Given<'_, T>,
    by_curves: &[Block<T>; 2],
    parts: &mut [Block<T>],
    gradients: &mut Gradients<'_, T>,
) -> Option<()> {
    let places = places(motion);
    for ((curve, (from, _)), by_value) in motion.curves.iter().zip(places).zip(by_curves) {
        propagate(curve, given, by_value, parts.get_mut(from..)?, gradients)?;
    }
    Some(())
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

/// Gradients of a program. The inputs are the adjoint of the new value, what was read, the inflow where one is taken, and the
/// constants; the outputs follow the same order without the first.
struct Adjoint<'a, T> {
    program: &'a Program,
    constants: bool,
    dt: T,
}

impl<T: Number> Body<T> for Adjoint<'_, T> {
    fn scratch(&self) -> usize {
        self.program.scratch()
    }

    #[inline(always)]
    fn block<const FUSED: bool>(
        &self,
        input: &[Block<T>],
        output: &mut [Block<T>],
        scratch: &mut [Block<T>],
    ) -> Option<()> {
        let program = self.program;
        let (grad, rest) = input.split_first()?;
        let (read, rest) = rest.split_at_checked(program.reads.len())?;
        let (inflow, constants) = rest.split_at_checked(usize::from(program.takes_inflow()))?;
        // The adjoint is in the last place, which no program reads.
        let mut reads = [grad; MOST_READS];
        for (place, read) in reads.iter_mut().zip(read) {
            *place = read;
        }
        let given = Given {
            reads: &reads,
            constants,
        };
        let (by_reads, rest) = output.split_at_mut_checked(program.reads.len())?;
        let (by_inflow, by_constants) = rest.split_at_mut_checked(inflow.len())?;
        by_reads.fill(Block::of(T::ZERO));
        let gradients = Gradients {
            reads: by_reads,
            constants: self.constants.then_some(by_constants),
        };
        match &program.moves {
            Moves::Gate(motion) => self.gate::<FUSED>(motion, &given, scratch, gradients),
            Moves::Pool(all) | Moves::Voltage(all, _) => {
                let inflow = (inflow.first(), by_inflow.first_mut());
                self.by_currents::<FUSED>(all, &given, inflow, scratch, gradients)
            }
        }
    }
}

impl<T: Number> Adjoint<'_, T> {
    /// The adjoint of the new value.
    #[inline(always)]
    fn gate<const FUSED: bool>(
        &self,
        motion: &Motion,
        given: &Given<'_, T>,
        scratch: &mut [Block<T>],
        mut gradients: Gradients<'_, T>,
    ) -> Option<()> {
        let grad = given.reads[MOST_READS - 1];
        record_all::<T, FUSED>(motion, given, scratch)?;
        let [(_, first), (_, second)] = places(motion);
        let (first, second) = (scratch.get(first)?, scratch.get(second)?);
        let x = given.reads[1];
        let mut by_curves = [Block::of(T::ZERO); 2];
        let by_x = &mut gradients.reads[1];
        if motion.form == Form::Rates {
            let (alpha, beta) = (first, second);
            for i in 0..BLOCK {
                let decay = alpha[i] + beta[i];
                let [own, by_drive, by_decay] =
                    relax::<T, FUSED>(grad[i], x[i], alpha[i], decay, self.dt);
                by_x[i] = own;
                by_curves[0][i] = by_drive + by_decay;
                by_curves[1][i] = by_decay;
            }
        } else {
            let (steady, time_constant) = (first, second);
            for i in 0..BLOCK {
                let decay = T::ONE / time_constant[i];
                let drive = steady[i] * decay;
                let [own, by_drive, by_decay] =
                    relax::<T, FUSED>(grad[i], x[i], drive, decay, self.dt);
                by_x[i] = own;
                by_curves[0][i] = by_drive * decay;
                by_curves[1][i] = -((by_decay + by_drive * steady[i]) * decay * decay);
            }
        }
        propagate_all(motion, given, &by_curves, scratch, &mut gradients)
    }

    /// Of the voltage, which has an inflow, or of a concentration.
    #[inline(always)]
    fn by_currents<const FUSED: bool>(
        &self,
        all: &[Current],
        given: &Given<'_, T>,
        (inflow, by_inflow): (Option<&Block<T>>, Option<&mut Block<T>>),
        scratch: &mut [Block<T>],
        mut gradients: Gradients<'_, T>,
    ) -> Option<()> {
        let grad = given.reads[MOST_READS - 1];
        let ([decay, drive, by_decay, by_drive], rest) = scratch.split_first_chunk_mut::<4>()?;
        record_currents::<T, FUSED>(all, given, (decay, drive), rest)?;
        let v = given.reads[0];
        let (mut whole_decay, mut whole_drive) = (*decay, *drive);
        if let Some(inflow) = inflow {
            let [leak, constant] = [&given.constants[0], &given.constants[1]];
            for i in 0..BLOCK {
                whole_drive[i] = constant[i] + drive[i] + inflow[i];
                whole_decay[i] = leak[i] + decay[i];
            }
        } else {
            let [own_decay, own_drive, influx] = given.term(0);
            for i in 0..BLOCK {
                whole_drive[i] = own_drive[i] + influx[i] * (drive[i] - decay[i] * v[i]);
                whole_decay[i] = own_decay[i];
            }
        }
        let own = usize::from(inflow.is_none());
        let x = given.reads[own];
        let by_x = gradients.reads.get_mut(own)?;
        match self.program.moves {
            Moves::Voltage(_, Part::Decay) => {
                (*by_decay, *by_drive) = (*grad, Block::of(T::ZERO));
            }
            Moves::Voltage(_, Part::Drive) => {
                (*by_decay, *by_drive) = (Block::of(T::ZERO), *grad);
            }
            _ => {
                for i in 0..BLOCK {
                    [by_x[i], by_drive[i], by_decay[i]] =
                        relax::<T, FUSED>(grad[i], x[i], whole_drive[i], whole_decay[i], self.dt);
                }
            }
        }
        if let Some([first, second, ..]) = gradients.constants.as_deref_mut() {
            (*first, *second) = (*by_decay, *by_drive);
        }
        if let Some(by_inflow) = by_inflow {
            *by_inflow = *by_drive;
        } else {
            let influx = given.term(0)[2];
            let by_v = gradients.reads.first_mut()?;
            for i in 0..BLOCK {
                let by_current = by_drive[i] * influx[i];
                by_v[i] = -(by_current * decay[i]);
                by_decay[i] = -(by_current * v[i]);
            }
            if let Some(constants) = &mut gradients.constants {
                let by_influx = constants.get_mut(2)?;
                for i in 0..BLOCK {
                    by_influx[i] = by_drive[i] * (drive[i] - decay[i] * v[i]);
                }
            }
            for i in 0..BLOCK {
                by_drive[i] = by_drive[i] * influx[i];
            }
        }
        let by = (&*by_decay, &*by_drive);
        propagate_currents(all, given, by, rest, &mut gradients)
    }
}

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
fn record_currents<T: Number, const FUSED: bool>(
    currents: &[Current],
    given: &Given<'_, T>,
    (decay, drive): (&mut Block<T>, &mut Block<T>),
    mut scratch: &mut [Block<T>],
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
                    record_all::<T, FUSED>(motion, given, parts)?;
                    let [(_, first), (_, second)] = places(motion);
                    let (first, second) = (parts.get(first)?, parts.get(second)?);
                    if motion.form == Form::Rates {
                        for i in 0..BLOCK {
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
                for i in 0..BLOCK {
                    decay[i] += g[i] * open[i];
                    drive[i] += d[i] * open[i];
                }
            }
            Battery::Nernst { at, inside } => {
                let [factor, outside] = [&given.constants[at], &given.constants[at + 1]];
                let inside = given.reads[inside];
                for i in 0..BLOCK {
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
fn propagate_currents<T: Number>(
    currents: &[Current],
    given: &Given<'_, T>,
    (by_decay, by_drive): (&Block<T>, &Block<T>),
    mut scratch: &mut [Block<T>],
    gradients: &mut Gradients<'_, T>,
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
                for i in 0..BLOCK {
                    by_open[i] = by_decay[i] * g[i] + by_drive[i] * d[i];
                }
                if let Some(constants) = &mut gradients.constants {
                    for i in 0..BLOCK {
                        constants[current.conductance][i] = by_decay[i] * open[i];
                        constants[at][i] = by_drive[i] * open[i];
                    }
                }
            }
            Battery::Nernst { at, inside } => {
                let [factor, outside] = [&given.constants[at], &given.constants[at + 1]];
                let c = given.reads[inside];
                let by_c = &mut gradients.reads[inside];
                for i in 0..BLOCK {
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
                        for i in 0..BLOCK {
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
                    for i in 0..BLOCK {
                        by_x[i] += by_gate[i];
                    }
                }
                Origin::Steady(motion) => {
                    let (value, parts) = own.get_mut(from..)?.split_first_mut()?;
                    let [(_, first), (_, second)] = places(motion);
                    let mut by_curves = [by_gate; 2];
                    if motion.form == Form::Rates {
                        let (alpha, beta) = (parts.get(first)?, parts.get(second)?);
                        for i in 0..BLOCK {
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
