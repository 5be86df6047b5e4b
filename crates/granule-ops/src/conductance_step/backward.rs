//! The backward pass on blocks, one variable at a time.

use super::backend::{Geometry, constants};
use super::cpu::{Number, bernoulli, currents, phi1, take};
use super::sweep::{BLOCK, Block, Body, Sink, Source, sweep};
use super::{Layout, MEMBRANE, RATE, RateCurve, Slot};

/// Gradients by v, by the gate, and by the tables, where `wanted` and where the gate has constants there; others are empty.
/// `slices` are the adjoint of the new value, v, the old value and the tables.
pub(super) fn gate<T: Number>(
    g: Geometry,
    layout: &Layout,
    dt: f64,
    gate: usize,
    wanted: [bool; 2],
    slices: &[&[T]],
) -> Vec<Vec<T>> {
    let [grad, v, x, shared, each] = *slices else {
        return Vec::new();
    };
    let slots: Vec<Slot> = layout.rates[gate].iter().flatten().copied().collect();
    let mut inputs = vec![Source::All(grad), Source::All(v), Source::All(x)];
    inputs.extend(constants(&slots, [shared, each], g.cells));
    let mut sinks = vec![Sink::All; 2];
    sinks.extend(slots.iter().map(|slot| sink(slot, wanted)));
    let body = Gate {
        layout,
        gate,
        constants: sinks[2..].iter().any(|sink| *sink != Sink::Nothing),
        dt: T::of(dt),
    };
    let mut gradients = sweep(&body, g.sizes(), &inputs, &sinks);
    let of_constants = gradients.split_off(2);
    gradients.extend(tables(g, &slots, of_constants, [shared.len(), each.len()]));
    gradients
}

/// Gradients by v, m, h, n, the inflow and the tables; as for a [`gate`].
pub(super) fn voltage<T: Number>(
    g: Geometry,
    layout: &Layout,
    dt: f64,
    [wants_inflow, wants_shared, wants_each]: [bool; 3],
    slices: &[&[T]],
) -> Vec<Vec<T>> {
    let [grad, v, m, h, n, inflow, shared, each] = *slices else {
        return Vec::new();
    };
    let mut slots = layout.membrane.to_vec();
    slots.extend(layout.rates[0].iter().flatten().map(|slot| {
        if layout.instantaneous_m {
            *slot
        } else {
            Slot::Number(0.0)
        }
    }));
    let mut inputs: Vec<Source<'_, T>> = [grad, v, m, h, n].map(Source::All).to_vec();
    inputs.push(g.inflow(inflow));
    inputs.extend(constants(&slots, [shared, each], g.cells));
    let mut sinks = vec![Sink::All; 5];
    if layout.instantaneous_m {
        sinks[1] = Sink::Nothing;
    }
    if !wants_inflow || inflow.is_empty() {
        sinks[4] = Sink::Nothing;
    }
    sinks.extend(
        slots
            .iter()
            .map(|slot| sink(slot, [wants_shared, wants_each])),
    );
    let of_rates = &sinks[5 + MEMBRANE..];
    let body = Voltage {
        layout,
        constants: of_rates.iter().any(|sink| *sink != Sink::Nothing),
        dt: T::of(dt),
    };
    let mut gradients = sweep(&body, g.sizes(), &inputs, &sinks);
    let of_constants = gradients.split_off(5);
    g.fold_inflow(&mut gradients[4]);
    gradients.extend(tables(g, &slots, of_constants, [shared.len(), each.len()]));
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

/// `f(z)` and `f′(z)`.
#[inline(always)]
fn curve<T: Number, const FUSED: bool>(
    curve: RateCurve,
    v: &Block<T>,
    [_, shift, steepness]: &[Block<T>; RATE],
    value: &mut Block<T>,
    slope: &mut Block<T>,
) {
    let z = |i: usize| steepness[i] * (v[i] + shift[i]);
    match curve {
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
    }
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

/// Both rates of a gate.
struct Rates<T> {
    value: [Block<T>; 2],
    slope: [Block<T>; 2],
}

impl<T: Number> Rates<T> {
    /// `f` and `f′` of α and β.
    #[inline(always)]
    fn new<const FUSED: bool>(
        curves: [RateCurve; 2],
        v: &Block<T>,
        constants: [&[Block<T>; RATE]; 2],
    ) -> Self {
        let mut rates = Self {
            value: [[T::ZERO; BLOCK]; 2],
            slope: [[T::ZERO; BLOCK]; 2],
        };
        for of in 0..2 {
            let (value, slope) = (&mut rates.value[of], &mut rates.slope[of]);
            curve::<T, FUSED>(curves[of], v, constants[of], value, slope);
        }
        rates
    }

    /// Adds the gradient by v and writes those by the constants, of those by the rates.
    #[inline(always)]
    fn backward(
        &self,
        grad: &[Block<T>; 2],
        v: &Block<T>,
        constants: [&[Block<T>; RATE]; 2],
        grad_v: &mut Block<T>,
        outputs: Option<&mut [Block<T>]>,
    ) {
        for of in 0..2 {
            let ([scale, _, steepness], slope) = (constants[of], &self.slope[of]);
            for i in 0..BLOCK {
                grad_v[i] += grad[of][i] * scale[i] * slope[i] * steepness[i];
            }
        }
        let Some([a, b, c, d, e, f]) = outputs else {
            return;
        };
        for (of, [by_scale, by_shift, by_steepness]) in
            [[a, b, c], [d, e, f]].into_iter().enumerate()
        {
            let ([scale, shift, steepness], slope) = (constants[of], &self.slope[of]);
            for i in 0..BLOCK {
                let by_z = grad[of][i] * scale[i] * slope[i];
                by_scale[i] = grad[of][i] * self.value[of][i];
                by_shift[i] = by_z * steepness[i];
                by_steepness[i] = by_z * (v[i] + shift[i]);
            }
        }
    }
}

/// Gradients of a gate: by v, by its old value and, where wanted, by the constants of its rates. The inputs are the adjoint
/// of the new value, v, the old value and the constants.
pub(super) struct Gate<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) gate: usize,
    pub(super) constants: bool,
    pub(super) dt: T,
}

impl<T: Number> Body<T> for Gate<'_, T> {
    #[inline(always)]
    fn block<const FUSED: bool>(
        &self,
        mut input: &[Block<T>],
        output: &mut [Block<T>],
    ) -> Option<()> {
        let [grad_v, grad_x, outputs @ ..] = output else {
            return None;
        };
        let [grad, v, x] = take(&mut input)?;
        let constants: [&[Block<T>; RATE]; 2] = [take(&mut input)?, take(&mut input)?];
        let rates = Rates::new::<FUSED>(self.layout.curves[self.gate], v, constants);
        let [[scale_a, ..], [scale_b, ..]] = constants;
        let mut by_rates = [[T::ZERO; BLOCK]; 2];
        for i in 0..BLOCK {
            let alpha = scale_a[i] * rates.value[0][i];
            let decay = alpha + scale_b[i] * rates.value[1][i];
            let [by_x, by_drive, by_decay] =
                relax::<T, FUSED>(grad[i], x[i], alpha, decay, self.dt);
            grad_x[i] = by_x;
            by_rates[0][i] = by_drive + by_decay;
            by_rates[1][i] = by_decay;
        }
        *grad_v = [T::ZERO; BLOCK];
        let outputs = self.constants.then_some(outputs);
        rates.backward(&by_rates, v, constants, grad_v, outputs);
        Some(())
    }
}

/// Gradients of the voltage: by its old value, by m, h and n, by the inflow, by the membrane and, where m follows the
/// voltage and they are wanted, by the constants of its rates. The inputs are the adjoint of the new value, v, the new
/// gates, the inflow, the membrane, and the constants of m's rates; what there is not is ignored.
pub(super) struct Voltage<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) constants: bool,
    pub(super) dt: T,
}

impl<T: Number> Body<T> for Voltage<'_, T> {
    #[inline(always)]
    fn block<const FUSED: bool>(
        &self,
        mut input: &[Block<T>],
        output: &mut [Block<T>],
    ) -> Option<()> {
        let [grad, v, m, h, n, inflow] = take(&mut input)?;
        let membrane: &[Block<T>; MEMBRANE] = take(&mut input)?;
        let [grad_v, grad_m, grad_h, grad_n, grad_inflow, outputs @ ..] = output else {
            return None;
        };
        let (outputs, of_m) = outputs.split_first_chunk_mut::<MEMBRANE>()?;
        let constants: [&[Block<T>; RATE]; 2] = [take(&mut input)?, take(&mut input)?];
        let mut steady = [T::ZERO; BLOCK];
        let rates = self.layout.instantaneous_m.then(|| {
            let rates = Rates::new::<FUSED>(self.layout.curves[0], v, constants);
            let [[scale_a, ..], [scale_b, ..]] = constants;
            for i in 0..BLOCK {
                let alpha = scale_a[i] * rates.value[0][i];
                steady[i] = alpha / (alpha + scale_b[i] * rates.value[1][i]);
            }
            rates
        });
        let m = if rates.is_some() { &steady } else { m };
        let [_, _, g_s, d_s, g_p, d_p] = membrane;
        let [by_leak, by_drive0, by_g_s, by_d_s, by_g_p, by_d_p] = outputs;
        let three = T::of(3.0);
        let four = T::of(4.0);
        for i in 0..BLOCK {
            let (m, h, n) = (m[i], h[i], n[i]);
            let (decay, drive) = currents(membrane, i, m, h, n);
            let [by_v, by_drive, by_decay] =
                relax::<T, FUSED>(grad[i], v[i], drive + inflow[i], decay, self.dt);
            let by_s = by_decay * g_s[i] + by_drive * d_s[i];
            let by_p = by_decay * g_p[i] + by_drive * d_p[i];
            let (m_square, n_square) = (m * m, n * n);
            grad_v[i] = by_v;
            grad_m[i] = three * m_square * h * by_s;
            grad_h[i] = m_square * m * by_s;
            grad_n[i] = four * n_square * n * by_p;
            grad_inflow[i] = by_drive;
            by_leak[i] = by_decay;
            by_drive0[i] = by_drive;
            let (s, p) = (m_square * m * h, n_square * n_square);
            by_g_s[i] = by_decay * s;
            by_d_s[i] = by_drive * s;
            by_g_p[i] = by_decay * p;
            by_d_p[i] = by_drive * p;
        }
        if let Some(rates) = rates {
            let [[scale_a, ..], [scale_b, ..]] = constants;
            let mut by_rates = [[T::ZERO; BLOCK]; 2];
            for i in 0..BLOCK {
                let alpha = scale_a[i] * rates.value[0][i];
                let sum = alpha + scale_b[i] * rates.value[1][i];
                let by_sum = grad_m[i] / sum;
                by_rates[0][i] = by_sum * (T::ONE - steady[i]);
                by_rates[1][i] = -(by_sum * steady[i]);
            }
            let outputs = self.constants.then_some(of_m);
            rates.backward(&by_rates, v, constants, grad_v, outputs);
        }
        Some(())
    }
}
