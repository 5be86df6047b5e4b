//! The product and its derivatives on slices, one row of the batch after another.

use core::ops::Mul;

use super::{Connections, Weights, product_of_lists};
use crate::real::Real;

pub(super) fn forward<T: Real + Mul<Output = T>>(
    x: &[T],
    values: &[T],
    connections: &Connections,
) -> Vec<T> {
    let (rows, columns) = (connections.rows(), connections.columns());
    let mut out = vec![T::ZERO; x.len() / rows.max(1) * columns];
    if !out.is_empty() {
        let weights = Weights::OfEach(values);
        let lists = (&connections.ends()[..], &connections.targets()[..], weights);
        product_of_lists(&mut out, x, lists, columns);
    }
    out
}

/// `∂L/∂x`
pub(super) fn input_gradient<T: Real + Mul<Output = T>>(
    gradient: &[T],
    values: &[T],
    connections: &Connections,
) -> Vec<T> {
    let (rows, columns) = (connections.rows(), connections.columns().max(1));
    let mut out = Vec::with_capacity(gradient.len() / columns * rows);
    for gradient in gradient.chunks_exact(columns) {
        let mut first = 0;
        for end in connections.ends().iter() {
            let own = first..*end;
            first = *end;
            let terms = connections.targets()[own.clone()].iter().zip(&values[own]);
            out.push(terms.fold(T::ZERO, |sum, (to, w)| sum + gradient[*to as usize] * *w));
        }
    }
    out
}

/// `∂L/∂w`
pub(super) fn weight_gradient<T: Real + Mul<Output = T>>(
    x: &[T],
    gradient: &[T],
    connections: &Connections,
) -> Vec<T> {
    let (rows, columns) = (connections.rows().max(1), connections.columns().max(1));
    let mut out = vec![T::ZERO; connections.len()];
    for (x, gradient) in x.chunks_exact(rows).zip(gradient.chunks_exact(columns)) {
        let mut first = 0;
        for (x, end) in x.iter().zip(connections.ends().iter()) {
            let own = first..*end;
            first = *end;
            if *x == T::ZERO {
                continue;
            }
            for (out, to) in out[own.clone()].iter_mut().zip(&connections.targets()[own]) {
                *out += *x * gradient[*to as usize];
            }
        }
    }
    out
}
