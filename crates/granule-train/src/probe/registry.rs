//! The ways to look into a network by name. One more is a file and a line here.

use std::ops::ControlFlow;

use granule_models::ModelFile;
use granule_simulate::analysis::{Findings, go_on, settings_of};
use serde::de::DeserializeOwned;
use toml::Table as Settings;

use super::intervention::Interventions;
use super::{activity, choices, demixed, tuning};
use crate::TrainError;

/// What is looked into, and how.
pub struct Request<'a> {
    /// The model, trained on a task.
    pub file: &'a ModelFile,
    /// What it is called.
    pub title: &'a str,
    /// The number of trials. None: 20 of every condition.
    pub trials: Option<usize>,
    /// The seed of the trials and of noise. None: that of the run.
    pub seed: Option<u64>,
    /// What is done to the units.
    pub interventions: &'a Interventions,
    /// The probe's own settings, those that differ from its defaults.
    pub settings: &'a Settings,
    /// Hears of the share that is done; breaking ends it with [`DynamicsError::Stopped`](granule_dynamics::DynamicsError::Stopped).
    pub progress: &'a dyn Fn(f64) -> ControlFlow<()>,
}

impl Request<'_> {
    /// The settings of a probe.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] for a setting that it does not have, or of another type.
    pub(super) fn settings<T: DeserializeOwned>(&self) -> Result<T, TrainError> {
        Ok(settings_of(self.settings)?)
    }

    /// Says how much is done.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Stopped`](granule_dynamics::DynamicsError::Stopped) where it is to end.
    pub(super) fn done(&self, share: f64) -> Result<(), TrainError> {
        Ok(go_on((self.progress)(share))?)
    }
}

/// A way to look into a network.
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// One line on what it tells.
    pub summary: &'static str,
    /// Its settings with their defaults.
    pub defaults: fn() -> Result<Settings, toml::ser::Error>,
    /// Its settings with their help.
    #[cfg(feature = "schema")]
    pub schema: fn() -> schemars::Schema,
    run: fn(&Request<'_>) -> Result<Findings, TrainError>,
}

impl Probe {
    /// A probe by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PROBES.iter().find(|probe| probe.name == name)
    }

    /// Looks into a network.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] for settings, units, populations and periods that there are not; [`TrainError::Mismatch`] for a model
    /// that was trained on data; [`TrainError::Model`] for one without units that can be looked at.
    pub fn run(&self, request: &Request<'_>) -> Result<Findings, TrainError> {
        (self.run)(request)
    }
}

macro_rules! probes {
    ($($name:literal: $summary:literal, $settings:ty, $run:path;)+) => {
        /// All of them.
        pub const PROBES: &[Probe] = &[$(Probe {
            name: $name,
            summary: $summary,
            defaults: || Settings::try_from(<$settings>::default()),
            #[cfg(feature = "schema")]
            schema: || schemars::schema_for!($settings),
            run: $run,
        }),+];
    };
}

probes! {
    "choices": "the score, choices over evidence and their shift, with and without what is done to the units",
        choices::Settings, choices::run;
    "activity": "what units and outputs do, trial by trial",
        activity::Settings, activity::run;
    "tuning": "what each unit does for each value of what a trial shows",
        tuning::Settings, tuning::run;
    "dpca": "demixed principal components: activity that goes with time, with each variable of the task, with both together",
        demixed::Settings, demixed::run;
}
