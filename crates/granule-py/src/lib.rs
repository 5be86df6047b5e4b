//! The native half of the Python package `granule`: it parses what Python hands over, calls the crate `granule`, and answers
//! with what Python understands. The other half is in `python/granule`, which is what a program imports.

mod error;
mod model;
mod packed;
mod settings;
mod simulate;
mod train;

/// `granule._granule`.
#[pyo3::pymodule]
mod _granule {
    #[pymodule_export]
    use crate::model::NativeModel;
    #[pymodule_export]
    use crate::simulate::{NativeResult, simulate_run, simulation_presets};
    #[pymodule_export]
    use crate::train::{resume_run, run_config, train_run};

    /// The version of granule.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init() {
        crate::error::keep_quiet_of_answered_panics();
    }
}
