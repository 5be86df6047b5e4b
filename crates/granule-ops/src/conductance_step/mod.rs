//! One exponential Euler step of cells with conductances (Hodgkin and Huxley 1952; Rush and Larsen 1978).
//!
//! A rate is `scale · f(z)` with `z = steepness · (v + shift)` and one of the curves `f` of [`RateCurve`]. With the rates
//! `α` and `β` of a gate `x`, and `φ₁(z) = (eᶻ − 1)/z`,
//!
//! `x ← x + dt φ₁(−dt (α + β)) (α − (α + β) x)`
//!
//! and then, of the new gates, with `s = m³h` and `p = n⁴`,
//!
//! `decay = leak + g_s s + g_p p`, `drive = drive₀ + d_s s + d_p p + inflow`,
//! `v ← v + dt φ₁(−dt decay) (drive − decay v)`.
//!
//! Where m follows the voltage at once, it is `α/(α + β)` at the old voltage.
//!
//! The backward pass computes all of it again from the old voltage and gates and the new gates. With the adjoint `λ` of a
//! new value, `r = dt φ₁` and `k = x r + dt² φ₁′ (α − (α + β) x)`, a gate has
//!
//! `∂L/∂x = λ (1 − (α + β) r)`, `∂L/∂α = λ (r − k)`, `∂L/∂β = −λ k`,
//!
//! the voltage the same with `drive` in place of `α` and `decay` in place of `α + β`, and the rest is the chain rule.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(all(any(feature = "flex", feature = "ndarray"), feature = "autodiff"))]
mod backward;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod sweep;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use std::sync::Arc;

use burn::tensor::Tensor;

/// How a rate depends on `z`, which is linear in the voltage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateCurve {
    /// `z/(eᶻ − 1)`, 1 at `z = 0`.
    Bernoulli,
    /// `eᶻ`
    Exponential,
    /// `1/(1 + eᶻ)`
    Sigmoid,
}

/// A constant of the cells.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few for each run, and none is moved at a step"
)]
pub enum Coefficient {
    /// The same for all cells, without a gradient.
    Number(f64),
    /// `[1, 1]` or `[1, cells]`
    Tensor(Tensor<2>),
}

/// `scale · curve(steepness · (v + shift))`
#[derive(Clone, Debug)]
pub struct VoltageRate {
    /// `f`
    pub curve: RateCurve,
    /// The rate where `f` is 1, in 1/time.
    pub scale: Coefficient,
    /// Added to the voltage.
    pub shift: Coefficient,
    /// In 1/voltage.
    pub steepness: Coefficient,
}

/// What the voltage depends on beside the gates, over the capacitance.
#[derive(Clone, Debug)]
pub struct Membrane {
    /// The conductance that is always open, in 1/time.
    pub leak: Coefficient,
    /// `leak` times its reversal potential, with a constant current.
    pub drive: Coefficient,
    /// Of the channels with m³h and with n⁴, in 1/time.
    pub conductances: [Coefficient; 2],
    /// These times their reversal potentials.
    pub drives: [Coefficient; 2],
}

/// Where a constant is found: in itself, or in a row of the table of that kind.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(dead_code))]
pub(crate) enum Slot {
    Number(f64),
    Shared(usize),
    Each(usize),
}

/// Of a rate: scale, shift and steepness; of the membrane: leak, drive, `g_s`, `d_s`, `g_p` and `d_p`.
const RATE: usize = 3;
const MEMBRANE: usize = 6;

/// What the kernels know of the cells.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(dead_code))]
pub(crate) struct Layout {
    cells: usize,
    /// α and β of m, h and n.
    curves: [[RateCurve; 2]; 3],
    instantaneous_m: bool,
    rates: [[[Slot; RATE]; 2]; 3],
    membrane: [Slot; MEMBRANE],
}

/// [One step](Self::step) of a population of cells with their constants bound.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(dead_code))]
pub struct ConductanceStep {
    layout: Arc<Layout>,
    /// Constants that all cells share, `[constants, 1]`.
    shared: Tensor<2>,
    /// Constants of each cell, `[constants, cells]`.
    each: Tensor<2>,
    /// The inflow where there is none.
    nothing: Tensor<2>,
}

/// The rows of both tables.
#[derive(Default)]
struct Tables {
    shared: Vec<Tensor<2>>,
    each: Vec<Tensor<2>>,
}

impl Tables {
    fn slot(&mut self, coefficient: Coefficient) -> Slot {
        let tensor = match coefficient {
            Coefficient::Number(value) => return Slot::Number(value),
            Coefficient::Tensor(tensor) => tensor,
        };
        let shared = tensor.dims()[1] == 1;
        let rows = if shared {
            &mut self.shared
        } else {
            &mut self.each
        };
        rows.push(tensor);
        let row = rows.len() - 1;
        if shared {
            Slot::Shared(row)
        } else {
            Slot::Each(row)
        }
    }
}

impl ConductanceStep {
    /// Cells with the rates `[α, β]` of m, h and n. With `instantaneous_m` the state has no m.
    ///
    /// `like` is any tensor where the cells are to live. Returns `None` where no kernel serves it, which is everywhere but
    /// on `flex` and `ndarray` in f32 and f64.
    ///
    /// # Panics
    /// When a coefficient is neither `[1, 1]` nor `[1, cells]`.
    pub fn new(
        cells: usize,
        rates: [[VoltageRate; 2]; 3],
        instantaneous_m: bool,
        membrane: Membrane,
        like: &Tensor<2>,
    ) -> Option<Self> {
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        let serves = crate::host::serves(like);
        #[cfg(not(any(feature = "flex", feature = "ndarray")))]
        let serves = false;
        if !serves {
            return None;
        }
        let curves = [0, 1, 2].map(|gate: usize| [0, 1].map(|of: usize| rates[gate][of].curve));
        let mut tables = Tables::default();
        let rates = rates.map(|of_gate| {
            of_gate.map(|rate| {
                [rate.scale, rate.shift, rate.steepness].map(|constant| tables.slot(constant))
            })
        });
        let ([g_s, g_p], [d_s, d_p]) = (membrane.conductances, membrane.drives);
        let membrane = [membrane.leak, membrane.drive, g_s, d_s, g_p, d_p]
            .map(|constant| tables.slot(constant));
        let place = (&like.device().without_autodiff(), like.dtype());
        let table = |rows: Vec<Tensor<2>>, width: usize| {
            let fits = rows.iter().all(|row| row.dims() == [1, width]);
            assert!(fits, "conductance_step: coefficients of {cells} cells");
            if rows.is_empty() {
                Tensor::zeros([0, width], place)
            } else {
                Tensor::cat(rows, 0)
            }
        };
        Some(Self {
            layout: Arc::new(Layout {
                cells,
                curves,
                instantaneous_m,
                rates,
                membrane,
            }),
            shared: table(tables.shared, 1),
            each: table(tables.each, cells),
            nothing: Tensor::zeros([0, 1], place),
        })
    }

    /// The state, v and then m, h and n, or h and n, `[batch, cells]` each, after a step of `dt`.
    ///
    /// `inflow`, `[batch or 1, cells or 1]`, is what comes to the voltage from outside, in voltage/time. Everything has
    /// gradients. On a CPU a result is the same bit for bit whatever the number of threads.
    ///
    /// # Panics
    /// When the shapes do not fit, and like every Burn operation for different element types.
    pub fn step(&self, state: &[Tensor<2>], inflow: Option<Tensor<2>>, dt: f64) -> Vec<Tensor<2>> {
        let Some((v, gates)) = state.split_first() else {
            return Vec::new();
        };
        let [batch, cells] = v.dims();
        let layout = &self.layout;
        assert!(
            cells == layout.cells
                && gates.len() == layout.gates().len()
                && gates.iter().all(|gate| gate.dims() == [batch, cells]),
            "conductance_step: {} states of shape {:?} and the like, of {} cells",
            state.len(),
            v.dims(),
            layout.cells
        );
        if let Some(inflow) = &inflow {
            let [rows, columns] = inflow.dims();
            assert!(
                (rows == 1 || rows == batch) && (columns == 1 || columns == cells),
                "conductance_step: an inflow {:?} for {batch} rows of {cells} cells",
                inflow.dims()
            );
        }
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        return backend::run(self, v, gates, inflow, dt);
        #[cfg(not(any(feature = "flex", feature = "ndarray")))]
        {
            // `new` has made none.
            let _ = dt;
            state.to_vec()
        }
    }
}

impl Layout {
    /// The gates that the state has, of m, h and n.
    fn gates(&self) -> std::ops::Range<usize> {
        usize::from(self.instantaneous_m)..3
    }
}
