//! One step of one trial in both directions, of each cell; the equations are those of [`super`].
//!
//! A loop writes one slice, or two: with more of them a compiler no longer knows that they lie apart.

use crate::firing_rate::cpu::{Phi, Sigmoid, Tanh};
use crate::firing_rate::elementary::Elementary;

/// A trial of `n` units before a step.
#[derive(Clone, Copy)]
pub(super) struct Before<'a, T> {
    /// `h_t`
    pub(super) h: &'a [T],
    /// What was kept of the step before; zeros where there was none.
    pub(super) kept: &'a [T],
}

/// What the backward pass carries from step to step of one trial.
pub(super) struct Adjoints<'a, T> {
    /// `λ`; after the step, what did not pass through the weights.
    pub(super) h: &'a mut [T],
    /// `μ`
    pub(super) memory: &'a mut [T],
}

/// A gated cell, known when its loops are compiled.
pub(super) trait Cell<T>: Copy + Send + Sync {
    /// Parts of the weights.
    const GATES: usize;
    /// Values of each unit and step that the backward pass reads, side by side: the gates and one more.
    const KEPT: usize = Self::GATES + 1;
    /// Parts of `ε` that are written: all, or none where it is the same as `δ`.
    const EPSILON: usize;

    /// From `p_t` and `q_t` to `h_{t+1}` and what is kept.
    fn advance<const FUSED: bool>(
        self,
        p: &[T],
        q: &[T],
        before: Before<'_, T>,
        h: &mut [T],
        kept: &mut [T],
    );

    /// From the adjoints after the step to `δ_t`, `ε_t` and the adjoints before it.
    fn retreat<const FUSED: bool>(
        self,
        kept: &[T],
        before: Before<'_, T>,
        adjoints: Adjoints<'_, T>,
        delta: &mut [T],
        epsilon: &mut [T],
    );
}

/// Keeps r, z, n and `q_n`.
#[derive(Clone, Copy)]
pub(super) struct Gru;

/// Keeps i, f, o, g and `m_{t+1}`.
#[derive(Clone, Copy)]
pub(super) struct Lstm;

impl<T: Elementary> Cell<T> for Gru {
    const GATES: usize = 3;
    const EPSILON: usize = 3;

    #[inline(always)]
    fn advance<const FUSED: bool>(
        self,
        p: &[T],
        q: &[T],
        before: Before<'_, T>,
        h: &mut [T],
        kept: &mut [T],
    ) {
        let units = h.len();
        let (gates, others) = kept.split_at_mut(2 * units);
        open::<FUSED, T>(p, q, gates);
        let (r, z) = gates.split_at(units);
        let (new, q_n) = others.split_at_mut(units);
        q_n.copy_from_slice(&q[2 * units..]);
        for (((n, r), p), q) in new.iter_mut().zip(r).zip(&p[2 * units..]).zip(&*q_n) {
            *n = Tanh.rate::<FUSED>(*p + *r * *q);
        }
        for (((h, before), z), n) in h.iter_mut().zip(before.h).zip(z).zip(&*new) {
            *h = *z * (*before - *n) + *n;
        }
    }

    #[inline(always)]
    fn retreat<const FUSED: bool>(
        self,
        kept: &[T],
        before: Before<'_, T>,
        adjoints: Adjoints<'_, T>,
        delta: &mut [T],
        epsilon: &mut [T],
    ) {
        let units = before.h.len();
        let (r, others) = kept.split_at(units);
        let (z, others) = others.split_at(units);
        let (new, q_n) = others.split_at(units);
        let (gates, delta_n) = delta.split_at_mut(2 * units);
        let (delta_r, delta_z) = gates.split_at_mut(units);
        let (epsilon_gates, epsilon_n) = epsilon.split_at_mut(2 * units);
        let lambda = adjoints.h;
        for (((delta, lambda), z), n) in delta_n.iter_mut().zip(&*lambda).zip(z).zip(new) {
            *delta = *lambda * (T::ONE - *z) * Tanh.slope::<FUSED>(*n);
        }
        let of_z = delta_z.iter_mut().zip(&*lambda).zip(z).zip(new);
        for ((((delta, lambda), z), n), h) in of_z.zip(before.h) {
            *delta = *lambda * (*h - *n) * Sigmoid.slope::<FUSED>(*z);
        }
        for (lambda, z) in lambda.iter_mut().zip(z) {
            *lambda = *lambda * *z;
        }
        for (((delta, delta_n), r), q) in delta_r.iter_mut().zip(&*delta_n).zip(r).zip(q_n) {
            *delta = *delta_n * *q * Sigmoid.slope::<FUSED>(*r);
        }
        for ((epsilon, delta), r) in epsilon_n.iter_mut().zip(&*delta_n).zip(r) {
            *epsilon = *delta * *r;
        }
        epsilon_gates.copy_from_slice(gates);
    }
}

impl<T: Elementary> Cell<T> for Lstm {
    const GATES: usize = 4;
    const EPSILON: usize = 0;

    #[inline(always)]
    fn advance<const FUSED: bool>(
        self,
        p: &[T],
        q: &[T],
        before: Before<'_, T>,
        h: &mut [T],
        kept: &mut [T],
    ) {
        let units = h.len();
        let (gates, others) = kept.split_at_mut(3 * units);
        open::<FUSED, T>(p, q, gates);
        let (i, others_of_gates) = gates.split_at(units);
        let (f, o) = others_of_gates.split_at(units);
        let (new, memory) = others.split_at_mut(units);
        for ((g, p), q) in new.iter_mut().zip(&p[3 * units..]).zip(&q[3 * units..]) {
            *g = Tanh.rate::<FUSED>(*p + *q);
        }
        let before = &before.kept[4 * units..];
        for ((((memory, before), i), f), g) in
            memory.iter_mut().zip(before).zip(i).zip(f).zip(&*new)
        {
            *memory = *f * *before + *i * *g;
        }
        for ((h, o), memory) in h.iter_mut().zip(o).zip(&*memory) {
            *h = *o * Tanh.rate::<FUSED>(*memory);
        }
    }

    #[inline(always)]
    fn retreat<const FUSED: bool>(
        self,
        kept: &[T],
        before: Before<'_, T>,
        adjoints: Adjoints<'_, T>,
        delta: &mut [T],
        _epsilon: &mut [T],
    ) {
        let units = before.h.len();
        let (i, others) = kept.split_at(units);
        let (f, others) = others.split_at(units);
        let (o, others) = others.split_at(units);
        let (new, memory) = others.split_at(units);
        let (delta_i, others) = delta.split_at_mut(units);
        let (delta_f, others) = others.split_at_mut(units);
        let (delta_o, delta_g) = others.split_at_mut(units);
        let (lambda, mu) = (adjoints.h, adjoints.memory);
        let of_o = delta_o.iter_mut().zip(&*lambda).zip(&mut *mu).zip(o);
        for ((((delta, lambda), mu), o), memory) in of_o.zip(memory) {
            let s = Tanh.rate::<FUSED>(*memory);
            *delta = *lambda * s * Sigmoid.slope::<FUSED>(*o);
            *mu += *lambda * *o * Tanh.slope::<FUSED>(s);
        }
        lambda.fill(T::ZERO);
        for (((delta, mu), i), g) in delta_i.iter_mut().zip(&*mu).zip(i).zip(new) {
            *delta = *mu * *g * Sigmoid.slope::<FUSED>(*i);
        }
        for (((delta, mu), i), g) in delta_g.iter_mut().zip(&*mu).zip(i).zip(new) {
            *delta = *mu * *i * Tanh.slope::<FUSED>(*g);
        }
        let before = &before.kept[4 * units..];
        for (((delta, mu), f), before) in delta_f.iter_mut().zip(&*mu).zip(f).zip(before) {
            *delta = *mu * *before * Sigmoid.slope::<FUSED>(*f);
        }
        for (mu, f) in mu.iter_mut().zip(f) {
            *mu = *mu * *f;
        }
    }
}

/// `gates = σ(p + q)`, of the first columns.
#[inline(always)]
fn open<const FUSED: bool, T: Elementary>(p: &[T], q: &[T], gates: &mut [T]) {
    for ((gate, p), q) in gates.iter_mut().zip(p).zip(q) {
        *gate = Sigmoid.rate::<FUSED>(*p + *q);
    }
}
