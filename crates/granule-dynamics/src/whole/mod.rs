//! Many steps of any model in one call.
//!
//! A step of a model is a number of tensor operations, and for a few cells what an operation costs is far more than its
//! arithmetic. With the feature `capture`, `WholeSteps` records the operations of one step, whatever the model, its solver and
//! its noise, and then takes as many steps as are asked for in one call (`granule_ops::script`):
//!
#![cfg_attr(feature = "capture", doc = "```")]
#![cfg_attr(not(feature = "capture"), doc = "```ignore")]
//! use burn::module::Module;
//! use burn::tensor::Device;
//! use granule_dynamics::model::{Dynamics, Model};
//! use granule_dynamics::solver::Rk4;
//! use granule_dynamics::system::{Integrated, JansenRitConfig};
//! use granule_dynamics::whole::{See, WholeSteps};
//! use granule_dynamics::{Grid, Place};
//!
//! let column = JansenRitConfig::default().init(&Place::f64(&Device::flex()))?;
//! let model = Integrated::new(column, Rk4);
//! let initial = model.initial_state(1)?;
//! let steps = WholeSteps::record(
//!     &initial,
//!     None,
//!     Grid::over(1000.0, 0.5)?.clock(0),
//!     |device| model.clone().to_device(device).dynamics(),
//!     |dynamics, at, state, input| {
//!         let next = dynamics.step(at, state, input)?;
//!         let seen = vec![dynamics.observe(&next)];
//!         Ok((next, seen))
//!     },
//! )?;
//! let mut run = steps.begin(&initial)?;
//! // A second, of which every tenth step is seen.
//! let seen = run.steps(2000, &[], &[See::Every(10)])?;
//! assert_eq!(seen[0].values.len(), 200);
//! let swing = seen[0].values[100..].iter().fold(0.0_f64, |most, x| most.max(*x));
//! assert!(swing > 5.0 && swing < 15.0, "the alpha rhythm, mV: {swing}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A gradient through a run takes its steps so too, and goes back through them in the same way (`granule_dynamics::gradient`).

#[cfg(feature = "capture")]
mod steps;

#[cfg(feature = "capture")]
use std::cell::RefCell;
#[cfg(feature = "capture")]
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::Place;
#[cfg(feature = "capture")]
pub use granule_ops::script::{Saved, See, Seen};
#[cfg(all(feature = "autodiff", feature = "capture"))]
pub(crate) use steps::noted;
#[cfg(feature = "capture")]
pub use steps::{WholeRun, WholeSteps};

/// Numbers that are a function of the step.
#[cfg(feature = "capture")]
type Numbers = dyn Fn(usize, &mut [f64]) + Send + Sync;

/// A tensor of numbers that depend on the step: of which step they are, and how they are made.
#[cfg(feature = "capture")]
type Drawn = (Tensor<2>, usize, Arc<Numbers>);

#[cfg(feature = "capture")]
thread_local! {
    /// What the step that is recorded on this thread has drawn.
    static DRAWN: RefCell<Option<Vec<Drawn>>> = const { RefCell::new(None) };
}

/// A tensor of numbers that are a function of the step, for example random ones: `numbers` gets the step and the numbers of it,
/// row-major, and sets every one.
///
/// Every number in a step that is not the same in all of them has to come from here, from the state or from the input: what
/// differs otherwise between the first steps and a late one keeps many steps from being taken in one call, and what differs at
/// others goes unseen.
pub fn numbers_of_step(
    step: usize,
    shape: [usize; 2],
    place: &Place,
    numbers: impl Fn(usize, &mut [f64]) + Send + Sync + 'static,
) -> Tensor<2> {
    let mut values = vec![0.0; shape[0] * shape[1]];
    numbers(step, &mut values);
    let tensor = place.tensor(values, shape);
    #[cfg(feature = "capture")]
    DRAWN.with_borrow_mut(|drawn| {
        if let Some(drawn) = drawn {
            drawn.push((tensor.clone(), step, Arc::new(numbers)));
        }
    });
    tensor
}
