//! One exponential Euler step of cells with channels (Hodgkin and Huxley 1952; Rush and Larsen 1978).
//!
//! A cell is a [`Membrane`]: a leak, any number of channels, and the concentrations that some of them depend on. With the
//! open fraction `o = Π xᵖ` of a channel and its reversal potential `E`,
//!
//! `decay = leak + Σ g o`, `drive = drive₀ + Σ g E o + inflow`, `v ← v + dt φ₁(−dt decay) (drive − decay v)`
//!
//! with `φ₁(z) = (eᶻ − 1)/z`. A gate has `decay = α + β` and `drive = α`, or `decay = 1/τ` and `drive = x∞/τ`, and moves the
//! same way, and so does a concentration. The gates go first, by the old voltage and concentrations; then the concentrations,
//! by the old voltage and the new gates; then the voltage, by the new gates and concentrations. A gate without dynamics has
//! the value that belongs to the old voltage.
//!
//! The backward pass computes all of it again from what each variable read. With the adjoint `λ` of a new value,
//! `r = dt φ₁` and `k = x r + dt² φ₁′ (drive − decay x)`,
//!
//! `∂L/∂x = λ (1 − decay r)`, `∂L/∂drive = λ r`, `∂L/∂decay = −λ k`,
//!
//! and the rest is the chain rule.

#[cfg(feature = "capture")]
mod advance;
#[cfg(any(feature = "flex", feature = "ndarray", gpu))]
mod backend;
#[cfg(all(any(feature = "flex", feature = "ndarray"), feature = "autodiff"))]
mod backward;
mod cable;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod course;
#[cfg(any(feature = "flex", feature = "ndarray", feature = "capture"))]
mod cpu;
#[cfg(gpu)]
mod cube;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod geometry;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod joint;
#[cfg_attr(not(any(feature = "flex", feature = "ndarray", gpu)), allow(dead_code))]
mod program;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod single;
#[cfg(any(feature = "flex", feature = "ndarray", feature = "capture"))]
mod sweep;
mod table;
#[cfg(all(any(feature = "flex", feature = "ndarray", gpu), feature = "autodiff"))]
mod tape;
#[cfg(any(feature = "flex", feature = "ndarray", gpu))]
mod tensors;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use std::sync::Arc;

use burn::tensor::Tensor;

#[cfg(feature = "capture")]
pub(crate) use advance::{Advance, Operands, Room};
use cable::Joint;
pub use cable::{CableStep, ImplicitScheme};
#[cfg(feature = "capture")]
pub(crate) use cpu::Number;
pub(crate) use program::Slot;
use program::{Part, Program};
pub use table::{
    Argument, Channel, Curve, Gate, GateKinetics, Membrane, Pool, RateCurve, Reversal, Term,
};

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

/// What the kernels know of the cells.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray", gpu)), allow(dead_code))]
pub(crate) struct Layout {
    cells: usize,
    /// Voltage, gates and concentrations.
    states: usize,
    /// In the order of a step: gates, concentrations, voltage.
    programs: Vec<Program>,
    /// Of cells that are compartments.
    joint: Option<Joint>,
    /// The operations of a step, of cells that live on a GPU.
    #[cfg(gpu)]
    code: Option<cube::Code>,
}

#[cfg(any(feature = "flex", feature = "ndarray", gpu))]
impl Layout {
    /// How many tensors a step takes: the state, the inflow, both tables, and the couplings of compartments.
    fn given(&self) -> usize {
        self.states + 3 + usize::from(self.joint.is_some())
    }
}

/// [One step](Self::step) of a population of cells with their constants bound.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray", gpu)), allow(dead_code))]
pub struct ConductanceStep {
    layout: Arc<Layout>,
    /// Constants that all cells share, `[constants, 1]`.
    shared: Tensor<2>,
    /// Constants of each cell, `[constants, cells]`.
    each: Tensor<2>,
    /// The inflow where there is none.
    nothing: Tensor<2>,
}

/// Many steps in a row.
#[derive(Clone, Debug)]
pub struct Course {
    /// The length of each step.
    pub lengths: Vec<f64>,
    /// After which steps voltages are seen, rising, the first step being 1.
    pub seen: Vec<usize>,
    /// The cells whose voltages are seen.
    pub columns: Vec<usize>,
    /// What comes to the voltage from outside during each step, as [`ConductanceStep::step`] takes it, without a gradient;
    /// empty where there is nothing, or the same in all steps.
    pub inflows: Vec<Tensor<2>>,
    /// The same of all steps, `[steps, batch or 1, cells or 1]`, in the place of [`inflows`](Self::inflows).
    pub together: Option<Tensor<3>>,
}

/// What is done of a [`Course`].
#[cfg(any(feature = "flex", feature = "ndarray", gpu))]
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    lengths: Vec<f64>,
    seen: Vec<usize>,
    columns: Vec<usize>,
}

#[cfg(gpu)]
impl Plan {
    /// A step of which nothing is seen.
    fn once(dt: f64) -> Self {
        Self {
            lengths: vec![dt],
            seen: Vec::new(),
            columns: Vec::new(),
        }
    }
}

/// What many steps give.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The voltages that were to be seen, `[times, batch, columns]`.
    pub seen: Tensor<3>,
    /// The state after the last step.
    pub state: Vec<Tensor<2>>,
}

/// The rows of both tables.
#[derive(Default)]
pub(crate) struct Tables {
    shared: Vec<Tensor<2>>,
    each: Vec<Tensor<2>>,
}

impl Tables {
    fn slot(&mut self, coefficient: &Coefficient) -> Slot {
        let tensor = match coefficient {
            Coefficient::Number(value) => return Slot::Number(*value),
            Coefficient::Tensor(tensor) => tensor,
        };
        let shared = tensor.dims()[1] == 1;
        let rows = if shared {
            &mut self.shared
        } else {
            &mut self.each
        };
        rows.push(tensor.clone());
        let row = rows.len() - 1;
        if shared {
            Slot::Shared(row)
        } else {
            Slot::Each(row)
        }
    }
}

impl ConductanceStep {
    /// Cells of the kind `membrane`.
    ///
    /// `like` is any tensor where the cells are to live. Returns `None` where no kernel serves it, which is everywhere but
    /// on `flex` and `ndarray` in f32 and f64, in a step of at least 8 cells that is [recorded](crate::script::record) for one of them,
    /// and on GPUs in f32, for a cell of more than 15 gates and concentrations, and on a GPU
    /// for a cell of more variables than half the buffers that a kernel may have there.
    ///
    /// # Panics
    /// When a coefficient is neither `[1, 1]` nor `[1, cells]`, or a concentration is none of the pools'.
    pub fn new(cells: usize, membrane: &Membrane<Coefficient>, like: &Tensor<2>) -> Option<Self> {
        Self::of_joint(cells, membrane, None, like)
    }

    fn of_joint(
        cells: usize,
        membrane: &Membrane<Coefficient>,
        joint: Option<Joint>,
        like: &Tensor<2>,
    ) -> Option<Self> {
        let mut tables = Tables::default();
        let part = match joint {
            Some(_) => Part::Linear,
            None => Part::Moved,
        };
        let programs = program::programs(membrane, part, &mut tables)?;
        let states = programs.len();
        let mut reads = programs.iter().flat_map(|program| &program.reads);
        assert!(
            reads.all(|read| read.state < states),
            "conductance_step: a concentration of {} pools",
            membrane.pools.len()
        );
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        let serves = crate::host::serves(like);
        #[cfg(not(any(feature = "flex", feature = "ndarray")))]
        let serves = false;
        #[cfg(gpu)]
        let code = match joint {
            None => cube::code(&programs, like),
            Some(_) => None,
        };
        #[cfg(gpu)]
        let serves = serves || code.is_some();
        #[cfg(feature = "capture")]
        let serves = serves || (joint.is_none() && advance::is_recorded(cells, like));
        if !serves {
            return None;
        }
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
                states,
                programs,
                joint,
                #[cfg(gpu)]
                code,
            }),
            shared: table(tables.shared, 1),
            each: table(tables.each, cells),
            nothing: Tensor::zeros([0, 1], place),
        })
    }

    /// The state, v, the gates that have dynamics and the concentrations, `[batch, cells]` each, after a step of `dt`. `None` without
    /// a state, on a GPU also without cells and for so many rows that there is no buffer for the gradients of all constants.
    ///
    /// `inflow`, `[batch or 1, cells or 1]`, is what comes to the voltage from outside, in voltage/time. Everything has
    /// gradients. On a CPU a result is the same bit for bit whatever the number of threads.
    ///
    /// # Panics
    /// When the shapes do not fit, and like every Burn operation for different element types.
    pub fn step(
        &self,
        state: &[Tensor<2>],
        inflow: Option<Tensor<2>>,
        dt: f64,
    ) -> Option<Vec<Tensor<2>>> {
        #[cfg(feature = "capture")]
        if crate::script::records(&self.nothing) {
            self.check(state, inflow.as_ref().map(Tensor::dims))?;
            return advance::record(self, state, inflow, dt);
        }
        self.holds(state.first()?.dims()[0], 0)
            .then(|| self.run(state, inflow, None, dt))
    }

    fn is_on_gpu(&self) -> bool {
        #[cfg(gpu)]
        let on_gpu = self.layout.code.is_some();
        #[cfg(not(gpu))]
        let on_gpu = false;
        on_gpu
    }

    /// Whether there are buffers for so many rows, and for so many other numbers.
    fn holds(&self, rows: usize, others: usize) -> bool {
        #[cfg(gpu)]
        if self.is_on_gpu() {
            return cube::hold(&self.layout, rows, others, &self.nothing);
        }
        let _ = (rows, others);
        true
    }

    /// Many [steps](Self::step): the same numbers, and as one operation. `inflow` is the same in all steps; where each has its
    /// own, that takes its place. `None` without a state, cells or steps, for steps of which each does not fit, and on a GPU where a
    /// [`step`](Self::step) has no kernel or what is seen no buffer.
    ///
    /// The gradient of a course takes less time than that of its steps, and as much memory. On a GPU a course is a launch, and its
    /// gradient another; a long one is several, each of less than a second.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn course(
        &self,
        state: &[Tensor<2>],
        inflow: Option<Tensor<2>>,
        course: Course,
    ) -> Option<Ran> {
        self.run_course(state, inflow, None, course)
    }

    fn run_course(
        &self,
        state: &[Tensor<2>],
        inflow: Option<Tensor<2>>,
        couplings: Option<&Tensor<2>>,
        course: Course,
    ) -> Option<Ran> {
        let Course {
            lengths,
            seen,
            columns,
            inflows,
            together,
        } = course;
        if lengths.is_empty() || self.layout.cells == 0 {
            return None;
        }
        // What is recorded is a step.
        #[cfg(feature = "capture")]
        if crate::script::records(&self.nothing) {
            return None;
        }
        let steps = lengths.len();
        let (counted, own) = match (&together, inflows.first()) {
            (Some(all), _) => {
                let [count, rows, columns] = all.dims();
                (count == steps, Some([rows, columns]))
            }
            (None, Some(first)) => (inflows.len() == steps, Some(first.dims())),
            (None, None) => (true, None),
        };
        let alike = inflows.iter().all(|inflow| Some(inflow.dims()) == own);
        // What each step has of its own takes its place, and it has no gradient.
        let inflow = inflow.filter(|_| own.is_none());
        self.check(state, inflow.as_ref().map(Tensor::dims))?;
        let rising = seen.windows(2).all(|pair| pair[0] < pair[1]);
        let within = seen.first().is_none_or(|first| *first > 0)
            && seen.last().is_none_or(|last| *last <= steps)
            && columns.iter().all(|column| *column < self.layout.cells);
        if !(alike && rising && within && counted) {
            return None;
        }
        self.check(state, own)?;
        let rows = state.first()?.dims()[0];
        let shown = rows.saturating_mul(seen.len() * columns.len());
        let [own_rows, own_columns] = own.unwrap_or_default();
        if !self.holds(
            rows,
            shown.max(steps.saturating_mul(own_rows * own_columns)),
        ) {
            return None;
        }
        let inflows = match together {
            Some(all) if self.is_on_gpu() => vec![all.reshape([steps * own_rows, own_columns])],
            None if self.is_on_gpu() && own.is_some() => vec![Tensor::cat(inflows, 0)],
            Some(all) => {
                let shape = [own_rows, own_columns];
                let step = |index| all.clone().narrow(0, index, 1).reshape(shape);
                (0..steps).map(step).collect()
            }
            None => inflows,
        };
        #[cfg(any(feature = "flex", feature = "ndarray", gpu))]
        {
            let plan = Plan {
                lengths,
                seen,
                columns,
            };
            let course = (Arc::new(plan), inflows);
            backend::run_course(self, state, inflow, couplings, course)
        }
        #[cfg(not(any(feature = "flex", feature = "ndarray", gpu)))]
        {
            // `new` has made none.
            let _ = couplings;
            None
        }
    }

    fn run(
        &self,
        state: &[Tensor<2>],
        inflow: Option<Tensor<2>>,
        couplings: Option<&Tensor<2>>,
        dt: f64,
    ) -> Vec<Tensor<2>> {
        if self
            .check(state, inflow.as_ref().map(Tensor::dims))
            .is_none()
        {
            return Vec::new();
        }
        #[cfg(any(feature = "flex", feature = "ndarray", gpu))]
        return backend::run(self, state, inflow, couplings, dt);
        #[cfg(not(any(feature = "flex", feature = "ndarray", gpu)))]
        {
            // `new` has made none.
            let _ = (couplings, dt);
            state.to_vec()
        }
    }

    /// Whether there is a state.
    ///
    /// # Panics
    /// When the shapes do not fit.
    fn check(&self, state: &[Tensor<2>], inflow: Option<[usize; 2]>) -> Option<()> {
        let v = state.first()?;
        let [batch, cells] = v.dims();
        let layout = &self.layout;
        assert!(
            cells == layout.cells
                && state.len() == layout.states
                && state.iter().all(|x| x.dims() == [batch, cells]),
            "conductance_step: {} states of shape {:?} and the like, of {} cells with {} states",
            state.len(),
            v.dims(),
            layout.cells,
            layout.states
        );
        if let Some([rows, columns]) = inflow {
            assert!(
                (rows == 1 || rows == batch) && (columns == 1 || columns == cells),
                "conductance_step: an inflow [{rows}, {columns}] for {batch} rows of {cells} cells"
            );
        }
        Some(())
    }
}
