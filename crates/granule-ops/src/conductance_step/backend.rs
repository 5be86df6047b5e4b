//! Routing from Burn's tensors to the kernels.
// What the dispatch macro makes names Burn's deprecated ndarray backend, which granule keeps.
#![allow(deprecated)]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "ndarray"))]
use super::course;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use super::single::forward;
use super::tensors::Tensors;
use super::{ConductanceStep, Layout, Plan, Ran};

/// Steps of cells as the backends take them; documented at [`ConductanceStep::step`]. The tensors are the state, the
/// inflow, which has no rows where there is none, both tables of constants, and the couplings of compartments.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(gpu),
    Autodiff: cfg(feature = "autodiff"),
)]
pub(crate) trait ConductanceStepBackend: Backend {
    fn conductance_step_forward(
        #[extension_type] tensors: Tensors<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>>;

    /// Many steps; after the couplings come inflows of each step, on a GPU one under the other in one tensor. Gives what is seen, then the last state.
    fn conductance_course_forward(
        #[extension_type] tensors: Tensors<Self>,
        layout: Arc<Layout>,
        plan: Arc<Plan>,
    ) -> Vec<FloatTensor<Self>>;
}

/// What a step takes, in the order of [`Layout::given`].
fn given(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
) -> impl Iterator<Item = Tensor<2>> {
    let inflow = inflow.unwrap_or_else(|| cells.nothing.clone());
    let others = [inflow, cells.shared.clone(), cells.each.clone()];
    let others = others.into_iter().chain(couplings.cloned());
    state.iter().cloned().chain(others)
}

pub(super) fn run_course(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
    (plan, inflows): (Arc<Plan>, Vec<Tensor<2>>),
) -> Option<Ran> {
    let tensors = given(cells, state, inflow, couplings).chain(inflows);
    let results = <Dispatch as ConductanceStepBackend>::conductance_course_forward(
        Tensors(tensors.map(Tensor::into_dispatch).collect()),
        cells.layout.clone(),
        plan,
    );
    let mut results = results.into_iter();
    Some(Ran {
        seen: Tensor::from_dispatch(results.next()?),
        state: results.map(Tensor::from_dispatch).collect(),
    })
}

pub(super) fn run(
    cells: &ConductanceStep,
    state: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    couplings: Option<&Tensor<2>>,
    dt: f64,
) -> Vec<Tensor<2>> {
    let tensors = given(cells, state, inflow, couplings);
    let next = <Dispatch as ConductanceStepBackend>::conductance_step_forward(
        Tensors(tensors.map(Tensor::into_dispatch).collect()),
        cells.layout.clone(),
        dt,
    );
    next.into_iter().map(Tensor::from_dispatch).collect()
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
macro_rules! host_conductance_step {
    ($backend:ty) => {
        impl ConductanceStepBackend for $backend {
            fn conductance_step_forward(
                tensors: Tensors<Self>,
                layout: Arc<Layout>,
                dt: f64,
            ) -> Vec<FloatTensor<Self>> {
                forward::<Self>(&tensors.0, &layout, dt).next
            }

            fn conductance_course_forward(
                tensors: Tensors<Self>,
                layout: Arc<Layout>,
                plan: Arc<Plan>,
            ) -> Vec<FloatTensor<Self>> {
                course::forward::<Self>(&tensors.0, &layout, &plan, false).0
            }
        }
    };
}

#[cfg(feature = "flex")]
host_conductance_step!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_conductance_step!(crate::host::ndarray::NdArray);

#[cfg(gpu)]
impl ConductanceStepBackend for burn_cubecl::CubeBackend {
    fn conductance_step_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        dt: f64,
    ) -> Vec<FloatTensor<Self>> {
        let results = Self::conductance_course_forward(tensors, layout, Arc::new(Plan::once(dt)));
        results.into_iter().skip(1).collect()
    }

    fn conductance_course_forward(
        tensors: Tensors<Self>,
        layout: Arc<Layout>,
        plan: Arc<Plan>,
    ) -> Vec<FloatTensor<Self>> {
        super::cube::forward(&tensors.0, &layout, &plan, false).0
    }
}
