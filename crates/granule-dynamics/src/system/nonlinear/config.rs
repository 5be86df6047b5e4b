use granule_io::budget;
use serde::{Deserialize, Serialize};

use super::{DriveConfig, FormConfig, NetworkFormConfig, NonlinearSystem};
use crate::setting;
use crate::{DynamicsError, Place};

/// Settings of [`NonlinearSystem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NonlinearSystemConfig {
    /// The width of Y.
    pub population: usize,
    /// The width of U.
    pub external: usize,
    /// F.
    pub form: FormConfig,
    /// G.
    pub drive: DriveConfig,
}

impl Default for NonlinearSystemConfig {
    fn default() -> Self {
        Self {
            population: 1,
            external: 0,
            form: FormConfig::Network(NetworkFormConfig::default()),
            drive: DriveConfig::Linear {
                b: Vec::new(),
                c: Vec::new(),
            },
        }
    }
}

impl NonlinearSystemConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        self.form.validate().map_err(|error| error.under("form"))?;
        setting::check_within("population", self.population, 0)?;
        setting::check_within("external", self.external, 0)?;
        let size = self.form.size();
        let inputs = size.max(self.external) + self.population;
        let networks = [self.form.network(), self.drive.network()];
        let widest = networks
            .into_iter()
            .flatten()
            .flat_map(|network| &network.hidden)
            .fold(size, |widest, hidden| widest.max(*hidden));
        budget::ask_for_numbers("a system's matrices", &[inputs, widest])?;
        self.drive.validate(size, [self.population, self.external])
    }

    /// The system on a device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<NonlinearSystem, DynamicsError> {
        self.validate()?;
        let (population, external) = (self.population, self.external);
        let size = self.form.size();
        Ok(NonlinearSystem {
            form: self.form.init(population, place)?,
            drive: self.drive.init(size, [population, external], place),
            population,
            external,
        })
    }
}
