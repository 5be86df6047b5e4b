mod config;
mod drive;
mod field;
mod form;
mod network_form;
#[cfg(test)]
mod tests;

use burn::module::Module;

pub use config::NonlinearSystemConfig;
pub use drive::{Drive, DriveConfig, LinearDrive};
pub use field::NonlinearField;
pub use form::{Form, FormConfig};
pub use network_form::{NetworkForm, NetworkFormConfig};

use super::System;
use super::linear::population_and_external;
use crate::{DynamicsError, Held, State};

/// dX/dt = F(X, Y) + G(Y, U), with F a small network or a named form and G linear or a small network.
///
/// State: X in one variable, `[batch, size]`, for a network; the form's two variables, `[batch, nodes]` each, for a
/// named form. Input: Y in the first `population` columns, then U in `external` columns. G has a row for each value of
/// X: with a named form those of its first variable, then those of its second. Observed and given to other systems: X,
/// or what the form gives.
#[derive(Module, Debug)]
pub struct NonlinearSystem {
    /// F.
    pub form: Form,
    /// G.
    pub drive: Drive,
    #[module(skip)]
    population: usize,
    #[module(skip)]
    external: usize,
}

impl System for NonlinearSystem {
    type Field = NonlinearField;

    fn field(&self) -> Result<Self::Field, DynamicsError> {
        Ok(NonlinearField {
            form: self.form.field()?,
            of_network: matches!(self.form, Form::Network(_)),
            drive: self.drive.clone(),
            inputs: population_and_external(self.population, self.external),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        self.form.initial_state(batch)
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        let form = self.form.settings().into_iter();
        let form = form.map(|(name, held)| (format!("form.{name}"), held));
        let drive = self.drive.settings().into_iter();
        let drive = drive.map(|(name, held)| (format!("drive.{name}"), held));
        form.chain(drive).collect()
    }
}
