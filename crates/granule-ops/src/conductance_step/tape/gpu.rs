//! Steps on GPUs.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::super::backend::ConductanceStepBackend;
use super::super::tensors::Tensors;
use super::super::{Layout, Plan, cube};
use super::{Adjoints, PARENTS, parents, register, token, variables, wanted};

/// Many steps.
#[derive(Debug)]
struct Course;

/// What the backward pass of many steps computes from.
#[derive(Clone, Debug)]
struct Kept {
    /// The state, the inflow and both tables, then the inflows of all steps.
    tensors: Vec<CubeTensor>,
    trace: cube::Trace,
    adjoints: Arc<Adjoints<CubeTensor>>,
    layout: Arc<Layout>,
    plan: Arc<Plan>,
}

/// A gradient like a tensor: zeros where nothing depends on it, for Burn asks each parent for its own.
fn write(gradient: Option<CubeTensor>, tensor: &CubeTensor) -> CubeTensor {
    gradient.unwrap_or_else(|| {
        CubeBackend::float_zeros(tensor.shape(), &tensor.device, DType::F32.into())
    })
}

impl Backward<CubeBackend, PARENTS> for Course {
    type State = Kept;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _ = grads.consume::<CubeBackend>(&ops.node);
        let kept = &ops.state;
        let [inflow, shared, each, _] = wanted(&ops, kept.layout.states);
        let gradients = cube::backward(
            &kept.tensors,
            (&kept.layout, &kept.plan),
            &kept.trace,
            &kept.adjoints.take(),
            [inflow, shared, each],
        );
        register::<CubeBackend, _, _>(&ops, &kept.tensors, gradients, grads, write);
    }
}

impl<C: CheckpointStrategy> ConductanceStepBackend for Autodiff<CubeBackend, C> {
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
        let plain: Vec<_> = tensors.0.iter().map(|x| x.primitive().clone()).collect();
        let Some(token) = plain.first().map(token::<CubeBackend>) else {
            return Vec::new();
        };
        let own = layout.given().min(tensors.0.len());
        let parents = parents::<CubeBackend, C>(&tensors.0[..own], token.clone());
        let prep = Course.prepare::<C>(parents).compute_bound().stateful();
        let OpsKind::Tracked(prep) = prep else {
            let (results, _) = cube::forward(&plain, &layout, &plan, false);
            return results.into_iter().map(FloatTensor::<Self>::new).collect();
        };
        let (results, trace) = cube::forward(&plain, &layout, &plan, true);
        let adjoints = Arc::new(Adjoints::new(results.len()));
        let kept = Kept {
            tensors: plain,
            trace,
            adjoints: adjoints.clone(),
            layout,
            plan,
        };
        let course: FloatTensor<Self> = prep.finish(kept, token);
        variables::<CubeBackend, C>(&course, &adjoints, results)
    }
}
