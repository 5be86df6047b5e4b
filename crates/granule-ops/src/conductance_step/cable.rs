//! One step of compartments with channels that are joined to trees.

use burn::tensor::Tensor;

use super::{Coefficient, ConductanceStep, Course, Membrane, Ran};
use crate::Tree;

/// How the voltages of joined compartments are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImplicitScheme {
    /// `v ← x`
    BackwardEuler,
    /// `v ← 2x − v`, where `x` is a step of half the length.
    CrankNicolson,
}

/// How compartments are joined.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(dead_code))]
pub(crate) struct Joint {
    pub(crate) tree: Tree,
    pub(crate) scheme: ImplicitScheme,
}

/// [One step](Self::step) of compartments that are joined to trees, with their constants bound: the gates and the
/// concentrations move as those of a [`ConductanceStep`], and with what they make of `dv/dt = drive − decay·v` all voltages
/// move at once, by an implicit step.
///
/// That solves `(1 + h (decayᵢ + Σⱼ cᵢⱼ)) xᵢ − h Σⱼ cᵢⱼ xⱼ = vᵢ + h driveᵢ`. The nodes of the tree are the compartments and
/// then points without a membrane, where `Σⱼ cᵢⱼ (xᵢ − xⱼ) = 0`.
#[derive(Clone, Debug)]
pub struct CableStep {
    cells: ConductanceStep,
    couplings: Tensor<2>,
}

impl CableStep {
    /// Compartments of the kind `membrane`, the first nodes of `tree`.
    ///
    /// `couplings`, `[3, nodes]` in 1/time, are of each node `i` with the parent `p`: `c_ip`, `c_pi`, and the sum of `cᵢⱼ` over
    /// all neighbours. Returns `None` where there is no [`ConductanceStep`].
    ///
    /// # Panics
    /// As [`ConductanceStep::new`], and when the tree has fewer nodes than there are compartments or not as many as there are
    /// couplings.
    pub fn new(
        compartments: usize,
        membrane: &Membrane<Coefficient>,
        (tree, couplings): (&Tree, &Tensor<2>),
        scheme: ImplicitScheme,
    ) -> Option<Self> {
        let nodes = tree.len();
        assert!(
            couplings.dims() == [3, nodes] && nodes >= compartments,
            "cable_step: couplings {:?} of {nodes} nodes, of which {compartments} are compartments",
            couplings.dims()
        );
        let joint = Joint {
            tree: tree.clone(),
            scheme,
        };
        let cells = ConductanceStep::of_joint(compartments, membrane, Some(joint), couplings)?;
        Some(Self {
            cells,
            couplings: couplings.clone(),
        })
    }

    /// As [`ConductanceStep::step`]; the couplings have a gradient as well.
    ///
    /// # Panics
    /// As [`ConductanceStep::step`].
    pub fn step(&self, state: &[Tensor<2>], inflow: Option<Tensor<2>>, dt: f64) -> Vec<Tensor<2>> {
        self.cells.run(state, inflow, Some(&self.couplings), dt)
    }

    /// As [`ConductanceStep::course`].
    ///
    /// # Panics
    /// As [`ConductanceStep::step`].
    pub fn course(
        &self,
        state: &[Tensor<2>],
        inflow: Option<Tensor<2>>,
        course: Course,
    ) -> Option<Ran> {
        self.cells
            .run_course(state, inflow, Some(&self.couplings), course)
    }
}
