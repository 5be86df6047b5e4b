//! Many steps of any model in one call on a CPU.
//!
//! A step of a model is a number of tensor operations, and for a few cells what an operation costs is far more than its
//! arithmetic. With the feature `capture`, `WholeSteps` records the operations of one step, whatever the model, its solver and
//! its noise, and then takes as many steps as are asked for in one call (`granule_ops::script`).

#[cfg(feature = "capture")]
mod steps;

#[cfg(feature = "capture")]
use std::cell::RefCell;
#[cfg(feature = "capture")]
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::Place;
#[cfg(feature = "capture")]
pub use steps::{WholeRun, WholeSteps};

/// Numbers that are a function of the step.
#[cfg(feature = "capture")]
type Numbers = dyn Fn(usize) -> Vec<f64> + Send + Sync;

/// A tensor of numbers that depend on the step, and how they are made.
#[cfg(feature = "capture")]
type Drawn = (Tensor<2>, Arc<Numbers>);

#[cfg(feature = "capture")]
thread_local! {
    /// What the step that is recorded on this thread has drawn.
    static DRAWN: RefCell<Option<Vec<Drawn>>> = const { RefCell::new(None) };
}

/// A tensor of numbers that are a function of the step, for example random ones.
///
/// Every number in a step that is not the same in all of them has to come from here, from the state or from the input, or else
/// many steps are not taken in one call.
pub fn numbers_of_step(
    step: usize,
    shape: [usize; 2],
    place: &Place,
    numbers: impl Fn(usize) -> Vec<f64> + Send + Sync + 'static,
) -> Tensor<2> {
    let tensor = place.tensor(numbers(step), shape);
    #[cfg(feature = "capture")]
    DRAWN.with_borrow_mut(|drawn| {
        if let Some(drawn) = drawn {
            drawn.push((tensor.clone(), Arc::new(numbers)));
        }
    });
    tensor
}
